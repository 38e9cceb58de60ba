"Model files that others have damaged, and those that we must not damage"
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from siamese_nb.data.images import Transform
from siamese_nb.nets.backbones import make_backbone, one_mean
from siamese_nb.model import Backbone, Head, SiameseNet
from siamese_nb.nets.heads import Heads, NamedHead, Prototypes
from siamese_nb.nets.normalise import Scaled
from siamese_nb.nets.model_file import FORMAT, load_model, read_meta, save_model
from siamese_nb.nets.sealed import read_header, read_sealed, save_sealed, seal

ROOT = Path(__file__).parents[1]
D_SEEN = .110752 # of two images of noise, by the committed weights

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

@pytest.fixture
def small(tmp_path):
    "A model file of a kilobyte or so beside its network"
    net = SiameseNet(Backbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)), 'tiny', 4, 16), Head(4, 2, hidden=0))
    return save_model(tmp_path/'m.safetensors', net, dict(threshold=.5, error_rate=.1, calibration=[-1., 1.]))

def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    file = save_model(tmp_path/'model.safetensors', net)
    content = file.read_bytes()
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='cannot write .*model.safetensors .No space left on device.: make room'): save_model(file, net)
    assert file.read_bytes() == content and os.listdir(tmp_path) == ['model.safetensors']

def test_every_flipped_bit_is_noticed(small):
    data = bytearray(small.read_bytes())
    for i in range(8*len(data)):
        data[i//8] ^= 1 << i%8
        small.write_bytes(data)
        with pytest.raises(ValueError) as e: read_meta(small)
        assert '\n' not in str(e.value)
        data[i//8] ^= 1 << i%8

@pytest.mark.parametrize('change,word', [(dict(threshold=-1.), 'threshold'), (dict(threshold=None), 'threshold'), (dict(error_rate=2), 'error_rate'),
    (dict(calibration=[1.]), 'calibration'), (dict(head=dict(heads=[])), 'head'), (dict(head=dict(dim_in=512, dim=10**9, hidden=0, dropout=0.)), 'head'),
    (dict(head=dict(dim_in=512, dim=1000, hidden=900_000, dropout=0.)), 'does not fit'), (dict(head=dict(dim_in=512, dim=128, hidden=0, dropout=9.)), 'head'),
    (dict(transform=dict(size=10**9, views=['squash'])), 'transform'), (dict(transform=dict(size=16, views=['sideways'])), 'views'), (dict(dim=7), 'dim'),
    (dict(backbone='vit_giant_patch14_dinov2'), 'does not fit'), (dict(backbone='nothing\x1b[2J'), 'unknown backbone'), (dict(backbone=5), 'backbone'),
    (dict(backbone='resnet50', backbone_origin=True), 'does not fit|not on this machine')])
def test_facts_that_cannot_be(tmp_path, change, word):
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), Head(512, hidden=0)), dict(threshold=.5))
    tensors,facts = read_sealed(file, 'siamese_nb', FORMAT)
    save_sealed(file, tensors, facts | change, 'siamese_nb', FORMAT)
    with pytest.raises((ValueError, OSError), match=word) as e: load_model(file)
    assert '\n' not in str(e.value) and '\x1b' not in str(e.value)

def test_a_file_starts_no_download(tmp_path):
    state = make_backbone('resnet50', pretrained=False).net.state_dict()
    torch.save(state, tmp_path/'r50.pth')
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('resnet50', tmp_path/'r50.pth'), Head(2048)))
    with mock.patch('torch.hub.get_dir', return_value=str(tmp_path)):
        with mock.patch('torchvision.models._api.load_state_dict_from_url', side_effect=AssertionError('a download')):
            with pytest.raises(OSError, match='not on this machine.*: allow the download'): load_model(file)
        with mock.patch('torchvision.models._api.load_state_dict_from_url', return_value=state): load_model(file, download=True)

def test_weights_that_are_no_numbers(tmp_path):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    with torch.no_grad(): net.head.net[1].weight[0,0] = float('nan')
    with pytest.raises(ValueError, match='no numbers'): load_model(save_model(tmp_path/'m.safetensors', net))

