"The commands as a shell sees them: what is on stdout and stderr, and the exit status"
import json,os,subprocess,sys
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.model_file import save_model

def run(name, *args):
    "A console script through its entry point, installed or not"
    code = f'import sys; from siamese_nb.cli import {name}; sys.exit({name}())'
    env = {**os.environ, 'PYTHONPATH':os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')])}
    return subprocess.run([sys.executable, '-c', code, *map(str, args)], capture_output=True, text=True, env=env)

def one_line(r, *words):
    "Status 2, and one line on stderr that holds the words"
    assert r.returncode==2 and r.stdout=='' and r.stderr.count('\n')==1 and 'Traceback' not in r.stderr, r.stderr
    assert all(w in r.stderr for w in words), r.stderr

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A model that nobody trained, and a folder of pictures with odd names and bad company"
    root = tmp_path_factory.mktemp('commands')
    torch.manual_seed(0)
    save_model(root/'model'/'model.safetensors', SiameseNet(make_backbone('tiny'), Head(512)),
               dict(name='noise', threshold=.5, calibration=[-8., 4.], error_rate=.1))
    rng = np.random.default_rng(0)
    for name in ('a.png', 'b b.png', 'sub/ü.jpg', 'sub/line\nbreak.png'):
        (root/'pics'/name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(root/'pics'/name)
    (root/'pics'/'cut.png').write_bytes((root/'pics'/'a.png').read_bytes()[:200])
    return root

def test_compare(place):
    a,b = place/'pics'/'a.png',place/'pics'/'b b.png'
    r = run('siamese_compare', place/'model', a, b, '--json')
    out = json.loads(r.stdout)
    assert r.returncode==0 and list(out)==['a', 'b', 'distance', 'threshold', 'same', 'p_same', 'error_rate', 'measured_on']
    assert (out['a'], out['b'], out['threshold'], out['error_rate'])==(str(a), str(b), .5, .1)
    assert out['same']==(out['distance']<.5) and np.isclose(out['p_same'], 1/(1+np.exp(8*out['distance']-4)))

def test_search(place):
    r = run('siamese_search', place/'model', place/'pics'/'a.png', place/'pics', '-k', 2, '--json')
    out = json.loads(r.stdout)
    assert r.returncode==0 and len(out)==2 and all(list(o)==['path', 'distance', 'same'] for o in out)
    assert out[0]['distance']<=out[1]['distance'] and str(place/'pics'/'a.png') not in [o['path'] for o in out]
    assert r.stderr.count('\n')==1 and '1 left out' in r.stderr and 'cut.png' in r.stderr

def test_embed(place):
    r = run('siamese_embed', place/'model', place/'pics', place/'out.npz')
    assert r.returncode==0
    with np.load(place/'out.npz') as z: paths,e = z['paths'],z['embeddings']
    assert sorted(paths)==sorted(['a.png', 'b b.png', 'sub/ü.jpg', 'sub/line\nbreak.png']) and e.shape==(4, 128) and e.dtype==np.float32

def test_bad_image(place): one_line(run('siamese_compare', place/'model', place/'pics'/'a.png', place/'pics'/'cut.png'), 'cut.png', 'cannot be used')

@pytest.fixture
def call(place, monkeypatch, capsys):
    "The same entry point in this process: no seconds for an import"
    from siamese_nb import cli
    (place/'empty').mkdir(exist_ok=True)
    (place/'taken'/'audit.csv').mkdir(parents=True, exist_ok=True)
    (place/'cut.safetensors').write_bytes((place/'model'/'model.safetensors').read_bytes()[:999])
    monkeypatch.chdir(place)
    def f(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *args])
        try: status = getattr(cli, name)() or 0
        except SystemExit as e: status = e.code
        return subprocess.CompletedProcess(args, status, *capsys.readouterr())
    return f

def test_plain_text(call):
    r = call('siamese_compare', 'model/model.safetensors', 'pics/a.png', 'pics/a.png')
    assert r.returncode==0 and r.stdout.count('\n')==1 and 'same: distance 0.000' in r.stdout
    r = call('siamese_search', 'model', 'pics/a.png', 'pics', '-k2')
    assert r.returncode==0 and r.stdout.count('\n')==2

@pytest.mark.parametrize('name,args,words', [
    ('siamese_compare', ('nowhere', 'a', 'b'), ('no model', 'nowhere')),
    ('siamese_compare', ('pics/a.png',), ('1 words', 'two images')),
    ('siamese_compare', ('model', '', 'pics/a.png'), ('empty',)),
    ('siamese_compare', ('model', 'pics/a.png', 'pics/a.png', '--jsno'), ('did you mean --json',)),
    ('siamese_embed', ('model', 'pics', 'never.csv'), ('.npz, .parquet or .lance',)),
    ('siamese_search', ('model', 'pics/a.png', 'nowhere'), ('no folder', 'nowhere')),
    ('siamese_search', ('model', 'pics/a.png', 'pics', '--k=0'), ('k is 0',)),
    ('siamese_search', ('model', 'pics/a.png', 'pics', '-k', 'two'), ('-k', 'two')),
    ('siamese_embed', ('model', 'pics', 'nowhere/out.npz'), ('no folder', 'out.npz')),
    ('siamese_embed', ('cut.safetensors', 'pics', 'never.npz'), ('cut.safetensors',)),
    ('siamese_embed', ('model', 'empty', 'never.npz'), ('holds no image',)),
    ('siamese_audit', ('nowhere',), ('no folder', 'nowhere')),
    ('siamese_audit', ('pics/a.png',), ('no folder', 'a.png')),
    ('siamese_audit', ('empty', '--model', 'model'), ('holds no image',)),
    ('siamese_audit', ('pics', '--model', 'nowhere'), ('no model', 'nowhere')),
    ('siamese_audit', ('pics', '--model', 'model', '--out', 'pics/a.png'), ('a.png', 'which is no folder', 'give another folder')),
    ('siamese_audit', ('pics', '--model', 'model', '--out', 'taken'), ('audit.csv', 'no regular file')),
    ('siamese_calibrate', ('model', 'nowhere'), ('no folder', 'nowhere')),
    ('siamese_calibrate', ('model', 'empty'), ('empty',))])
def test_errors(call, place, name, args, words):
    one_line(call(name, *args), *words)
    assert not (place/'never.npz').exists()

def test_places_that_cannot_be(call, place):
    "Said before any picture is read"
    one_line(call('siamese_audit', 'pics', '--model', 'model', '--out', 'model/model.safetensors'), 'no folder', '--out')
    one_line(call('siamese_audit', 'pics', '--model', 'model', '--out', 'x'*300), '--out')
    rng = np.random.default_rng(0)
    for i in range(12):
        (place/'kinds'/'ab'[i%2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(place/'kinds'/'ab'[i%2]/f'{i}.png')
    one_line(call('siamese_run', 'kinds', '--out', 'o\0x'), 'null', '--out')
    one_line(call('siamese_run', 'kinds', '--out', 'kinds'), 'lies among the images of', '--out')
    one_line(call('siamese_run', 'kinds', '--out', 'kinds/a/runs'), 'lies among the images of', '--out')
    one_line(call('siamese_run', 'kinds', '--backbone', 'tiny', '--workers', '100000'), 'workers is 100000', 'give 0 to')
    one_line(call('siamese_compare', 'model', 'https://host/a.png', 'pics/a.png'), 'addresses are not opened')
    assert not (place/'kinds'/'graphs').exists() and not (place/'kinds'/'a'/'runs').exists()

def test_too_few_or_too_many_numbers_are_said_before_anything_is_embedded(call, monkeypatch):
    from siamese_nb.apps import matcher
    pytest.importorskip('lance')
    def never(*a): raise AssertionError('it embedded')
    monkeypatch.setattr(matcher, 'indexed', never)
    for dim in (1, 128, 999): one_line(call('siamese_embed', 'model', 'pics', 'never.lance', '--dim', str(dim)), f'dim is {dim}', '2 to 127')

def shell(line, place, **env):
    "A line for bash; siamese_* are the entry points of this checkout"
    names = ('siamese_compare', 'siamese_search', 'siamese_embed', 'siamese_run')
    made = ''.join(f'{n}() {{ "{sys.executable}" -m siamese_nb {n[8:]} "$@"; }}; ' for n in names)
    there = filter(None, [str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH')]) # an empty part would be the current folder, and Python ends where that is gone
    env = {**os.environ, 'PYTHONPATH':os.pathsep.join(there), **env}
    return subprocess.run(['bash', '-c', made+line], capture_output=True, text=True, env={k:v for k,v in env.items() if v is not None}, cwd=place)

@pytest.mark.skipif(os.name=='nt', reason='bash')
def test_odd_shells(place):
    "A reader that has had enough, a full disk, an ASCII terminal, no home, a folder that is gone"
    search = 'siamese_search model pics/a.png pics -k 4'
    r = shell(f'{search} | head -1; echo ${{PIPESTATUS[0]}}; {search} >&-; echo $?', place)
    assert r.stdout.split()[-2] in ('0', '1') and r.stdout.split()[-1]=='0' and 'Traceback' not in r.stderr
    if os.path.exists('/dev/full'):
        r = shell(f'{search} > /dev/full', place)
        assert r.returncode==2 and 'no space left for the output' in r.stderr and 'Traceback' not in r.stderr
    r = shell(search, place, PYTHONIOENCODING='ascii', LC_ALL='C')
    assert r.returncode==0 and r.stdout.count('\n')==3 and r.stdout.isascii()
    r = shell('siamese_compare model pics/a.png "~nouser/x.png"', place, HOME=None)
    assert r.returncode==2 and r.stderr.count('\n')==1 and '~nouser/x.png' in r.stderr
    r = shell('mkdir gone; cd gone; rmdir ../gone; siamese_compare ../model ../pics/a.png ../pics/a.png', place)
    assert r.returncode==2 and r.stderr.count('\n')==1 and 'current folder is gone' in r.stderr
