"Past one machine: an index of a million, four and ten million made vectors, the driver's memory, and killed actors and drivers on real photographs. Writes graphs/scale/{index,memory,killed,costs}.csv, one job at a time: scale.py JOB."
import json,os,resource,signal,subprocess,sys,tempfile,time
from importlib.metadata import version
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse

# --- vectors that are spread as real ones are
def spread(grocery, dim):
    "Variances along the principal directions of the general model's embeddings of groceries, and the share that lies between kinds"
    from siamese_nb.apps.matcher import load
    from siamese_nb.data.folders import get_folder
    from siamese_nb.nets.features import extract
    from siamese_nb.nets.backbones import make_backbone,two_means
    from siamese_nb.data.images import Transform
    items,bb = get_folder(grocery),two_means(make_backbone('efficientnet_lite0'))
    x,_ = extract(bb, items, Transform(bb.size, ('squash', 'crop')))
    with torch.no_grad(): e = load('general').net.head(x[..., :bb.plain])
    e = (e-e.mean(0)).double()
    lam,u = torch.linalg.eigh(e.T@e/len(e))
    z,y = e@u.flip(1)[:, :dim],torch.from_numpy(items.y)
    means = torch.stack([z[y==c].mean(0) for c in range(int(y.max())+1)])
    n = len(z)/len(means)
    within = (z-means[y]).square().sum(0)/(len(z)-len(means))
    between = (means.var(0)-within/n).clamp(min=0) # what the means of kinds differ by, less chance
    return between.sqrt().numpy(),within.sqrt().numpy()

