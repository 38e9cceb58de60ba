"Model files, checkpoints, caches, indexes, galleries, tables of images and of pairs, and recipes with flipped, cut, inserted and forged bytes, for fuzz.py."
import atexit,json,os,random,shutil,tempfile
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import torch
from torch import nn
from siamese_nb.apps import index
from siamese_nb.apps.identify import Gallery,load_gallery
from siamese_nb.core import content_hash
from siamese_nb.data.labelled import read_labelled_pairs,read_pairs
from siamese_nb.data.tables import get_table,read_split
from siamese_nb.data_split import Items
from siamese_nb.model import Backbone,Head,SiameseNet
from siamese_nb.nets import features,sealed
from siamese_nb.nets.model_file import FORMAT,load_model,save_model
from siamese_nb.training.checkpoint import CKPT,odd_moments,read_checkpoint,write_checkpoint
from siamese_nb.training.finetune import _sealed_array
from siamese_nb.training.recipe import NEW,read_recipe,to_dict

torch.set_num_threads(1)
ODD = [None, True, -1, 0, 1, 10**9, 10**30, 1e308, '', 'x', '\x1b[2J', 'resnet50', '../../etc/passwd', [], {}, [[]], ['squash']*99, {'heads':[]}, dict(size=10**9, views=['squash']), 'é\n'*9]
CELLS = [b'', b'0', b'-1', b'2', b'nan', b'1e999', b'"', b'=1+1', b'\0', b'\x1b[2J', b'../../etc/passwd', b'/dev/zero', b'.', b'..', b'~nouser/x', b'\xff\xfe', 'é'.encode(),
         b'x'*200_000, b'train', b'a.png', b'NONE', b'[]', b'{"a":1}', b'true', b'1e3', b'\xed\xa0\x80', b'\r', b'a.png\nb.png']
SEALED = dict(model=('siamese_nb', FORMAT), checkpoint=(CKPT, 2), features=(features.KIND, 1), index=(index.INDEX, 1))
TEXT = {'pairs':'.csv', 'table':'.csv', 'lines':'.jsonl', 'parquet':'.parquet', 'recipe':'.json', 'split':'.csv'} # kinds without a checksum
MODEL,MAPS = SimpleNamespace(key='key', dim=4, threshold=.5),(3, 2, 2, 2, 4)

def folder(_made=[]): # noqa: B006
    "Eight files that tables may name"
    if not _made:
        _made.append(Path(tempfile.mkdtemp(dir='/dev/shm' if os.path.isdir('/dev/shm') else None)))
        atexit.register(shutil.rmtree, _made[0], True)
        for i in range(12): (_made[0]/f'{"abcdefghijkl"[i]}.png').write_bytes(bytes([i]))
    return _made[0]

def tables():
    "Good tables, as bytes"
    names = [f'{c}.png' for c in 'abcdefghijkl']
    parts = [('train','valid','test')[i//4] for i in range(12)]
    rows = [dict(path=p, label='xy'[i%2], split=s) for i,(p,s) in enumerate(zip(names, parts))]
    pairs = ''.join(f'{names[4*k+i]},{names[4*k+j]},{int((i+j)%2)},{parts[4*k]}\n' for k in range(3) for i,j in ((0,1), (1,2), (0,2), (2,3)))
    out = dict(pairs=('a,b,y,split\n'+pairs).encode(), table=('path,label,split\n'+''.join(','.join(r.values())+'\n' for r in rows)).encode(),
               lines=''.join(json.dumps(r)+'\n' for r in rows).encode(), recipe=json.dumps(to_dict(NEW)).encode())
    out['split'] = out['table']
    try:
        import io
        import pyarrow as pa
        import pyarrow.parquet as pq
        pq.write_table(pa.Table.from_pylist(rows), b := io.BytesIO())
        out['parquet'] = b.getvalue()
    except ImportError: pass
    return out

def seeds():
    "A good file of each kind, as bytes"
    with tempfile.TemporaryDirectory() as tmp:
        file,kinds = Path(tmp)/'f',{}
        torch.manual_seed(0)
        net = SiameseNet(Backbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)), 'tiny', 4, 16), Head(4, 2, hidden=0))
        kinds['model'] = save_model(file, net, dict(threshold=.5, error_rate=.1, calibration=[-1., 1.], classes=['a'])).read_bytes()
        layer = nn.Linear(3, 2)
        opt = torch.optim.AdamW(layer.parameters(), fused=True)
        layer(torch.ones(1, 3)).sum().backward()
        opt.step()
        write_checkpoint(file, dict(settings=dict(lr=.1), history=[dict(epoch=0)], model=layer.state_dict(), opt=opt.state_dict()))
        kinds['checkpoint'] = file.read_bytes()
        sealed.save_sealed(file, dict(keys=torch.zeros(2, 16, dtype=torch.uint8), x=torch.ones(2, 4).half()), {}, features.KIND)
        kinds['features'] = file.read_bytes()
        index.write_index(file, dict(paths=np.array(['a.png', 'b/ü.png']), stamps=np.arange(6).reshape(2, 3), digests=np.array(['1'*32, '2'*32]), embeddings=np.ones((2, 4), np.float32)))
        kinds['index'] = file.read_bytes()
        x = np.lib.format.open_memmap(file, 'w+', np.float16, MAPS)
        x[:] = 1
        x.flush()
        kinds['maps'] = file.read_bytes()+bytes.fromhex(content_hash(file))
        g = Gallery(MODEL, 'mean', .5)
        g.refs = dict(ann=np.ones((2, 4), np.float32), bob=np.zeros((1, 4), np.float32))
        kinds['gallery'] = g.save(Path(tmp)/'g.npz').read_bytes()
    return kinds|tables()

