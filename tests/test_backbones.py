"Weights that are missing, damaged, or of another network"

from unittest import mock
from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnet50

from siamese_nb.nets.backbones import load_weights, make_backbone, unfreeze_last
from siamese_nb.nets.runtime import faster
from siamese_nb.model import TinyNet

def one_line(error): return '\n' not in str(error.value)

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
    with torch.no_grad():
        quick = faster(bb)
        plain,fast = bb(x),quick(x)
    assert quick.why == 'ONNX Runtime' and plain.shape == (2, bb.dim)
    assert torch.cosine_similarity(plain, fast).min() > 1 - 1e-6
    unfreeze_last(bb).train()
    n = sum(p.requires_grad for p in bb.parameters())
    assert 0 < n < len(list(bb.parameters()))
    assert not any(m.training for m in bb.modules() if isinstance(m, torch.nn.BatchNorm2d))

def test_lite2_is_what_was_published():
    "Its package's weights, in the code of its authors, at 260 pixels"
    from efficientnet_lite_pytorch import EfficientNet
    from siamese_nb.nets.backbones import lite_weights
    theirs = load_weights(EfficientNet.from_name('efficientnet-lite2'), lite_weights('efficientnet_lite2')).eval()
    x = torch.randint(0, 256, (1, 3, 260, 260), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    bb = make_backbone('efficientnet_lite2')
    with torch.no_grad(): assert torch.allclose(bb(x), theirs.extract_features((x.float() - 127)/128).mean((2,3)), atol=1e-4)
    assert bb.frozen and bb.size == 260 and bb.classifier.weight.shape == (1000, 1280)

@pytest.mark.parametrize('weights', [[1], {'state_dict':3}, {'net.0.0.weight':1}])
def test_weights_of_no_network(tmp_path, weights):
    torch.save(weights, tmp_path/'w.pth')
    with pytest.raises(ValueError, match='another network'): load_weights(TinyNet(), tmp_path/'w.pth')

def test_vision_transformer():
    "224 pixels whatever it was published with, and on demand the mean of its patches beside the whole"
    timm = pytest.importorskip('timm')
    with mock.patch.object(timm.models, 'set_pretrained_check_hash') as check: bb = make_backbone('vit_tiny_patch16_384', pretrained=False).eval()
    check.assert_called_with(True)
    both = make_backbone('vit_tiny_patch16_384', pretrained=False, pool='both').eval()
    x = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    both.net.vit.load_state_dict(bb.net.state_dict())
    with torch.no_grad(): one,two = bb(x),both(x)
    assert bb.size == both.size == 224 and (both.dim, both.plain, two.shape) == (384, 384, (2, 384)) and torch.allclose(one, two[:,:192], atol=1e-5)
    with torch.no_grad(): patches = bb.net.forward_features(((x.float()/255 - bb.mean)/bb.std))[:,1:].mean(1)
    assert torch.allclose(two[:,192:], patches, atol=1e-4)

def test_pinned_weights(tmp_path):
    (tmp_path/'efficientnet-lite0-57934424.pth').write_bytes(b'something else')
    with pytest.raises(OSError, match='not what its authors published'): load_weights(TinyNet(), tmp_path/'efficientnet-lite0-57934424.pth')

def test_download_of_resnet():
    "The path that no test machine can go: a stand-in delivers, then fails"
    state = {**make_backbone('resnet50', pretrained=False).net.state_dict(), 'fc.weight':torch.zeros(1000, 2048), 'fc.bias':torch.zeros(1000)}
    with mock.patch('torchvision.models._api.load_state_dict_from_url', return_value=state) as fetch: bb = make_backbone('resnet50')
    assert bb.frozen and bb.classifier.weight.shape == (1000, 2048) and fetch.call_args.kwargs['check_hash'] and fetch.call_args.kwargs['weights_only']
    with mock.patch('torchvision.models._api.load_state_dict_from_url', side_effect=TimeoutError('timed out')), pytest.raises(OSError, match='--backbone-weights') as e: make_backbone('resnet50')
    assert one_line(e)

DOWNLOAD = 'torchvision.models._api.load_state_dict_from_url'

def test_auto_takes_resnet50_where_its_weights_come(monkeypatch):
    state = resnet50().state_dict()
    monkeypatch.setattr(DOWNLOAD, lambda *args, **kwargs: state)
    bb = make_backbone('auto')
    assert bb.name == 'resnet50' and bb.frozen and torch.equal(bb.net.conv1.weight, state['conv1.weight'])
    assert bb.why == 'auto took resnet50, whose weights were at hand'

def test_auto_without_a_connection(monkeypatch):
    def cut(*args, **kwargs): raise URLError('no route to host')
    monkeypatch.setattr(DOWNLOAD, cut)
    bb = make_backbone('auto')
    assert bb.name == 'efficientnet_lite0' and 'no route to host' in bb.why and '\n' not in bb.why
    with pytest.raises(OSError, match='--backbone-weights') as e: make_backbone('resnet50')
    assert one_line(e)

def test_unknown_backbone():
    with pytest.raises(ValueError, match="unknown backbone 'resnet5O': choose auto, resnet50") as e: make_backbone('resnet5O')
    assert one_line(e)