def made(n, between, within, each=100, seed=0, step=100_000):
    "Blocks of vectors: `each` pictures of every kind, kinds and pictures spread as measured"
    rng = np.random.default_rng(seed)
    for k in range(0, n, step):
        m,dim = min(step, n-k),len(within)
        c = np.repeat(rng.standard_normal((-(-m//each), dim), dtype=np.float32)*between.astype('f4'), each, 0)[:m]
        yield c+rng.standard_normal((m, dim), dtype=np.float32)*within.astype('f4')

def write_made(file, n, spreads, bits=32):
    "A Lance table of them"
    import lance
    import pyarrow as pa
    dim,kind = len(spreads[0]),pa.float32()
    schema = pa.schema([('path', pa.string()), ('vector', pa.list_(kind, dim))])
    def blocks():
        k = 0
        for e in made(n, *spreads):
            paths = pa.array([f'{i//100:06d}/{i:09d}.jpg' for i in range(k, k+len(e))])
            yield pa.record_batch([paths, pa.FixedSizeListArray.from_arrays(pa.array(e.ravel(), kind), dim)], schema=schema)
            k += len(e)
    return lance.write_dataset(pa.RecordBatchReader.from_batches(schema, blocks()), file, schema=schema)

def used(what, f, **about):
    "Run, and say wall and CPU seconds"
    w,c = time.perf_counter(),time.process_time()
    out = f()
    row = dict(about, what=what, seconds=time.perf_counter()-w, cpu_seconds=time.process_time()-c)
    print(row, flush=True)
    return out,row

def size_of(folder): return sum(f.stat().st_size for f in Path(folder).rglob('*') if f.is_file())

def in_turn(ds, index, n=12, k=10, seed=1):
    "Milliseconds a query, index and comparison with all in turn; medians"
    from siamese_nb.apps.vector_search import query_rows
    e = ds.sample(n)['vector'].combine_chunks().flatten().to_numpy().reshape(n, -1)
    took = []
    for q in e:
        t = [time.perf_counter()]
        for how in (index, None):
            query_rows(ds, q, k, how, ['path'])
            t.append(time.perf_counter())
        took.append(np.diff(t))
    a,b = np.array(took).T*1000
    return dict(index_ms=float(np.median(a)), exact_ms=float(np.median(b)), times=float(np.median(b/a)))

def index(n, dim, out, grocery, sample_rate=64):
    "Write, index, measure"
    from siamese_nb.apps.vector_search import make_index
    with tempfile.TemporaryDirectory(dir=os.environ.get('SCRATCH')) as d:
        ds,wrote = used('write', lambda: write_made(f'{d}/t.lance', n, spread(grocery, dim)))
        raw = size_of(f'{d}/t.lance')
        known,built = used('index', lambda: make_index(ds, least=1000, sample_rate=sample_rate))
        speed = in_turn(ds, known)
        row = dict(kind=known['kind'], vectors=n, numbers=dim, table_GB=raw/1e9, index_GB=(size_of(f'{d}/t.lance')-raw)/1e9, write_cpu_s=wrote['cpu_seconds'],
                   index_cpu_s=built['cpu_seconds'], partitions=known['partitions'], probes=known['probes'], refine=known['refine'],
                   queries=known['queries'], **{'recall@10':known['recall']}, **speed, peak_GB=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20)
    add(out/'index.csv', [row], ['kind', 'vectors', 'numbers'])

def add(file, rows, keys):
    "Rows into a table, in place of those with the same keys"
    t = pd.DataFrame(rows)
    if file.exists(): t = pd.concat([pd.read_csv(file), t]).drop_duplicates(keys, keep='last').sort_values(keys)
    t.round(5).to_csv(file, index=False)
    print(t.round(4).to_string(index=False), flush=True)

# --- the driver
def stub_model(folder):
    "The smallest model there is: `tiny` with weights of chance; it embeds, and means nothing"
    from siamese_nb.model import Head,SiameseNet
    from siamese_nb.nets.backbones import make_backbone
    from siamese_nb.nets.model_file import save_model
    torch.manual_seed(0)
    return str(save_model(Path(folder)/'model.safetensors', SiameseNet(make_backbone('tiny'), Head(512)), dict(name='stub', threshold=.5)))

def tiny_pictures(folder, n):
    "Digits as PNG files of their own, each with a spot of its own"
    from PIL import Image
    from siamese_nb.data_split import get_digits
    digits = get_digits()
    for i in range(n):
        a = np.array(digits.open(i%len(digits)))
        a.ravel()[:3] = i&255,i>>8&255,i>>16
        f = Path(folder)/f'{i//1000:03d}'/f'{i:06d}.png'
        f.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(a).save(f, compress_level=1)

DRIVER = """
import json,resource,sys
from siamese_nb.apps import cluster
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**10
tidy,seen = cluster.tidy,{}
def tidy_up(ds): # when all is embedded
    seen['embedding_MB'] = peak()
    tidy(ds)
cluster.tidy = tidy_up
said = cluster.embed_cluster(*sys.argv[1:4], every=float(sys.argv[4]), progress=False)
print(json.dumps(said | seen | dict(MB=peak())))
"""
def driver(model, source, out, every=10.): return [sys.executable, '-c', DRIVER, str(model), str(source), str(out), str(every)]

def said(words):
    "Run a driver to its end"
    r = subprocess.run(words, capture_output=True, text=True)
    if r.returncode: raise SystemExit(r.stderr[-2000:])
    return json.loads(r.stdout.strip().splitlines()[-1])

def memory(out, sizes=(2000, 50_000)):
    "Peak memory of the driver's process, until all is embedded and with the index at the end"
    rows = []
    for n in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get('SCRATCH')) as d:
            model = stub_model(d)
            tiny_pictures(f'{d}/pics', n)
            r = said(driver(model, f'{d}/pics', f'{d}/out.lance'))
            rows.append(dict(pictures=n, embedding_MB=r['embedding_MB'], driver_MB=r['MB'], rows=r['new'], bad=r['bad']))
            print(rows[-1], flush=True)
    add(out/'memory.csv', rows, ['pictures'])

# --- killed
def workers(name='Embedder'):
    "Process numbers of actors on this machine"
    found = []
    for p in Path('/proc').glob('[0-9]*'):
        try: line = (p/'cmdline').read_bytes()
        except OSError: continue
        if line.startswith(b'ray::') and name.encode() in line: found.append(int(p.name))
    return found

def rows_of(table):
    import lance
    t = lance.dataset(str(table)).to_table().to_pylist()
    return {r['path']:r for r in t},len(t)

def wait_for(table, n, process):
    "Until the table has `n` rows"
    import lance
    while process.poll() is None:
        try:
            k = lance.dataset(str(table)).count_rows()
            if k>=n: return k
        except (OSError, ValueError): pass
        time.sleep(.2)
    raise SystemExit(f'over before it had {n} rows: {process.stderr.read()[-1500:] if process.stderr else ""}')

def killed(out, grocery, n):
    "General model, real photographs: an actor and then the driver are killed with SIGKILL; the table against `model.embed`"
    from siamese_nb.apps.matcher import load
    with tempfile.TemporaryDirectory(dir=os.environ.get('SCRATCH')) as d:
        files = [f for f in sorted(Path(grocery).glob('*/*.*'))][::max(1, 2025//n)][:n]
        for f in files:
            to = Path(d)/'pics'/f.parent.name/f.name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(f.read_bytes())
        (Path(d)/'pics'/files[0].parent.name/'damaged.jpg').write_bytes(files[0].read_bytes()[:700])
        words,table = driver('general', f'{d}/pics', f'{d}/out.lance', 0),f'{d}/out.lance'
        p = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(table, 1, p)
        os.kill(workers()[0], signal.SIGKILL)
        wait_for(table, n//2, p)
        p.kill()
        p.wait()
        left = rows_of(table)[1]
        r = said(words)
        found,rows = rows_of(table)
        names = sorted(k for k,v in found.items() if v['why'] is None)
        mine = load('general').embed([f'{d}/pics/{k}' for k in names], progress=False)
        far = float(np.linalg.norm(mine-np.array([found[k]['vector'] for k in names]), axis=1).max())
        row = dict(pictures=n+1, killed='an actor, then the driver', rows_when_killed=left, done_again=r['new']-(n+1-left), rows=rows, different_paths=len(found),
                   bad=r['bad'], largest_difference=far)
    add(out/'killed.csv', [row], ['pictures'])

# --- what a picture costs
def costs(out, grocery, n=512):
    "CPU seconds of one picture, in its parts, in one process with one thread"
    from siamese_nb.apps.cluster import Shard,reader
    from siamese_nb.apps.matcher import load
    from siamese_nb.nets.runtime import faster
    from siamese_nb.core import content_hash
    torch.set_num_threads(1)
    m = load('general', 'cpu')
    m.fast = faster(m.net.backbone, 'cpu')
    files = [str(f) for f in sorted(Path(grocery).glob('*/*.*'))][::3][:n]
    read = reader(None, '/')
    pics = Shard(files, read, {}, m.net.transform)
    rows = [used('read and hash', lambda: [content_hash(read(f)) for f in files])[1],
            used('decode and two views', lambda: [pics[i] for i in range(len(files))])[1],
            used('all', lambda: m.embed_some(Shard(files, read, {}, m.net.transform), progress=False))[1]]
    size = np.mean([os.path.getsize(f) for f in files])
    t = [dict(what=r['what'], cpu_ms=1000*r['cpu_seconds']/len(files), pictures=len(files), kB=size/1000, model='general', backbone='efficientnet_lite0') for r in rows]
    add(out/'costs.csv', t, ['what'])

@call_parse
def main(job:str, # small, million, four_million, ten_million, memory, killed or costs
         grocery:str='../shared/grocery', # a folder of grocery kinds
         out:str='graphs/scale'): # folder for the tables
    "Measure one thing, print, write"
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    print({k:version(k) for k in ('ray', 'pylance', 'pyarrow', 'torch')})
    dict(million=lambda: index(1_000_000, 256, out, grocery), ten_million=lambda: index(10_000_000, 64, out, grocery, 64),
         small=lambda: index(100_000, 256, out, grocery), four_million=lambda: index(4_000_000, 64, out, grocery), memory=lambda: memory(out), killed=lambda: killed(out, grocery, 300),
         costs=lambda: costs(out, grocery))[job]()
