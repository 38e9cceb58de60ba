"Many actors, one table: a killed actor, a killed driver, changed files, and the same numbers as on one machine"
import importlib.util,os,signal,socket,subprocess,sys,time
from pathlib import Path
import numpy as np
import pytest
import torch
from siamese_nb.data_split import get_digits
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.model_file import save_model
from siamese_nb.apps.matcher import load
from siamese_nb.apps.vectors import index_table

lance = pytest.importorskip('lance')
from siamese_nb.apps import cluster

GROCERY = Path(__file__).parents[2]/'shared'/'grocery'

@pytest.fixture(scope='module')
def model(tmp_path_factory):
    torch.manual_seed(0)
    net = SiameseNet(make_backbone('tiny'), Head(512))
    return str(save_model(tmp_path_factory.mktemp('model')/'model.safetensors', net, dict(name='stub', threshold=.5)))

@pytest.fixture
def pics(tmp_path, monkeypatch):
    "Eighty groceries, or digits where there are none, and a file that is no picture"
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    found,digits = sorted(GROCERY.glob('*/*'))[::25],get_digits()
    for i in range(80):
        f = tmp_path/'pics'/f'{i%4}'/(f'{i:02d}.jpg' if found else f'{i:02d}.png')
        f.parent.mkdir(parents=True, exist_ok=True)
        if found: f.write_bytes(found[i].read_bytes())
        else: digits.open(i).save(f)
    (tmp_path/'pics'/'2'/'notes.png').write_text('no picture')
    return tmp_path/'pics'

def rows(table):
    "path -> (digest, why, label, vector)"
    t = lance.dataset(str(table)).to_table() if not hasattr(table, 'to_pylist') else table
    assert len(set(t['path'].to_pylist()))==len(t) # nothing twice
    return {r['path']:(r['digest'], r['why'], r['label'], r['vector']) for r in t.to_pylist()}

def equal(a, b):
    assert a.keys()==b.keys()
    for p in a:
        assert a[p][:3]==b[p][:3]
        assert (a[p][3] is None)==(b[p][3] is None)
        if a[p][3] is not None: assert np.linalg.norm(np.subtract(a[p][3], b[p][3]))<1e-3

def local(model, pics): return rows(index_table(load(model).index(pics, progress=False)))

@pytest.fixture
def by_hand(monkeypatch):
    "Actors one after the other in this process"
    asked = []
    def run(ray, work, job, *_):
        import json,pyarrow as pa
        actor = cluster.Embedder(job)
        for w in work:
            asked.append(w['shard'])
            yield json.loads(actor(pa.Table.from_pylist([w]))['said'][0].as_py())
    class Ray:
        cluster_resources = staticmethod(lambda: dict(CPU=2))
        put = get = staticmethod(lambda o: o)
    monkeypatch.setattr(cluster, 'start_ray', lambda address: Ray)
    monkeypatch.setattr(cluster, 'run_shards', run)
    return asked

@pytest.mark.skipif(not importlib.util.find_spec('ray'), reason='needs Ray')
def test_killed_actor(model, pics, tmp_path, monkeypatch):
    mark = str(tmp_path/'killed')
    monkeypatch.setenv('RAY_worker_niceness', '0')
    class Mortal(cluster.Embedder): # dies once, after it has written its fragment
        def __call__(self, batch):
            out = super().__call__(batch)
            if batch['shard'][0].as_py()==2 and not os.path.exists(mark):
                open(mark, 'w').close()
                os.kill(os.getpid(), signal.SIGKILL)
            return out
    monkeypatch.setattr(cluster, 'Embedder', Mortal)
    import ray
    try:
        said = cluster.embed_cluster(model, pics, tmp_path/'out.lance', every=0, progress=False)
    finally: ray.shutdown()
    assert os.path.exists(mark)
    assert said==dict(n=81, new=81, bad=1, gone=0)
    equal(rows(tmp_path/'out.lance'), local(model, pics))

