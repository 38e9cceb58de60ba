"Edge cases of siamese_nb.model that would bore a reader of the notebook"
import pytest
import torch

from siamese_nb.model import Backbone, Head, SiameseNet, TinyNet, distance_matrix
from siamese_nb.nets.devices import get_device

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

@pytest.mark.parametrize('name', ['abacus', 'meta', 'cuda:99'])
def test_no_such_device(name):
    with pytest.raises(ValueError, match='no device'): get_device(name)