def test_extras_and_half(tmp_path):
    bb = make_backbone('efficientnet_lite0')
    for p in bb.parameters(): p.data += 1e-4
    net = SiameseNet(bb, Head(1280, hidden=0))
    net.extras['centres'] = torch.eye(4, dtype=torch.float16)
    whole,half = (save_model(tmp_path/'m.safetensors', net, dict(recipe=dict(epochs=3)), half=h).stat().st_size for h in (False, True))
    back,meta = load_model(tmp_path/'m.safetensors')
    x = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad(): assert torch.equal(back(x), net.eval()(x))
    assert half < .6*whole and torch.equal(back.extras['centres'], net.extras['centres']) and meta['recipe'] == dict(epochs=3)

def as_format_1(file):
    "Write a model file as the first version did: text and JSON side by side, the head's names of then, no checksum"
    import json
    from safetensors.torch import save_file
    tensors,facts = read_sealed(file, 'siamese_nb', FORMAT)
    text = {k:v if isinstance(v, str) else json.dumps(v) for k,v in facts.items()}
    text |= dict(format='siamese_nb', format_version='1', json=json.dumps([k for k,v in facts.items() if not isinstance(v, str)]))
    save_file({k.replace('.standardise.', '.'):v for k,v in tensors.items()}, file, text)

def test_files_of_format_1(tmp_path):
    "The first version's files have other names for some tensors: the same embeddings, and facts, as from today's"
    torch.manual_seed(0)
    net = SiameseNet(make_backbone('tiny'), Heads([Head(512, 8), Head(512, 8, hidden=0)]))
    for h in net.head.heads: h.standardise.shift.normal_(), h.standardise.scale.uniform_(.5, 2)
    file = save_model(tmp_path/'m.safetensors', net, dict(threshold=.5, classes=['a']))
    new,facts = load_model(file)
    as_format_1(file)
    old,theirs = load_model(file)
    assert theirs['format_version'] == '1' and {k:theirs[k] for k in facts} == facts
    assert all(torch.equal(v, new.state_dict()[k]) for k,v in old.state_dict().items())

OF_FORMAT_1 = set() # none is left: a model of the first format has no checksum

def test_committed_models_are_whole_and_sealed():
    "Every flipped bit of them would be noticed; those of the seen classes embed noise as the code that wrote them did"
    import random
    from siamese_nb.nets.model_file import read_model
    files = {f.parent.name:f for f in [*ROOT.glob('weights/caltech101*/model.safetensors'), ROOT/'siamese_nb'/'general'/'model.safetensors']}
    assert len(files) == 5
    for name,file in files.items():
        data = file.read_bytes()
        assert (b'"format_version":"1"' in data[:10_000]) == (name in OF_FORMAT_1), name
        if name in OF_FORMAT_1: continue
        read_model(file)
        rng,digest = random.Random(name),read_header(data)['__metadata__']['digest'].encode()
        for _ in range(12):
            bad = bytearray(data)
            bad[rng.randrange(8 + int.from_bytes(data[:8], 'little'), len(data))] ^= 1 << rng.randrange(8)
            assert seal(bytes(bad), digest) != digest
    x = torch.randint(0, 256, (2, 2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    net,_ = load_model(files['caltech101'])
    with torch.no_grad(): e = net.embed(x)
    assert abs((e[0] - e[1]).norm().item() - D_SEEN) < 1e-4

def test_text_in_metadata_stays_text(tmp_path):
    net = SiameseNet(make_backbone('tiny'), Head(512, hidden=0))
    facts = dict(data='101', note='null', threshold=.5, classes=['a', 'ü'], nothing=None)
    _,meta = load_model(save_model(tmp_path/'m.safetensors', net, facts))
    assert {k:meta[k] for k in facts} == facts

@pytest.mark.parametrize('change', [dict(facts='['), dict(facts='['*100_000), dict(facts='[]'), dict(facts=None), dict(format_version='1'), dict(format_version='1', json='5'),
                                    dict(format_version='1', json='["facts"]', facts='NaN'), dict(digest='x'), dict(digest=None)])
def test_damaged_metadata(tmp_path, change):
    from safetensors import safe_open
    from safetensors.torch import load_file,save_file
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), Head(512, hidden=0)))
    with safe_open(file, 'pt') as f: text = f.metadata()
    save_file(load_file(file), file, {k:v for k,v in (text | change).items() if v is not None})
    with pytest.raises(ValueError, match='m.safetensors .*train anew') as e: load_model(file)
    assert '\n' not in str(e.value)