@pytest.mark.skipif(not importlib.util.find_spec('ray'), reason='needs Ray')
def test_stopped_by_hand(model, pics, tmp_path):
    "Ctrl-C in a terminal reaches every process of the command: status 130, one line, no process is left, and the same command goes on"
    out = tmp_path/'out.lance'
    program = f"""
import os,signal,sys,time
from siamese_nb import cli
from siamese_nb.apps import cluster
add = cluster.Commits.add
def slowly(self, said):
    n = add(self, said)
    self.commit()
    print(self.ds.count_rows(), flush=True)
    time.sleep(60)
    return n
cluster.Commits.add = slowly
cli.start('siamese_embed', [{model!r}, {str(pics)!r}, {str(out)!r}, '--engine', 'ray'])
"""
    p = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                         env={**os.environ, 'RAY_worker_niceness':'0'})
    some = int(p.stdout.readline() or 0)
    left = family(p.pid)
    os.killpg(p.pid, signal.SIGINT)
    said,err = p.communicate(timeout=120)
    assert 0<some<81 and p.returncode==130 and err.count('\n')==1 and err=='siamese_embed: stopped; the same command goes on\n', err
    assert left and not [o for o in left if gone(o) is False]
    assert lance.dataset(str(out)).count_rows()>=some

def family(pid):
    "Processes that descend from one"
    parent = {}
    for o in Path('/proc').glob('[0-9]*'):
        try: parent[int(o.name)] = int((o/'stat').read_text().rsplit(')', 1)[1].split()[1])
        except OSError: pass
    found = {pid}
    for _ in parent: found |= {k for k,v in parent.items() if v in found}
    return found-{pid}

def gone(pid, seconds=30):
    "Does a process end by itself?"
    for _ in range(10*seconds):
        try: state = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
        except OSError: return True
        if state=='Z': return True
        time.sleep(.1)
    return False

@pytest.mark.skipif(not importlib.util.find_spec('ray'), reason='needs Ray')
def test_no_cluster_there(model, pics, tmp_path, capsys):
    "Nobody listens: one line at once, status 2, nothing written"
    from siamese_nb import cli
    with socket.socket() as s: # a port that was free a moment ago
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    for address in (f'127.0.0.1:{port}', f'ray://127.0.0.1:{port}', '[::1]:99999'):
        with pytest.raises(SystemExit) as e: cli.start('siamese_embed', [model, str(pics), str(tmp_path/'out.lance'), '--engine', 'ray', '--address', address])
        said = capsys.readouterr()
        assert e.value.code==2 and said.err.count('\n')==1 and f'no Ray cluster at {address}' in said.err and 'ray start --head' in said.err and not said.out
    with pytest.raises(SystemExit) as e: cli.start('siamese_embed', [model, str(pics), str(tmp_path/'out.lance'), '--address', 'auto'])
    assert e.value.code==2 and '--address needs --engine ray' in capsys.readouterr().err
    assert not (tmp_path/'out.lance').exists()

def test_goes_on_and_follows_the_folder(model, pics, tmp_path, by_hand):
    out = tmp_path/'out.lance'
    def run(): return cluster.embed_cluster(model, pics, out, every=0, progress=False)
    assert run()==dict(n=81, new=81, bad=1, gone=0)
    equal(rows(out), local(model, pics))
    first,second,third = sorted(o for o in pics.rglob('*.*') if o.name!='notes.png')[:3]
    first.unlink()
    second.write_bytes(third.read_bytes())
    (pics/"it's new.png").write_bytes(third.read_bytes())
    third.write_text('damaged')
    (pics/'2'/'notes.png').write_text('still no picture')
    assert run()==dict(n=81, new=3, bad=2, gone=3)
    equal(rows(out), local(model, pics))
    assert run()==dict(n=81, new=0, bad=2, gone=0)
    assert lance.dataset(str(out)).count_rows()==81

