"Corners of the feature cache"
import os

import numpy as np
import pytest
import torch

from siamese_nb.core import cache_dir
from siamese_nb.nets.backbones import fingerprint, freeze, make_backbone
from siamese_nb.data_split import Items, get_digits
from siamese_nb.nets.features import KIND, FeatureCache, content_hashes, embed_views, extract, in_order
from siamese_nb.model import Head
from siamese_nb.nets.sealed import save_sealed
from siamese_nb.training.inputs import read_inputs
from siamese_nb.data.folders import get_folder
from siamese_nb.data.images import Transform, read_image

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

@pytest.fixture
def asked(monkeypatch):
    "(how many images, which views) of every call that embeds"
    calls = []
    def counted(net, views, idxs, *args, **kwargs):
        calls.append((len(idxs), views.transform.views))
        return embed_views(net, views, idxs, *args, **kwargs)
    monkeypatch.setattr('siamese_nb.nets.features.embed_views', counted)
    return calls

@pytest.fixture
def files(tmp_path):
    "Forty digits as files"
    digits = get_digits()
    for i in range(0, 1797, 45):
        (tmp_path/'digits'/digits.labels[i]).mkdir(parents=True, exist_ok=True)
        digits.open(i).save(tmp_path/'digits'/digits.labels[i]/f'{i:04d}.png')
    return get_folder(tmp_path/'digits')

TWO = Transform(16, ('squash', 'squash+flip'))

def test_second_call_embeds_nothing(files, asked):
    bb = freeze(make_backbone('tiny'))
    first,ok = extract(bb, files, TWO)
    again,_ = extract(bb, files, TWO)
    assert asked == [(40, TWO.views)] and ok.all() and torch.equal(first, again)
    with torch.no_grad(): direct = bb(TWO(read_image(files, 3)))
    assert torch.cosine_similarity(first[3], direct).min() > .99

