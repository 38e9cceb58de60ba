"Weights that are missing, damaged, or of another network"

import pytest
import torch

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

@pytest.mark.parametrize('weights', [[1], {'state_dict':3}, {'net.0.0.weight':1}])
def test_weights_of_no_network(tmp_path, weights):
    torch.save(weights, tmp_path/'w.pth')
    with pytest.raises(ValueError, match='another network'): load_weights(TinyNet(), tmp_path/'w.pth')
