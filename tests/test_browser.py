"The page that compares two pictures in the visitor's browser, beside siamese_compare"
import functools,http.server,shutil,sys,threading
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from siamese_nb.apps.matcher import Matcher
from siamese_nb.data.images import Transform,read_file
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone

root = Path(__file__).parents[1]
sys.path.insert(0, str(root/'tools'))
chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    net = SiameseNet(make_backbone('tiny'), Head(512, 16), Transform(16, ('squash', 'crop')))
    return Matcher(net, dict(name='noise', threshold=.3, dim=16, calibration=[-8., 2.4], calibration_pairs=98, error_rate=.1, measured_on='pairs of <b>mine'))

@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "A photograph's smoothness and noise, in the kinds that cameras and drawing programs write"
    to,rng = tmp_path_factory.mktemp('pictures'),np.random.default_rng(0)
    def photo(w, h, mode='RGB'):
        n = len(mode)
        low = np.asarray(Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((w, h), Image.BICUBIC), float)
        a = (low+rng.normal(0, 9, low.shape)).clip(0, 255).astype(np.uint8)
        img = Image.fromarray(a)
        if n==4: img.putalpha(Image.fromarray(np.asarray(img)[...,0]))
        return img if n>2 else img.convert(mode)
    exif = Image.Exif()
    exif[274] = 6 # lying on its side
    photo(90, 61).save(to/'plain.jpg', quality=90)
    photo(70, 93).save(to/'turned.jpg', exif=exif)
    photo(80, 80, 'RGBA').save(to/'glass.png')
    photo(128, 77, 'L').save(to/'grey.png')
    photo(9, 13).save(to/'tiny.png')
    return to

def test_what_the_page_cannot_show(model, tmp_path):
    from browser import page_facts
    (tmp_path/'x.onnx').write_bytes(b'x'*7)
    assert page_facts(model, tmp_path/'x.onnx') | dict(error_rate=None)==dict(name='noise', onnx='x.onnx', bytes=7, size=16, views=['squash', 'crop'], threshold=.3,
        calibration=[-8., 2.4], least=.01, error_rate=None, measured_on='pairs of <b>mine')
    padded = Matcher(SiameseNet(model.net.backbone, model.net.head, Transform(16, ('pad',))), model.meta)
    with pytest.raises(ValueError, match='squash and crop'): page_facts(padded, tmp_path/'x.onnx')

@pytest.fixture(scope='module')
def page(model, tmp_path_factory):
    from browser import build
    sync = pytest.importorskip('playwright.sync_api')
    if not chromium: pytest.skip('no Chromium here')
    if not shutil.which('npm'): pytest.skip('no npm here')
    site = tmp_path_factory.mktemp('site')
    assert build(site, model)
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *a): pass
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    with sync.sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = b.new_page()
        page.set_default_timeout(120_000)
        page.asked = []
        page.on('request', lambda r: page.asked.append(r.url))
        page.goto(f'http://127.0.0.1:{s.server_port}/compare.html')
        page.wait_for_function('window.siamese')
        yield page
        assert all(o.startswith((f'http://127.0.0.1:{s.server_port}/', 'blob:')) for o in page.asked) # nothing from elsewhere
        b.close()
    s.shutdown()
    s.server_close()

VIEWS = "async ([size, names]) => Array.from(siamese.views(await siamese.pixels(document.getElementById('a').files[0]), size, names))"

@pytest.mark.parametrize('name', ['plain.jpg', 'turned.jpg', 'glass.png', 'grey.png', 'tiny.png'])
def test_pixels(page, pictures, name):
    "Resizing as ours: at most one level of 255 beside it in files without loss, and as much as two JPEG decoders differ by otherwise"
    page.set_input_files('#a', str(pictures/name))
    for size in (16, 224):
        want = Transform(size, ('squash', 'crop'))(read_file(pictures/name)).numpy().astype(int)
        got = np.array(page.evaluate(VIEWS, [size, ['squash', 'crop']])).reshape(want.shape)
        assert np.abs(got-want).max()<=(3 if name.endswith('jpg') else 2 if name=='glass.png' else 1), np.abs(got-want).max()

@pytest.mark.parametrize('a,b', [('plain.jpg', 'turned.jpg'), ('glass.png', 'grey.png'), ('tiny.png', 'plain.jpg')])
def test_verdict(page, pictures, model, a, b):
    page.set_input_files('#a', str(pictures/a))
    page.set_input_files('#b', str(pictures/b))
    page.wait_for_selector('#said small')
    want = model.compare(pictures/a, pictures/b)
    got = page.evaluate("siamese.compare(document.getElementById('a').files[0], document.getElementById('b').files[0])")
    assert abs(got['distance']-want['distance'])<.01 and abs(got['p_same']-want['p_same'])<.02
    assert got['same']==(got['distance']<.3) and got['measured_on']==want['measured_on']
    page.wait_for_function(f"document.getElementById('said').innerText.includes('distance {got['distance']:.3f}')")
    assert 'pairs of <b>mine' in page.inner_text('#said') # text, not markup

def test_no_picture(page, pictures, tmp_path):
    (tmp_path/'no picture.png').write_text('text')
    page.set_input_files('#b', str(pictures/'plain.jpg'))
    page.set_input_files('#a', str(tmp_path/'no picture.png'))
    page.wait_for_selector('#said:has-text("no picture.png is no picture that this browser can read")')
