"Corners of the feature cache"
import numpy as np
import pytest
import torch

from siamese_nb.nets.backbones import fingerprint, freeze, make_backbone
from siamese_nb.data_split import Items, get_digits
from siamese_nb.nets.features import embed_views, extract, in_order
from siamese_nb.data.images import Transform

SMALL = Transform(16)

@pytest.fixture(autouse=True)
def scratch_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('TQDM_DISABLE', '1')

@pytest.fixture
def digits(): return get_digits().take(np.arange(0, 1797, 30))

def test_threads_and_batches_change_nothing(digits):
    bb = make_backbone('tiny')
    x,ok = extract(bb, digits, SMALL)
    assert ok.all() and x.shape == (len(digits), 1, bb.dim) and x.dtype == torch.float32
    for workers,batch in ((1, 1), (2, 7), (3, 1000)):
        assert torch.allclose(x, extract(bb, digits, SMALL, workers=workers, batch_size=batch)[0], atol=.02)

def test_same_picture_twice_is_embedded_once(digits, monkeypatch):
    asked = []
    monkeypatch.setattr('siamese_nb.nets.features.embed_views', lambda *a, **kw: asked.append(len(a[2])) or embed_views(*a, **kw))
    x,_ = extract(freeze(make_backbone('tiny')), digits.take([3, 4, 3, 3]), SMALL)
    assert asked == [2] and torch.equal(x[0], x[2]) and torch.equal(x[0], x[3])

def test_nothing_to_embed(digits, tmp_path):
    x,ok = extract(freeze(make_backbone('tiny')), digits.take(np.array([], int)), SMALL)
    assert x.shape[0] == len(ok) == 0
    gone = Items('gone', ['a/1.png', 'a/2.png'], ['a', 'a'], root=tmp_path)
    x,ok = extract(freeze(make_backbone('tiny')), gone, SMALL)
    assert x.shape[0] == 2 and not ok.any()

def test_cache_that_cannot_be_written(digits, tmp_path, monkeypatch):
    (tmp_path/'file').write_text('in the way')
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'file'))
    x,ok = extract(freeze(make_backbone('tiny')), digits, SMALL)
    assert ok.all()

def test_learning_backbone_is_not_cached(digits, tmp_path):
    extract(make_backbone('tiny'), digits, SMALL)
    extract(freeze(make_backbone('tiny')), digits, SMALL, cache=False)
    assert not (tmp_path/'cache').exists()

def test_extract_leaves_the_backbone_as_it_was(digits):
    bb,threads = make_backbone('tiny').train(),torch.get_num_threads()
    before = fingerprint(bb)
    extract(bb, digits, SMALL)
    assert bb.training and not bb.frozen and fingerprint(bb) == before and torch.get_num_threads() == threads

def test_in_order_is_bounded():
    from concurrent.futures import ThreadPoolExecutor
    started = []
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda i: started.append(i) or i, range(100), 4)
        assert next(results) == 0 and len(started) <= 5
        assert list(results) == list(range(1, 100))
