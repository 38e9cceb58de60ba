"One embedding for one picture: alone, among many, through search, as ONNX, and on processors that are fast at bfloat16"
import sys
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from siamese_nb.apps.export import export_onnx
from siamese_nb.apps.matcher import Matcher
from siamese_nb.data.images import Transform
from siamese_nb.model import Head, SiameseNet
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.runtime import faster

@pytest.fixture(scope='module')
def pictures():
    "Sixteen windows of two photographs"
    a,b = load_sample_images().images
    return [np.ascontiguousarray(o[y:y+200, x:x+220]) for o in (a, b) for y in (0, 200) for x in (0, 130, 260, 390)]

def test_one_arithmetic(pictures, tmp_path, monkeypatch):
    "A bfloat16 embedding lies .05 from the float32 one: that was the distance of a picture to itself in the first version"
    from PIL import Image
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    monkeypatch.setattr('siamese_nb.nets.devices.fast_bf16', lambda device: True)
    monkeypatch.setattr('siamese_nb.nets.runtime.WORTH', 10*224*224) # many begin at five images of two views
    torch.manual_seed(0)
    net = SiameseNet(make_backbone('efficientnet_lite0'), Head(1280), Transform(224, ('squash', 'crop'))).eval()
    model = Matcher(net, dict(threshold=.5, dim=128), 'cpu')
    alone = np.stack([model.embed(o, progress=False) for o in pictures])
    assert model.fast is None
    many = model.embed(pictures, progress=False)
    assert model.fast.why == 'ONNX Runtime'
    assert np.linalg.norm(alone - many, axis=1).max() < 1e-3
    for i,o in enumerate(pictures): Image.fromarray(o).save(tmp_path/f'{i}.png')
    Image.fromarray(pictures[3]).save(tmp_path/'copy.png')
    found = model.search(tmp_path/'3.png', k=1, folder=str(tmp_path))
    assert found[0]['path'].endswith('copy.png') and found[0]['distance'] < 1e-3
    import onnxruntime
    session = onnxruntime.InferenceSession(str(export_onnx(model, tmp_path/'m.onnx')), providers=['CPUExecutionProvider'])
    views = torch.stack([net.transform(torch.from_numpy(o).permute(2, 0, 1)) for o in pictures[:4]])
    onnx = session.run(None, dict(pixels=views.numpy()))[0]
    assert np.linalg.norm(onnx - alone[:4], axis=1).max() < 1e-3

def test_without_onnx_runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    lite = make_backbone('efficientnet_lite0').eval()
    pixels = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = faster(lite)
    with torch.inference_mode(): assert torch.allclose(plain(pixels), lite(pixels), atol=1e-4)
    assert plain.why == 'PyTorch, because ONNX Runtime cannot (import of onnxruntime halted; None in sys.modules)'

def test_what_no_graph_is_made_of(monkeypatch):
    assert faster(make_backbone('tiny'), images=100).why == 'PyTorch'
    def refuse(net, size): raise RuntimeError('no such operation\nand more')
    monkeypatch.setattr('siamese_nb.nets.runtime.to_onnx', refuse)
    assert faster(make_backbone('tiny')).why == 'PyTorch, because ONNX Runtime cannot (no such operation)'
