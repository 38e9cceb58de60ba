"Sharing a model, against a small stand-in of the Hugging Face Hub on this machine"
import base64,hashlib,json,os,re,subprocess,sys,threading
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer
from pathlib import Path
import pytest

pytest.importorskip('huggingface_hub')
root = Path(__file__).parents[1]
COMMIT = 'a'*40

class Hub(BaseHTTPRequestHandler):
    "What of the Hub's interface a push and a download of a model need; large files go the way of Git LFS"
    def log_message(self, *a): pass
    def body(self): return self.rfile.read(int(self.headers.get('Content-Length') or 0))
    def answer(self, o=None, status=200, data=None, **headers):
        data = json.dumps(o).encode() if data is None else data
        self.send_response(status)
        for k,v in {'Content-Length':len(data), 'Content-Type':'application/json', **headers}.items(): self.send_header(k.replace('_', '-'), str(v))
        self.end_headers()
        if self.command!='HEAD': self.wfile.write(data)
    def do_POST(self):
        s,path,body = self.server,self.path.partition('?')[0],self.body()
        s.asked.append(path)
        if self.headers.get('Authorization')!='Bearer hf_good': return self.answer(dict(error='Invalid username or password.'), 401)
        if path=='/api/repos/create': 
            s.made.append(json.loads(body))
            return self.answer(dict(url=f'{s.at}/user/{s.made[-1]["name"]}', name=s.made[-1]['name']))
        if path.endswith('/preupload/main'): return self.answer(dict(files=[dict(path=o['path'], uploadMode='lfs' if o['path'].endswith('.safetensors') else 'regular', shouldIgnore=False) for o in json.loads(body)['files']]))
        if path.endswith('/objects/batch'): return self.answer(dict(transfer='basic', objects=[dict(o, actions=dict(upload=dict(href=f'{s.at}/put/{o["oid"]}'))) for o in json.loads(body)['objects']]))
        if path=='/api/validate-yaml': return self.answer(dict(errors=[], warnings=[]))
        if not path.endswith('/commit/main'): return self.answer(dict(error='not here'), 404)
        files = s.files.setdefault('/'.join(path.split('/')[3:5]), {})
        for line in map(json.loads, body.splitlines()):
            v = line['value']
            if line['key']=='file': files[v['path']] = base64.b64decode(v['content'])
            if line['key']=='lfsFile': files[v['path']] = s.blobs[v['oid']]
        return self.answer(dict(success=True, commitOid=COMMIT, commitUrl=f'{s.at}/user/name/commit/{COMMIT}'))
    def do_PUT(self):
        data = self.body()
        self.server.blobs[hashlib.sha256(data).hexdigest()] = data
        self.answer({})
    def do_GET(self):
        path = self.path.partition('?')[0]
        self.server.asked.append(path)
        repo,_,file = path.strip('/').partition('/resolve/main/')
        data = self.server.files.get(repo, {}).get(file)
        if data is None: return self.answer(dict(error='Repository not found'), 404, X_Error_Code='RepoNotFound', X_Error_Message='Repository not found')
        self.answer(data=data, X_Repo_Commit=COMMIT, ETag=f'"{hashlib.sha256(data).hexdigest()}"', X_Linked_Size=len(data))
    do_HEAD = do_GET

SCRIPT = r'''
import json, sys
import numpy as np, torch
from PIL import Image
from siamese_nb import load
from siamese_nb.apps.hub import Matcher
from siamese_nb.apps.matcher import siamese_compare
from siamese_nb.model import Head, SiameseNet
from siamese_nb.nets.backbones import make_backbone

def tell(f):
    try: r = f()
    except (OSError, ValueError) as e: r = f'{type(e).__name__}: {e}'
    print('@'+json.dumps(r), flush=True)

torch.manual_seed(0)
model = Matcher(SiameseNet(make_backbone('tiny'), Head(512, 16)), dict(name='noise', threshold=.5, dim=16, classes=['a', 'b'], error_rate=.1, error_ci95=[.05, .2], measured_on='pairs of mine'))
x = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
Image.fromarray(x).save('x.png')
results = dict(test=dict(accuracy=.9, accuracy_ci95=[.8, .95], eer=.1, roc_auc=.97, tpr_at_fpr_1pct=.5), seed=3, n_pairs=dict(test=100),
               n_images=dict(test=20), protocol='unseen', warnings=['few_pairs'])
tell(lambda: model.push('user/name', token='hf_bad'))
tell(lambda: model.push('name'))
tell(lambda: model.push('user/name', private=True))
def back():
    again = load('hf://user/name')
    return [repr(again), float(np.abs(again.embed(x)-model.embed(x)).max()), again.error_rate, again.measured_on]
tell(back)
tell(lambda: siamese_compare('hf://user/name', 'x.png', 'x.png')['distance'])
tell(lambda: load('hf://user/other') and None)
tell(lambda: model.push('user/second', results))
'''

