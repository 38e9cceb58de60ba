"What visitors of the page hand over: archives, pictures, kinds; none of it needs Gradio"
import socket,zipfile
import pytest
import torch
from PIL import Image
from siamese_nb.apps.demo import add_kind,check_port,found,gather,kinds_text,learn_from,remember,unzip
from siamese_nb.apps.matcher import Matcher
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone

@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return Matcher(SiameseNet(make_backbone('tiny'), Head(512)), dict(name='noise', threshold=.5, dim=128, calibration=[-8., 4.]), 'cpu')

def test_archives_stay_inside(tmp_path):
    with zipfile.ZipFile(tmp_path/'bad.zip', 'w') as z:
        for name in ('../../up.png', '/etc/x.png', '.hidden/a.png', 'a/b/c/d.png', '__MACOSX/a/._b.png'): z.writestr(name, b'x')
    assert sorted(n for n,_ in gather([tmp_path/'bad.zip'], tmp_path/'to'))==['c/d.png', 'etc/x.png', 'up.png']
    assert all(f.is_relative_to(tmp_path/'to') for f in tmp_path.rglob('*.png'))

def test_no_archive_no_pictures(tmp_path):
    (tmp_path/'no.zip').write_bytes(b'PK no')
    with pytest.raises(ValueError, match='cannot be read') as e: unzip(tmp_path/'no.zip', tmp_path/'no')
    assert '\n' not in str(e.value)
    with pytest.raises(ValueError, match='no pictures yet'): gather([], tmp_path/'none')

def test_nothing_to_search(model, tmp_path):
    (tmp_path/'torn.png').write_bytes(b'\x89PNG torn')
    with pytest.raises(ValueError, match='none of the 1 files'): remember(model, [tmp_path/'torn.png'])
    with pytest.raises(ValueError, match='nothing to search'): found(model, None, Image.new('RGB', (9, 9)))

def test_kinds(model):
    kinds = add_kind(add_kind(None, 'seven', ['1.png', '2.png']), ' a/b ', ['3.png', '4.png', '5.png'])
    assert kinds_text(kinds)=='seven: 2, a b: 3'
    with pytest.raises(ValueError, match='no examples yet'): learn_from(model, None, {})
    with pytest.raises(ValueError, match='no name yet'): add_kind({}, ' ', ['1.png'])

def test_ports():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        with pytest.raises(OSError, match='give another one with --port'): check_port('127.0.0.1', s.getsockname()[1])
    with pytest.raises(ValueError, match='port is 99999'): check_port('127.0.0.1', 99999)
