"Model files that others have damaged, and those that we must not damage"
import os

import pytest
import torch

from siamese_nb.nets.backbones import make_backbone
from siamese_nb.model import Head, Heads, SiameseNet
from siamese_nb.nets.model_file import load_model, save_model

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
    assert '\n' not in str(e.value)

def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    file = save_model(tmp_path/'model.safetensors', net)
    content = file.read_bytes()
    def broken(*args): raise OSError('disk full')
    monkeypatch.setattr('siamese_nb.nets.model_file.save_file', broken)
    with pytest.raises(OSError): save_model(file, net)
    assert file.read_bytes() == content and os.listdir(tmp_path) == ['model.safetensors']

def test_text_in_metadata_stays_text(tmp_path):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    facts = dict(data='101', note='null', threshold=.5, classes=['a', 'ü'], nothing=None)
    _,meta = load_model(save_model(tmp_path/'m.safetensors', net, facts))
    assert {k:meta[k] for k in facts} == facts

@pytest.mark.parametrize('change', [dict(json='['), dict(head='{"x":1}'), dict(transform='[]'), dict(backbone=None), dict(head=None), dict(format_version=None, json=None)])
def test_damaged_metadata(tmp_path, change):
    from safetensors import safe_open
    from safetensors.torch import load_file,save_file
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), Head(512, hidden=0)))
    with safe_open(file, 'pt') as f: text = f.metadata()
    save_file(load_file(file), file, {k:v for k,v in (text | change).items() if v is not None})
    with pytest.raises(ValueError, match='m.safetensors .*train anew'): load_model(file)

def test_names_of_the_backbone(tmp_path):
    "A head that uses the backbone's classifier gets it from the backbone, not from the file"
    bb = make_backbone('efficientnet_lite0')
    heads = Heads([Head(bb.dim, 8, hidden=0, classes=1000).name_with(bb.classifier), Head(bb.dim, 8)], [.9, .1])
    heads.heads[0].names_share.fill_(.6)
    file = save_model(tmp_path/'m.safetensors', SiameseNet(bb, heads))
    assert file.stat().st_size < 4e6 # the classifier alone has 1.3 million weights
    net,meta = load_model(file)
    f = torch.rand(3, bb.dim)
    with torch.no_grad(): assert torch.equal(net.head.eval()(f), heads.eval()(f))
    assert meta['dim'] == 8 + 1000 + 8

def test_a_cohort_goes_along(tmp_path):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    assert load_model(save_model(tmp_path/'m.safetensors', net))[0].cohort is None
    net.cohort = torch.nn.functional.normalize(torch.randn(20, 128), dim=1)
    back,_ = load_model(save_model(tmp_path/'m.safetensors', net))
    assert torch.allclose(back.cohort, net.cohort, atol=1e-3)
