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
    ('siamese_embed', ('model', 'empty', 'never.npz'), ('holds no image',))])
def test_errors(call, place, name, args, words):
    one_line(call(name, *args), *words)
    assert not (place/'never.npz').exists()
