"The page of `siamese_demo`: through its programming interface always, and in a browser where there is one"
import json,os,re,shutil,signal,socket,subprocess,sys,time
from pathlib import Path
from urllib.request import urlopen
import numpy as np
import pytest
import torch
from PIL import Image
from siamese_nb.apps.matcher import load
from siamese_nb.data_split import get_digits
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.model_file import save_model

gradio = pytest.importorskip('gradio')
root = Path(__file__).parents[1]
browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def started(cmd, port, **env):
    "A server, once it answers"
    env = {**os.environ, 'PYTHONPATH':str(root), 'OMP_NUM_THREADS':'1', **env}
    p = subprocess.Popen([sys.executable, *map(str, cmd)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                         preexec_fn=None if os.name=='nt' else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a shell's background job ignores Ctrl-C
    for _ in range(2000):
        try: return urlopen(f'http://127.0.0.1:{port}/', timeout=5).read() and p
        except OSError: time.sleep(.3)
        if p.poll() is not None: break
    p.kill()
    pytest.fail(f'no page: {p.communicate()[0]}')

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A model that nobody trained, digits in class folders and in an archive, and what is no picture"
    where = tmp_path_factory.mktemp('demo')
    torch.manual_seed(0)
    save_model(where/'model'/'model.safetensors', SiameseNet(make_backbone('tiny'), Head(512)), dict(name='noise', threshold=.5, calibration=[-8., 4.]))
    digits = get_digits()
    for i in np.flatnonzero(np.isin(digits.y, (0, 1, 4, 7)))[::24]:
        (where/'digits'/digits.labels[i]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(digits.open(i)).repeat(4, 0).repeat(4, 1)).save(where/'digits'/digits.labels[i]/f'{i:04}.png')
    shutil.make_archive(str(where/'digits'), 'zip', where/'digits')
    (where/'no picture.png').write_text('This is text.')
    (where/'no archive.zip').write_text('This is text.')
    return where

@pytest.fixture(scope='module')
def url(place):
    port = free_port()
    p = started(['-m', 'siamese_nb', 'demo', place/'model', '--port', port], port)
    yield f'http://127.0.0.1:{port}/'
    p.send_signal(signal.SIGINT)
    out = p.communicate(timeout=60)[0]
    assert p.returncode==130 and 'Traceback' not in out and f'http://127.0.0.1:{port}/ (Ctrl-C ends it)' in out, out

def pictures(place): return sorted((place/'digits').rglob('*.png'))

@pytest.fixture(scope='module')
def client(url):
    from gradio_client import Client
    return Client(url, verbose=False)

@pytest.fixture
def ask(client):
    from gradio_client import handle_file
    def f(name, *args): return client.predict(*(handle_file(str(a)) if isinstance(a, Path) else a for a in args), api_name=f'/{name}')
    return f

def test_compare(place, ask):
    "The verdict is the one that siamese_compare gives for these files"
    a,b = pictures(place)[0],pictures(place)[-1]
    want = load(place/'model').compare(a, b)
    html,plot,heat = ask('compare', a, b)
    assert f"distance {want['distance']:.3f}; same below 0.500" in html and f">{'same' if want['same'] else 'different'}<" in html
    assert 'is not known' in html and 'P(same)' in html and plot['plot'].startswith('data:image/') and heat is None

def test_why(place, ask): assert Image.open(ask('why', *pictures(place)[:2])).size[0]>200

def test_search_and_calibrate(place, ask, client):
    from gradio_client import handle_file
    a = pictures(place)[0]
    said = client.predict([handle_file(str(place/'digits.zip')), handle_file(str(place/'no picture.png'))], api_name='/pictures')
    n = len(pictures(place))
    assert said.startswith(f'{n} pictures; left out: ') and 'picture.png' in said
    found = ask('search', a, 3, )
    m = load(place/'model')
    d = np.sort(np.linalg.norm(m.embed(pictures(place))-m.embed(a), axis=1))
    assert [float(o['caption'].split()[0]) for o in found]==pytest.approx(d[:3].tolist(), abs=2e-3) and f'0/{a.name}' in found[0]['caption']
    said,file = ask('calibrate', place/'digits.zip')
    mine = load(file)
    assert said.startswith('Same below') and 'in your_examples' in said and f'{mine.threshold:.3f}' in said
    assert f'same below {mine.threshold:.3f}' in ask('compare', a, a)[0] # of this visitor
    from gradio_client import Client
    assert 'same below 0.500' in Client(client.src, verbose=False).predict(handle_file(str(a)), handle_file(str(a)), api_name='/compare')[0] # of another

def test_kind_by_kind(place, ask, client):
    from gradio_client import handle_file
    ask('clear')
    for kind in '0147':
        some = [handle_file(str(p)) for p in pictures(place) if p.parent.name==kind]
        said = client.predict(kind, some, api_name='/add')[0]
    assert said.count(':')==4
    assert '4 classes' in ask('calibrate', None)[0]
    ask('clear')

@pytest.mark.parametrize('name,args,words', [
    ('compare', ('no picture.png', None), 'one is missing'), ('compare', ('no picture.png', 'no picture.png'), 'no picture.png.*cannot be used'),
    ('why', (None, None), 'one is missing'), ('search', ('digits/0', 3), 'nothing to search'), ('calibrate', (None,), 'no examples yet'),
    ('calibrate', ('no archive.zip',), 'cannot be read'), ('pictures', (['no picture.png'],), 'none of the 1 files'), ('add', (' ', ['no picture.png']), 'no name yet')])
def test_bad_input(place, url, name, args, words):
    "One line, no traceback, no folder of ours"
    from gradio_client import Client,handle_file
    from gradio_client.exceptions import AppError
    def arg(a):
        if isinstance(a, list): return [arg(o) for o in a]
        if a=='digits/0': return handle_file(str(pictures(place)[0]))
        return handle_file(str(place/a)) if isinstance(a, str) and a.strip() else a
    with pytest.raises(AppError, match=words) as e: Client(url, verbose=False).predict(*map(arg, args), api_name=f'/{name}')
    assert '\n' not in str(e.value) and '/tmp' not in str(e.value)

def test_on_this_machine_alone(url):
    "Nothing answers under the machine's other addresses"
    others = {o[4][0] for o in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}-{'127.0.0.1'}
    port = int(url.rsplit(':', 1)[1].strip('/'))
    for o in others|{'127.0.0.2'}:
        with pytest.raises(OSError): socket.create_connection((o, port), 2).close()

def test_port_taken_and_no_gradio(url, place, monkeypatch, capsys):
    from siamese_nb import cli
    import siamese_nb.apps.demo as demo
    port = url.rsplit(':', 1)[1].strip('/')
    for words,said in ((['--port', port], f'port {port}'), (['--port', '0'], 'port is 0'), (['--host', 'no.such.host.invalid'], 'no host'), (['nowhere'], 'no model')):
        with pytest.raises(SystemExit) as e: cli.start('siamese_demo', words)
        err = capsys.readouterr().err
        assert e.value.code==2 and err.count('\n')==1 and said in err
    monkeypatch.setattr(demo, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit): cli.start('siamese_demo', [])
    assert "pip install 'siamese_nb[demo]'" in capsys.readouterr().err

def test_space(tmp_path):
    "The app.py that the notebook shows, as a Space starts it"
    nb = json.loads((root/'nbs'/'engineering'/'demo.ipynb').read_text(encoding='utf-8'))
    code = next(m[1] for c in nb['cells'] if (m := re.search(r'```python\n(.*?)```', ''.join(c['source']), re.S)) and 'launch' in m[1])
    assert len(code.splitlines())==3
    (tmp_path/'app.py').write_text(code)
    port = free_port()
    p = started([tmp_path/'app.py'], port, SYSTEM='spaces', SPACE_ID='user/name', GRADIO_SERVER_NAME='127.0.0.1', GRADIO_SERVER_PORT=str(port), GRADIO_SSR_MODE='false')
    try: assert b'siamese_nb' in urlopen(f'http://127.0.0.1:{port}/config').read()
    finally:
        p.kill()
        p.communicate()

@pytest.fixture(scope='module')
def chromium():
    sync = pytest.importorskip('playwright.sync_api')
    if not browser: pytest.skip('no Chromium here: what the page does was tested through its interface, above')
    with sync.sync_playwright() as p:
        b = p.chromium.launch(executable_path=browser, args=['--no-sandbox'])
        yield b
        b.close()

def test_in_a_browser(chromium, url, place):
    "Real uploads, all three tabs, and not one request to elsewhere"
    page,asked = chromium.new_page(),[]
    page.set_default_timeout(120_000)
    page.on('request', lambda r: asked.append(r.url))
    page.goto(url)
    def give(where, files): page.set_input_files(f'{where} input[type=file]', files)
    a,b = pictures(place)[0],pictures(place)[-1]
    give('#a', str(a))
    give('#b', str(b))
    for o in '#a img','#b img': page.wait_for_selector(o)
    page.click('#compare')
    page.wait_for_selector('#verdict [role=status]')
    assert f"distance {load(place/'model').compare(a, b)['distance']:.3f}" in page.inner_text('#verdict')
    page.wait_for_selector('#scale img')
    page.click('#why')
    page.wait_for_selector('#heat img')
    page.get_by_role('tab', name='Search').click()
    give('#files', [str(place/'digits.zip'), str(place/'no picture.png')])
    page.wait_for_selector(f'#there:has-text("{len(pictures(place))} pictures")')
    give('#query', str(a))
    page.wait_for_selector('#query img')
    page.click('#search')
    page.wait_for_selector('#found img')
    assert page.locator('#found img').count()>=8
    page.get_by_role('tab', name='Calibrate').click()
    page.click('#calibrate')
    page.wait_for_selector('text=no examples yet: give')
    give('#archive', str(place/'digits.zip'))
    page.wait_for_selector('#archive :text("digits")')
    page.click('#calibrate')
    page.wait_for_selector('#calibrated:has-text("Same below")')
    page.wait_for_selector('#model a')
    page.get_by_role('tab', name='Compare').click()
    page.click('#compare')
    page.wait_for_selector('#verdict:has-text("your_examples")')
    assert asked and not [o for o in asked if not o.startswith((url, 'data:', 'blob:', url.replace('http', 'ws')))]
    if 'SIAMESE_NB_SHOTS' in os.environ: page.screenshot(path=os.environ['SIAMESE_NB_SHOTS'], full_page=True)
    page.close()