def test_names_of_the_backbone(tmp_path):
    "A head that uses the backbone's classifier gets it from the backbone, not from the file"
    bb = make_backbone('efficientnet_lite0')
    heads = Heads([NamedHead(Head(bb.dim, 8, hidden=0), 1000).name_with(bb.classifier), Head(bb.dim, 8)], [.9, .1])
    heads.heads[0].names.share.fill_(.6)
    file = save_model(tmp_path/'m.safetensors', SiameseNet(bb, heads))
    assert file.stat().st_size < 4e6 # the classifier alone has 1.3 million weights
    net,meta = load_model(file)
    f = torch.rand(3, bb.dim)
    with torch.no_grad(): assert torch.equal(net.head.eval()(f), heads.eval()(f))
    assert meta['dim'] == 8 + 1000 + 8

def test_a_cohort_goes_along(tmp_path):
    "A head that normalises keeps the images that it does it by"
    head = Head(512, 8, hidden=0).eval()
    with torch.no_grad(): head = Scaled(head, head(torch.rand(20, 512)), k=5).eval()
    back,meta = load_model(save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), head)))
    x = torch.rand(3, 512)
    with torch.no_grad(): assert torch.equal(back.head(x), head(x))
    assert meta['head']['images']==20 and meta['dim']==8
def test_the_same_content_makes_the_same_bytes(tmp_path):
    "Facts lie in the order of their names, whatever order the writer below would give them"
    from siamese_nb.nets.sealed import read_sealed,save_sealed
    facts = {c:c*3 for c in 'zyxwvu'}|{'ü':'"digest":"'+'0'*64+'"'}
    files = [save_sealed(tmp_path/f'{i}.safetensors', dict(b=torch.ones(3), a=torch.zeros(2, 2)), facts, 'test').read_bytes() for i in range(8)]
    assert len(set(files))==1 and read_sealed(tmp_path/'0.safetensors', 'test')[1]==facts

def test_a_backbone_that_gave_up_the_other_kind_of_mean(tmp_path):
    "Cross-fitting may choose plain means: the file that is written then opens again"
    bb = make_backbone('efficientnet_lite0', pool='both')
    assert (bb.dim, bb.pool)==(2560, 'both')
    one_mean(bb)
    file = save_model(tmp_path/'m.safetensors', SiameseNet(bb, Head(bb.plain, 8, hidden=0), Transform(bb.size)), dict(threshold=.5))
    again, meta = load_model(file)
    assert (again.backbone.dim, meta['pool'])==(1280, 'mean')

def with_prototypes(head, classes=5):
    "Any head of 512 features, and prototypes of embeddings of noise"
    return Prototypes(head, torch.nn.functional.normalize(torch.randn(classes, head.dim), dim=-1), .9, 7.)

def test_prototypes_come_back(tmp_path):
    "Heads below prototypes: the same embeddings out of the file, of length 1"
    torch.manual_seed(0)
    net = SiameseNet(make_backbone('tiny'), with_prototypes(Heads([Head(512, 8), Head(512, 8, hidden=0)]))).eval()
    back,meta = load_model(save_model(tmp_path/'m.safetensors', net, dict(threshold=.5)))
    x = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad(): e = back.embed(x)
    assert torch.equal(e, net.embed(x)) and e.shape == (4, 21) and meta['dim'] == 21 and torch.allclose(e.norm(dim=1), torch.ones(4), atol=1e-5)

@pytest.mark.parametrize('change', [dict(classes=0), dict(classes=9), dict(sharpness=0), dict(share=2), dict(share='much'), dict(more=1), dict(prototypes=None)])
def test_prototypes_that_cannot_be(tmp_path, change):
    head = with_prototypes(Head(512, 8, hidden=0))
    file = save_model(tmp_path/'m.safetensors', SiameseNet(make_backbone('tiny'), head))
    tensors,facts = read_sealed(file, 'siamese_nb', FORMAT)
    for config in (head.config | change, dict(head.config, prototypes=head.config), dict(scaled=head.config, images=5, k=2, unit=1.),
                   dict(head.config, prototypes=dict(heads=[head.config])), dict(heads=[head.config])):
        save_sealed(file, tensors, facts | dict(head=config), 'siamese_nb', FORMAT)
        with pytest.raises(ValueError, match='head|does not fit') as e: load_model(file)
        assert '\n' not in str(e.value)
