"Edge cases of siamese_nb.model that would bore a reader of the notebook"
import os

import numpy as np
import pytest
import torch

from siamese_nb.data_split import Items, get_digits
from siamese_nb.model import (Backbone, Head, SiameseNet, TinyNet, distance_matrix, embed_views, extract, fingerprint, freeze, fused, get_device,
                              in_order, load_model, load_weights, make_backbone, save_model, unfreeze_last)
from siamese_nb.pairs import Transform

SMALL = Transform(16)

@pytest.fixture(autouse=True)
def scratch_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('TQDM_DISABLE', '1')

@pytest.fixture
def digits(): return get_digits().take(np.arange(0, 1797, 30))

def one_line(error): return '\n' not in str(error.value)

def test_weights_from_a_file(tmp_path):
    state = make_backbone('resnet50', pretrained=False).net.state_dict() | {'fc.weight':torch.zeros(1000, 2048), 'fc.bias':torch.zeros(1000)}
    torch.save(state, tmp_path/'r50.pth')
    bb = make_backbone('resnet50', tmp_path/'r50.pth')
    assert bb.frozen and torch.equal(bb.net.conv1.weight, state['conv1.weight'])
    file = save_model(tmp_path/'m.safetensors', SiameseNet(bb, Head(bb.dim)))
    assert file.stat().st_size < 10e6
    load_model(file, tmp_path/'r50.pth')
    state['conv1.weight'] += 1
    torch.save(state, tmp_path/'other.pth')
    with pytest.raises(ValueError, match='other weights of resnet50') as e: load_model(file, tmp_path/'other.pth')
    assert one_line(e)

@pytest.mark.parametrize('content', [b'', b'not weights', None])
def test_weights_that_are_none(tmp_path, content):
    if content is not None: (tmp_path/'w.pth').write_bytes(content)
    with pytest.raises(OSError) as e: load_weights(TinyNet(), tmp_path/'w.pth')
    assert one_line(e)

def test_weights_of_another_network():
    with pytest.raises(ValueError, match='another network') as e: load_weights(TinyNet(), {'w':torch.zeros(2)})
    assert one_line(e)

@pytest.mark.parametrize('name', ['efficientnet_lite0', 'tiny', 'resnet50', 'resnet18', 'mobilenetv3_small_050'])
def test_every_backbone(name):
    if name not in ('efficientnet_lite0', 'tiny', 'resnet50'): pytest.importorskip('timm')
    bb = make_backbone(name, pretrained=name == 'efficientnet_lite0').eval()
    x = torch.randint(0, 256, (2, 3, bb.size, bb.size), dtype=torch.uint8)
    with torch.no_grad(): plain,fast = bb(x),fused(bb)(x)
    assert plain.shape == (2, bb.dim) and torch.allclose(plain, fast, atol=1e-3*plain.abs().max().item())
    unfreeze_last(bb).train()
    n = sum(p.requires_grad for p in bb.parameters())
    assert 0 < n < len(list(bb.parameters()))
    assert not any(m.training for m in bb.modules() if isinstance(m, torch.nn.BatchNorm2d))

def test_threads_and_batches_change_nothing(digits):
    bb = make_backbone('tiny')
    x,ok = extract(bb, digits, SMALL)
    assert ok.all() and x.shape == (len(digits), 1, bb.dim) and x.dtype == torch.float32
    for workers,batch in ((1, 1), (2, 7), (3, 1000)):
        assert torch.allclose(x, extract(bb, digits, SMALL, workers=workers, batch_size=batch)[0], atol=.02)

def test_same_picture_twice_is_embedded_once(digits, monkeypatch):
    asked = []
    monkeypatch.setattr('siamese_nb.model.embed_views', lambda *a, **kw: asked.append(len(a[2])) or embed_views(*a, **kw))
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

def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    file = save_model(tmp_path/'model.safetensors', net)
    content = file.read_bytes()
    def broken(*args): raise OSError('disk full')
    monkeypatch.setattr('siamese_nb.model.save_file', broken)
    with pytest.raises(OSError): save_model(file, net)
    assert file.read_bytes() == content and os.listdir(tmp_path) == ['model.safetensors']

def test_text_in_metadata_stays_text(tmp_path):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    facts = dict(data='101', note='null', threshold=.5, classes=['a', 'ü'], nothing=None)
    _,meta = load_model(save_model(tmp_path/'m.safetensors', net, facts))
    assert {k:meta[k] for k in facts} == facts

def test_distances_near_zero():
    e = torch.nn.functional.normalize(torch.randn(200, 64), dim=1)
    e = torch.cat([e, e]).requires_grad_()
    d = distance_matrix(e)
    assert (d.diagonal() == 0).all() and (d[:200,200:].diagonal() == 0).all()
    d.sum().backward()
    assert e.grad.isfinite().all()

def test_half_precision_is_widened():
    net = SiameseNet(Backbone(TinyNet(), 'tiny', 512, 16), Head(512))
    with torch.autocast('cpu', torch.bfloat16): d = net(torch.zeros(2,3,16,16), torch.ones(2,3,16,16))
    assert d.dtype == torch.float32

@pytest.mark.parametrize('change', [dict(json='['), dict(head='{"x":1}'), dict(transform='[]'), dict(backbone=None), dict(head=None), dict(format_version=None, json=None)])
def test_damaged_metadata(tmp_path, change):
    from safetensors import safe_open
    from safetensors.torch import load_file,save_file
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), Head(512, hidden=0)))
    with safe_open(file, 'pt') as f: text = f.metadata()
    save_file(load_file(file), file, {k:v for k,v in (text | change).items() if v is not None})
    with pytest.raises(ValueError, match='m.safetensors .*train anew'): load_model(file)

@pytest.mark.parametrize('weights', [[1], {'state_dict':3}, {'net.0.0.weight':1}])
def test_weights_of_no_network(tmp_path, weights):
    torch.save(weights, tmp_path/'w.pth')
    with pytest.raises(ValueError, match='another network'): load_weights(TinyNet(), tmp_path/'w.pth')

@pytest.mark.parametrize('name', ['abacus', 'meta', 'cuda:99'])
def test_no_such_device(name):
    with pytest.raises(ValueError, match='no device'): get_device(name)