def test_killed_driver(model, pics, tmp_path, by_hand):
    "Killed without a chance to tidy up, when four shards are committed and one more is written"
    out = tmp_path/'out.lance'
    program = f"""
import json,os,signal,sys
import pyarrow as pa
from siamese_nb.apps import cluster
def run(ray, work, job, *_):
    actor = cluster.Embedder(job)
    for i,w in enumerate(work):
        said = json.loads(actor(pa.Table.from_pylist([w]))['said'][0].as_py())
        if i==4: os.kill(os.getpid(), signal.SIGKILL)
        yield said
class Ray:
    cluster_resources = staticmethod(lambda: dict(CPU=2))
    put = get = staticmethod(lambda o: o)
cluster.start_ray,cluster.run_shards = lambda address: Ray,run
cluster.embed_cluster({model!r}, {str(pics)!r}, {str(out)!r}, every=0, progress=False)
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True)
    assert done.returncode==-signal.SIGKILL, done.stderr
    assert lance.dataset(str(out)).count_rows()==64
    assert cluster.embed_cluster(model, pics, out, progress=False)==dict(n=81, new=17, bad=1, gone=0)
    equal(rows(out), local(model, pics))

def test_stopped_driver(model, pics, tmp_path, by_hand):
    "Ctrl-C: status 130, one line that says how to go on; what was written belongs to the table"
    out = tmp_path/'out.lance'
    program = f"""
import json,signal,sys,time
signal.signal(signal.SIGINT, signal.default_int_handler) # a shell's background job ignores it
import pyarrow as pa
from siamese_nb import cli
from siamese_nb.apps import cluster
def run(ray, work, job, *_):
    actor = cluster.Embedder(job)
    for i,w in enumerate(work):
        if i==3:
            print('waiting', flush=True)
            time.sleep(60)
        yield json.loads(actor(pa.Table.from_pylist([w]))['said'][0].as_py())
class Ray:
    cluster_resources = staticmethod(lambda: dict(CPU=2))
    put = get = staticmethod(lambda o: o)
