"Model files, checkpoints and feature caches with flipped, cut, inserted and forged bytes, for fuzz.py."
import os,random,tempfile
from pathlib import Path
import torch
from torch import nn
from siamese_nb.model import Backbone,Head,SiameseNet
from siamese_nb.nets import features,sealed

from siamese_nb.nets.model_file import FORMAT,load_model,save_model
from siamese_nb.training.checkpoint import CKPT,odd_moments,read_checkpoint,write_checkpoint

torch.set_num_threads(1)
ODD = [None, True, -1, 0, 1, 10**9, 10**30, 1e308, '', 'x', '\x1b[2J', 'resnet50', '../../etc/passwd', [], {}, [[]], ['squash']*99, {'heads':[]}, dict(size=10**9, views=['squash']), 'é\n'*9]

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
    return kinds

LAST = [''] # what was done to the last case

class Cases:
    "Case number i of a seed: always the same bytes"
    def __init__(self, seed, formats=None):
        self.seed,self.good = seed,{k:v for k,v in seeds().items() if not formats or k in formats}

    def __call__(self, i):
        rng = random.Random(f'{self.seed}-{i}')
        kind = rng.choice(sorted(self.good))
        how = LAST[0] = rng.choice(['flip', 'flip', 'flip', 'bytes', 'cut', 'insert', 'forge'])
        return f'{kind}-{how}',self.forged(kind, rng) if how=='forge' else self.damaged(bytearray(self.good[kind]), how, rng)

    def damaged(self, b, how, rng):
        "Some bytes are others"
        at = rng.randrange(len(b))
        if how=='flip': b[at] ^= 1 << rng.randrange(8)
        if how=='bytes':
            for _ in range(rng.randrange(1, 9)): b[rng.randrange(len(b))] = rng.randrange(256)
        if how=='cut': del b[at:]
        if how=='insert': b[at:at] = rng.randbytes(rng.randrange(1, 99))
        return bytes(b)

    def forged(self, kind, rng):
        "A fact or a tensor is another, and the checksum is right"
        name,version = dict(model=('siamese_nb', FORMAT), checkpoint=(CKPT, 2), features=(features.KIND, 1))[kind]
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
    head = file.read_bytes()[:4000]
    said,forged = [],0
    for read in (load_model, read_checkpoint, lambda f: sealed.read_sealed(f, features.KIND)):
        try: got = read(file)
        except (ValueError, OSError) as e: said.append(str(e))
        else:
            forged += 1
            if read is read_checkpoint: use(got)
    store = object.__new__(features.FeatureCache)
    store.folder,store.dim = file.parent,4
    if b'siamese_nb.features' in head and not any('\n' in s for s in said):
        try: t,_ = sealed.read_sealed(file, features.KIND)
        except ValueError: pass
        else: store.fits(t)
    odd = [s for s in said if '\n' in s or '\x1b' in s or len(s)>1500]
    if odd: return f'said {odd[0][:200]!r}'
    if forged and LAST[0]!='forge': return 'a damaged file was accepted'
    return '' if forged<2 else 'read as two kinds of file'

def use(state):
    "What a training would do with it, as far as it is allowed"
    layer = nn.Linear(3, 2)
    opt = torch.optim.AdamW(layer.parameters(), fused=True)
    if isinstance(state.get('opt'), dict) and not odd_moments(opt, state['opt']):
        opt.load_state_dict(state['opt'])
        layer(torch.ones(1, 3)).sum().backward()
        opt.step()