def test_renamed_repainted_broken(files, asked):
    "Only what changed is embedded, though neither name nor time of the repainted file did; what broke is reported"
    bb = freeze(make_backbone('tiny'))
    first,_ = extract(bb, files, TWO)
    a,b,c = (files.file(i) for i in (0, 10, 20))
    a.rename(a.with_name('renamed.png'))
    stamp = b.stat()
    get_digits().open(777).save(b)
    os.utime(b, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    c.write_bytes(c.read_bytes()[:60])
    changed = get_folder(files.root)
    asked.clear()
    new,ok = extract(bb, changed, TWO)
    assert [n for n,_ in asked] == [2] # tried: the repainted and the broken one
    assert [changed.paths[i] for i in np.flatnonzero(~ok)] == [files.paths[20]]
    assert not torch.allclose(new[changed.paths.index(files.paths[10])], first[10])
    assert torch.equal(new[changed.paths.index(f'{files.labels[0]}/renamed.png')], first[0])

def test_other_weights_other_size_damaged_cache(files, asked, tmp_path):
    bb = freeze(make_backbone('tiny'))
    first,_ = extract(bb, files, TWO)
    asked.clear()
    one = files.take([1])
    extract(freeze(make_backbone('tiny')), one, TWO) # other random weights
    extract(bb, one, Transform(18))                  # another size
    extract(bb, one, SMALL)                          # the first of the two views: known
    assert [n for n,_ in asked] == [1, 1]
    kept = list((tmp_path/'cache').rglob('*.safetensors'))
    for f in kept: f.write_bytes(f.read_bytes()[:100])
    assert kept and not list((tmp_path/'cache').rglob('.*.part'))
    repaired,_ = extract(bb, one, TWO)
    assert torch.allclose(repaired[0], first[1], atol=.01) and len(asked) == 3

def test_third_view_alone_is_embedded(digits, asked):
    bb,eight = freeze(make_backbone('tiny')),digits.take(range(8))
    extract(bb, eight, TWO)
    asked.clear()
    extract(bb, eight, Transform(16, (*TWO.views, 'crop')))
    assert asked == [(8, ('crop',))]

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

def test_flips_in_the_cache(digits, tmp_path):
    "A damaged file counts as absent, whichever bit it is, and goes"
    store = FeatureCache(freeze(make_backbone('tiny')), SMALL, 'squash')
    keys,x = [f'{i:032x}' for i in range(20)],np.random.default_rng(0).random((20, 512)).astype(np.float16)
    store.write(keys, x)
    file, = store.folder.glob('*.safetensors')
    good = file.read_bytes()
    for i in np.random.default_rng(1).integers(0, 8*len(good), 300):
        file.write_bytes(good[:i//8] + bytes([good[i//8] ^ 1 << i%8]) + good[i//8 + 1:])
        assert not store.read(keys)[1].any() and not file.exists()
    file.write_bytes(good)
    back,hit = store.read(keys)
    assert hit.all() and np.array_equal(back, x)

def test_no_failures_in_the_cache(digits):
    "Rows that are no numbers are not kept, nor believed"
    store = FeatureCache(freeze(make_backbone('tiny')), SMALL, 'squash')
    x = np.ones((3, 512), np.float16)
    x[1,7] = np.nan
    store.write(keys := [f'{i:032x}' for i in range(3)], x)
    assert store.read(keys)[1].tolist() == [True, False, True]
    save_sealed(store.folder/'forged.safetensors', dict(keys=torch.zeros(1, 16, dtype=torch.uint8), x=torch.full((1, 512), torch.inf).half()), {}, KIND)
    assert not store.read(['0'*32])[1].any() or store.read(['0'*32])[0].sum() == 512

def test_changed_between_hash_and_reading(tmp_path, digits, monkeypatch):
    "A file that is another when it is read gets no feature, and leaves none under its old name"
    root = tmp_path/'pics'/'a'
    root.mkdir(parents=True)
    for i in range(3): digits.open(i).save(root/f'{i}.png')
    old = (root/'1.png').read_bytes()
    items,bb,hashes = Items('pics', [f'a/{i}.png' for i in range(3)], ['a']*3, root=tmp_path/'pics'),freeze(make_backbone('tiny')),content_hashes
    def then_change(items):
        names = hashes(items)
        digits.open(9).save(root/'1.png')
        return names
    monkeypatch.setattr('siamese_nb.nets.features.content_hashes', then_change)
    assert extract(bb, items, SMALL)[1].tolist() == [True, False, True]
    monkeypatch.setattr('siamese_nb.nets.features.content_hashes', hashes)
    (root/'1.png').write_bytes(old)
    x,ok = extract(bb, items, SMALL)
    with torch.no_grad(): direct = bb(SMALL(digits.open(1)))
    assert ok.all() and torch.cosine_similarity(x[1], direct).min() > .999

def test_the_cache_has_an_end(tmp_path, monkeypatch):
    store = FeatureCache(freeze(make_backbone('tiny')), SMALL, 'squash')
    for n in range(4):
        store.write([f'{n}{i:031x}' for i in range(10)], np.ones((10, 512), np.float16))
        for f in store.folder.glob('*.safetensors'): os.utime(f, (f.stat().st_mtime - 100,)*2)
    litter = store.folder/'.x.safetensors.abc.part'
    litter.write_bytes(b'half')
    os.utime(litter, (1, 1))
    maps = [cache_dir()/f for f in ('maps-tiny-old.npy', 'maps-tiny-new.npy', '.maps-tiny-old.npy.abc.part')]
    for f in maps: f.write_bytes(b'0'*100)
    for f in maps[::2]: os.utime(f, (1, 1))
    monkeypatch.setenv('SIAMESE_NB_CACHE_GB', '25e-6')
    store.write([f'{9}{i:031x}' for i in range(10)], np.ones((10, 512), np.float16))
    assert len(list(store.folder.iterdir())) == 2 and store.read(['9' + '0'*31])[1].all() and not store.read(['0'*32])[1].any()
    assert [f.exists() for f in maps] == [False, True, False]

def test_full_disk(digits, monkeypatch):
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    assert extract(freeze(make_backbone('tiny')), digits, SMALL)[1].all()

def test_the_bar_suits_a_log(digits, monkeypatch):
    "Fault 23: features are counted by the bar that everything else uses"
    import siamese_nb.nets.features as features
    asked = []
    class Bar:
        def __init__(self, **kw): asked.append(kw)
        def __enter__(self): return self
        def __exit__(self, *_): pass
        def update(self, n): asked.append(n)
    monkeypatch.setattr(features, 'bar', Bar)
    extract(freeze(make_backbone('tiny')), digits, SMALL, 'cpu', cache=False)
    assert asked[0]==dict(desc='embed', total=len(digits)) and sum(asked[1:])==len(digits)

def test_why_an_image_is_left_out(digits, tmp_path):
    "The line of what was left out has the file's own reason"
    for i in range(4): digits.open(i).save(tmp_path/f'{i}.png')
    (tmp_path/'1.png').write_bytes(b'GIF89a')
    (tmp_path/'2.png').write_bytes((tmp_path/'0.png').read_bytes()[:60])
    items = Items('pics', [f'{i}.png' for i in range(4)], ['a']*4, root=tmp_path)
    for bb in (freeze(make_backbone('tiny')), make_backbone('tiny')):
        unread = dict(read_inputs(items, bb, Head(512)).unread)
        assert set(unread)=={'1.png', '2.png'} and 'GIF' in unread['1.png'] and all(len(o)>8 and o!='cannot be read' and '\n' not in o for o in unread.values()), unread
    with pytest.raises(ValueError, match='none of 2 images can be read: 2 left out: 1.png .a damaged GIF'): read_inputs(items.take([1, 2]), bb, Head(512))