@pytest.fixture(scope='module')
def hub(tmp_path_factory):
    "One session against the stand-in, whose address is read when huggingface_hub is imported"
    s,tmp = ThreadingHTTPServer(('127.0.0.1', 0), Hub),tmp_path_factory.mktemp('hub')
    s.at,s.files,s.blobs,s.asked,s.made = f'http://127.0.0.1:{s.server_port}',{},{},[],[]
    threading.Thread(target=s.serve_forever, daemon=True).start()
    env = {**os.environ, 'HF_ENDPOINT':s.at, 'HF_HOME':str(tmp/'hf'), 'HF_TOKEN':'hf_good', 'HF_HUB_DISABLE_XET':'1', 'HF_HUB_DISABLE_TELEMETRY':'1',
           'HF_HUB_DISABLE_PROGRESS_BARS':'1', 'NO_PROXY':'127.0.0.1', 'PYTHONPATH':str(root), 'OMP_NUM_THREADS':'1'}
    r = subprocess.run([sys.executable, '-c', SCRIPT], capture_output=True, text=True, env=env, cwd=tmp, timeout=600)
    s.shutdown()
    s.server_close()
    assert r.returncode==0, r.stderr[-3000:]
    s.said = [json.loads(o[1:]) for o in r.stdout.splitlines() if o.startswith('@')]
    return s

def test_refused(hub):
    bad,name,*_ = hub.said
    assert 'OSError: cannot put user/name on the Hub' in bad and 'hf auth login' in bad and "'name' is no name on the Hub" in name
    assert 'OSError: cannot get hf://user/other' in hub.said[5] and not any('\n' in o for o in (bad, name, hub.said[5]))

def test_there_and_back(hub):
    assert hub.said[2:5]==['hf://user/name', ['noise: tiny, 16 numbers an image, same below 0.500', 0, .1, 'pairs of mine'], 0]
    files = hub.files['user/name']
    card = files['README.md'].decode()
    assert sorted(files)==['README.md', 'model.safetensors'] and len(hub.made)==2 and hub.made[0].get('private', hub.made[0].get('visibility')) in (True, 'private')
    assert '10.00% of the pairs were judged wrongly (95 % interval 5.00% to 20.00%)' in card and 'Measured on: pairs of mine.' in card
    assert 'library_name: siamese_nb' in re.match(r'---\n(.*?)---\n', card, re.S)[1]

def test_results_and_no_pickle(hub):
    files = hub.files['user/second']
    card = files['README.md'].decode()
    assert hub.said[6]=='hf://user/second' and sorted(files)==['README.md', 'model.safetensors', 'results.json'] and json.loads(files['results.json'])['seed']==3
    assert '10.00% (95 % interval 5.00% to 20.00%)' in card and 'few\\_pairs' in card and 'No image of a test class' in card
    assert files['model.safetensors'][8:9]==b'{' # JSON begins: safetensors, no pickle

def test_nobody_there(tmp_path):
    "No connection: one line in the shell, without the client's own about every retry"
    env = {**os.environ, 'HF_ENDPOINT':'http://127.0.0.1:9', 'HF_HOME':str(tmp_path), 'HF_HUB_DISABLE_TELEMETRY':'1', 'NO_PROXY':'127.0.0.1', 'PYTHONPATH':str(root)}
    r = subprocess.run([sys.executable, '-m', 'siamese_nb', 'compare', 'hf://user/name', 'a.png', 'b.png'], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert r.returncode==2 and r.stderr.count('\n')==1 and 'cannot get hf://user/name' in r.stderr and not r.stdout, r.stderr

def test_a_card_without_an_interval():
    "Two test classes have none"
    from siamese_nb.apps.hub import _figures
    test = dict(accuracy=.9, accuracy_ci95=None, eer=.1, roc_auc=.97, tpr_at_fpr_1pct=.5)
    assert any('10.00%; too few' in o for o in _figures({}, dict(test=test)))
    assert any('interval 5.00% to 20.00%' in o for o in _figures({}, dict(test=test | dict(accuracy_ci95=[.8, .95]))))