cluster.start_ray,cluster.run_shards = lambda address: Ray,run
cli.start('siamese_embed', [{model!r}, {str(pics)!r}, {str(out)!r}, '--engine', 'ray'])
"""
    p = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                         env={**os.environ, 'TQDM_DISABLE':'1'})
    assert p.stdout.readline()=='waiting\n'
    os.killpg(p.pid, signal.SIGINT)
    said,err = p.communicate(timeout=120)
    assert (p.returncode, said, err)==(130, '', 'siamese_embed: stopped; the same command goes on\n')
    assert lance.dataset(str(out)).count_rows()==48 # three shards, though ten seconds between commits had not passed
    assert cluster.embed_cluster(model, pics, out, progress=False)==dict(n=81, new=33, bad=1, gone=0)
    equal(rows(out), local(model, pics))

def test_a_shard_counts_once(model, pics, tmp_path):
    ds = cluster.open_table(tmp_path/'out.lance', dict(model='stub', dim='4', distance='euclidean', threshold='1.0'))
    done,said = cluster.Commits(ds),dict(shard=3, n=16, new=16, bad=0, gone=[], fragments=[])
    assert (done.add(said), done.add(said), done.counts['n'])==(16, 0, 16)

def test_odd_names(model, pics, tmp_path, by_hand):
    "A newline, bytes that are no UTF-8, quotes, a name that sorts otherwise once it is printable"
    some = sorted(pics.rglob('*.*'))[0].read_bytes()
    for name in (b'a\nb.png', b'\xff.png', b"o'clock.png", 'é.png'.encode(), b'\x7f.png', '\U0001f600.png'.encode()):
        with open(os.path.join(os.fsencode(pics), name), 'wb') as f: f.write(some)
    out = tmp_path/'out.lance'
    assert cluster.embed_cluster(model, pics, out, progress=False)['new']==87
    equal(rows(out), local(model, pics))
    assert cluster.embed_cluster(model, pics, out, progress=False)['new']==0

def test_sources(model, pics, tmp_path, by_hand):
    "An address, and a list"
    def run(source, out): return cluster.embed_cluster(model, source, tmp_path/out, progress=False)
    assert run(f'file://{pics}', 'a.lance')['new']==81
    a,b = rows(tmp_path/'a.lance'),local(model, pics)
    assert {p:r[:1]+r[2:3] for p,r in a.items()}=={p:r[:1]+r[2:3] for p,r in b.items()}
    names = [str(o.relative_to(pics)) for o in sorted(pics.rglob('*.*'))[:20]]
    (pics/'some.txt').write_text('\n'.join([*names, '', 'nowhere.png']))
    assert run(pics/'some.txt', 'b.lance')==dict(n=21, new=21, bad=1, gone=0)
    assert rows(tmp_path/'b.lance')['nowhere.png'][1]=='no such file, check the path'

def test_what_cannot_be_done_is_said(model, pics, tmp_path, by_hand):
    out = tmp_path/'out.lance'
    for source,to,words in ((pics, 'out.npz', 'ends in .lance'), (tmp_path/'none', out, 'no folder at'), (model, out, 'is a file'),
                            ('nosuch://x', out, 'cannot list')):
        with pytest.raises((ValueError, OSError), match=words): cluster.embed_cluster(model, source, tmp_path/to, progress=False)
    assert not out.exists()
    cluster.open_table(out, dict(model='other', dim='4', distance='euclidean', threshold='1.0'))
    with pytest.raises(ValueError, match='another model'): cluster.embed_cluster(model, pics, out, progress=False)

def test_fewer_numbers(model, pics, tmp_path, by_hand):
    "Directions are found once, kept with the table, and used by whoever asks it"
    from siamese_nb.apps.matcher import siamese_embed,siamese_search
    from siamese_nb.apps.vector_search import VectorTable
    out,m = tmp_path/'out.lance',load(model)
    assert cluster.embed_cluster(model, pics, out, dim=16, progress=False)['new']==81
    kept = (out/'fewer.safetensors').read_bytes()
    assert cluster.embed_cluster(model, pics, out, progress=False)['new']==0 and (out/'fewer.safetensors').read_bytes()==kept
    ds = lance.dataset(str(out))
    assert ds.schema.field('vector').type.list_size==16 and ds.schema.metadata[b'dim']==b'16'
    query = sorted(pics.rglob('*.*'))[7]
    t = VectorTable(m, out)
    v = {p:r[3] for p,r in rows(out).items() if r[3]}
    assert np.linalg.norm(t.model.embed(query, progress=False)-v[str(query.relative_to(pics))])<1e-3
    assert np.allclose([np.linalg.norm(o) for o in v.values()], 1, atol=1e-4)
    found = siamese_search(model, str(query), str(out), k=3)
    assert len(found)==3 and str(query.relative_to(pics)) not in [o['path'] for o in found]
    siamese_embed(model, str(pics), str(tmp_path/'here.lance'), dim=16)
    assert [o['path'] for o in siamese_search(model, str(query), str(tmp_path/'here.lance'), k=3)][0]==found[0]['path']
    with pytest.raises(ValueError, match='16 numbers'): cluster.embed_cluster(model, pics, out, dim=8, progress=False)
    with pytest.raises(ValueError, match='pictures or more'): cluster.embed_cluster(model, pics, tmp_path/'b.lance', dim=64, progress=False)
    with pytest.raises(ValueError, match='ends in .lance'): siamese_embed(model, str(pics), str(tmp_path/'here.npz'), dim=16)
    with pytest.raises(ValueError, match='local or ray'): siamese_embed(model, str(pics), str(out), engine='spark')
    with pytest.raises(ValueError, match='need a .lance table'): siamese_search(model, str(query), str(pics), label='0')