LAST = ['', ''] # kind of the last case, and what was done to it

class Cases:
    "Case number i of a seed: always the same bytes"
    def __init__(self, seed, formats=None):
        self.seed,self.good = seed,{k:v for k,v in seeds().items() if not formats or k in formats}

    def __call__(self, i):
        rng = random.Random(f'{self.seed}-{i}')
        kind = rng.choice(sorted(self.good))
        last = 'forge' if kind in SEALED else 'cell' if TEXT.get(kind, '.parquet')!='.parquet' else 'bytes'
        how = rng.choice(['flip', 'flip', 'flip', 'bytes', 'cut', 'insert', last])
        LAST[:] = kind,how
        return f'{kind}-{how}',self.forged(kind, rng) if how=='forge' else self.damaged(bytearray(self.good[kind]), how, rng)

    def damaged(self, b, how, rng):
        "Some bytes are others"
        at = rng.randrange(len(b))
        if how=='flip': b[at] ^= 1 << rng.randrange(8)
        if how=='bytes':
            for _ in range(rng.randrange(1, 9)): b[rng.randrange(len(b))] = rng.randrange(256)
        if how=='cut': del b[at:]
        if how=='insert': b[at:at] = rng.randbytes(rng.randrange(1, 99))
        if how=='cell':
            for _ in range(rng.randrange(1, 4)):
                ends = [-1, *(i for i,c in enumerate(b) if c in b',:"\n'), len(b)]
                k = rng.randrange(len(ends)-1)
                b[ends[k]+1:ends[k+1]] = rng.choice(CELLS)
        if bytes(b)==self.good[LAST[0]]: b[at] ^= 1 # by chance as it was
        return bytes(b)

    def forged(self, kind, rng):
        "A fact or a tensor is another, and the checksum is right"
        name,version = SEALED[kind]
        with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as tmp:
            file = Path(tmp)/'f'
            file.write_bytes(self.good[kind])
            tensors,facts = sealed.read_sealed(file, name, version)
            if facts and rng.random()<.7: facts[rng.choice(sorted(facts))] = rng.choice(ODD)
            else:
                shape = rng.choice([(), (0,), (1,), (2, 3), (3, 2), (7, 1, 1), (1, 16)])
                tensors[rng.choice(sorted(tensors))] = torch.full(shape, rng.choice([0., 1., float('nan'), float('inf')])).to(rng.choice([torch.float32, torch.float16, torch.int64, torch.uint8]))
            try: sealed.save_sealed(file, tensors, facts, name, version)
            except ValueError: return b'' # it cannot even be written
            return file.read_bytes()

_GOOD = {}

def check(file, number):
    "'' where the file is refused in one line, or is what it was; else what is wrong"
    _GOOD.update(_GOOD or {v:k for k,v in seeds().items()})
    if file.read_bytes() in _GOOD: return ''
    kind,how = LAST
    if kind in TEXT: return check_text(file, kind)
    said,read = [],0
    for read_as,get in dict(model=load_model, checkpoint=read_checkpoint, features=whole_features, index=whole_index, maps=whole_maps, gallery=lambda f: load_gallery(f, MODEL)).items():
        try: got = get(file)
        except (ValueError, OSError) as e: said.append(str(e))
        else:
            read += 1
            if read_as=='checkpoint': use(got)
            if read_as=='gallery' and same_gallery(got): read -= 1 # bits of the archive that say nothing
    if odd := odd_lines(said): return odd
    if read and how!='forge': return 'a damaged file was accepted'
    return '' if read<2 else 'read as two kinds of file'

def odd_lines(said):
    odd = [s for s in said if not s.isprintable() or len(s)>1500]
    return f'said {odd[0][:200]!r}' if odd else ''

def check_text(file, kind):
    "Nothing but one line may come of a table or a recipe"
    f = folder()/f'case{TEXT[kind]}'
    f.write_bytes(file.read_bytes())
    items = Items('pics', [f'{c}.png' for c in 'abcdefghijkl'], ['']*12, root=folder())
    said = []
    reads = dict(pairs=[lambda: read_labelled_pairs(f, items), lambda: read_pairs(f, items)], recipe=[lambda: read_recipe(f)], split=[lambda: read_split(f)])
    for read in reads.get(kind, [lambda: get_table(f)]):
        try: got = read()
        except (ValueError, OSError) as e: said.append(str(e))
        else: said += [*getattr(got, 'notes', []), *(f'{printable_name(p)} {why}' for p,why in getattr(got, 'skipped', []))]
    return odd_lines(said+items.notes)

def printable_name(p):
    from siamese_nb.core import printable
    return printable(p)[:200]

def whole_features(file):
    t,_ = sealed.read_sealed(file, features.KIND)
    store = object.__new__(features.FeatureCache)
    store.folder,store.dim = file.parent,4
    if not store.fits(t): raise ValueError('other tensors')
    return t

def whole_index(file):
    t = index.read_index(file, 4)
    if not len(t['paths']): raise ValueError('no index')
    return t

def whole_maps(file):
    if _sealed_array(file, MAPS) is None: raise ValueError('no maps')

def same_gallery(g):
    return g.how=='mean' and g.threshold==.5 and list(g.refs)==['ann', 'bob'] and (g.refs['ann']==1).all() and (g.refs['bob']==0).all() and len(g.refs['ann'])==2

def use(state):
    "What a training would do with it, as far as it is allowed"
    layer = nn.Linear(3, 2)
    opt = torch.optim.AdamW(layer.parameters(), fused=True)
    if isinstance(state.get('opt'), dict) and not odd_moments(opt, state['opt']):
        opt.load_state_dict(state['opt'])
        layer(torch.ones(1, 3)).sum().backward()
        opt.step()
