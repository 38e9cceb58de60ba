"Ours and another way to do the same, in one process, taking turns."
import os,tempfile,time
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import torch
from torchvision import transforms
from siamese_nb.data.images import *
from siamese_nb.model import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.devices import autocast
from siamese_nb.nets.runtime import *
from siamese_nb.nets.heads import Dropout,Heads
from siamese_nb.nets.features import *
from siamese_nb.nets.features import embed_some
from siamese_nb.loss import *
from siamese_nb.training.all_pairs import *
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.evaluation.nearest import nearest
from finetuning import finetuning
from timing import python,row,seconds

def usual(size=224):
    "The usual chain of Pillow transforms"
    return transforms.Compose([transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize([.485,.456,.406], [.229,.224,.225])])

def unit(n, dim=128):
    "Embeddings of length one"
    return torch.nn.functional.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(0)), dim=1)

def read_all(items, transform, idx):
    "Read images on all cores and let go of them"
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(ItemViews(items, transform).__getitem__, np.asarray(idx).tolist()): pass

def reading(items, n):
    "Images to network input, one thread: our fast path against the usual chain of Pillow transforms"
    squash,chain,idx = Transform(224),usual(),range(n)
    t,u = seconds(lambda: [squash(read_image(items, i, 224)) for i in idx], lambda: [chain(items.open(i)) for i in idx], rounds=2)
    return row('read and resize', n, 'images', 'read_image + Transform', 'Pillow + Resize + ToTensor + Normalize', t, u)

def embed_all(net, pixels):
    "The network alone, the way `extract` runs it: each thread a batch of its own"
    with ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(lambda x: embed_some(net, None, x[:,None], torch.device('cpu')), pixels.split(8)): pass

def embedding(items, n):
    "Embedding a folder, against what its two costs allow when they share the cores: 1/(1/read + 1/model)"
    bb,squash,idx = make_backbone('efficientnet_lite0'),Transform(224),np.arange(n)
    pixels,fast = torch.cat([squash(read_image(items, i, 224)) for i in idx]),faster(bb)
    t,r,m = seconds(lambda: extract(bb, items.take(idx), squash, cache=False), lambda: read_all(items, squash, idx), lambda: embed_all(fast, pixels), rounds=3)
    return row('embed a folder', n, 'images', 'extract', f'both costs alone: reading {n/r:,.0f}/s, model {n/m:,.0f}/s', t, r+m)

def network(name, n):
    "A backbone alone: as published, compiled by PyTorch where there is a compiler, and by the runtime that `faster` chooses"
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', tempfile.mkdtemp()) # what it compiled before would not be compiled now
    bb = make_backbone(name, pretrained=name=='efficientnet_lite0').eval() # random weights are as fast
    pixels,fast = torch.randint(0, 256, (n, 3, 224, 224), dtype=torch.uint8),faster(bb)
    kinds = {'as published':freeze(bb)}
    try:
        compiled,start = torch.compile(freeze(bb), options=dict(freezing=True)),time.perf_counter()
        embed_all(compiled, pixels[:8])
        kinds[f'torch.compile, after {time.perf_counter()-start:.0f} s of it'] = compiled
    except Exception as e: print(f'torch.compile left out: {type(e).__name__}')
    t,*others = seconds(*[lambda net=net: embed_all(net, pixels) for net in (fast, *kinds.values())], rounds=2)
    for other,u in zip(kinds, others): yield row(f'{name} alone', n, 'images', fast.why, other, t, u)

def dropout():
    "A training step of two heads on 128 images in two views: dropout from bytes against torch's"
    x,y,loss = torch.rand(128, 2, 1280),torch.arange(128)//4,AllPairsContrastive()
    def step(own):
        torch.manual_seed(0)
        heads = Heads([Head(1280, dropout=.3) for _ in range(2)]).train()
        for h in heads.heads: h.net = torch.nn.Sequential(*[torch.nn.Dropout(.3) if isinstance(m, Dropout) and not own else m for m in h.net])
        opt = torch.optim.AdamW(heads.parameters(), lr=1e-3, fused=True)
        def run():
            opt.zero_grad()
            with autocast('cpu'): e = heads(x)
            loss(e.float(), y).backward()
            opt.step()
        return run
    t,u = seconds(step(True), step(False), rounds=30)
    return row('training step of the heads', 1, 'steps', 'Dropout from bytes', 'nn.Dropout', t, u)

def pml_loss(n, dim=128):
    "All-pairs contrastive loss, forwards and backwards"
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import ContrastiveLoss
    e,y = unit(n, dim).requires_grad_(),torch.arange(n)//4
    mine,theirs = AllPairsContrastive(1., 0.),ContrastiveLoss(0., 1., distance=LpDistance(normalize_embeddings=False))
    t,u = seconds(lambda: mine(e, y).backward(), lambda: theirs(e, y).backward(), rounds=30)
    return row(f'contrastive loss, {n} embeddings', n*(n-1)//2, 'pairs', 'AllPairsContrastive', 'pytorch-metric-learning', t, u)

def pml_map(n):
    "Recall@1 and MAP@R by leave-one-out"
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    e,y = unit(n),torch.arange(n)%100
    calc = AccuracyCalculator(include=('precision_at_1','mean_average_precision_at_r'), k='max_bin_count', device=torch.device('cpu'))
    t,u = seconds(lambda: retrieval(e, y.numpy()), lambda: calc.get_accuracy(e, y), rounds=3)
    return row(f'recall@1 and MAP@R, {n:,} images', n, 'queries', 'retrieval', 'pytorch-metric-learning with faiss', t, u)

def faiss_search(n, queries=64):
    "Five nearest of n vectors, exactly"
    import faiss
    e,q = unit(n).numpy(),unit(queries).flip(1).numpy()
    index = faiss.IndexFlatL2(e.shape[1])
    index.add(e)
    t,u = seconds(lambda: nearest(q, e, 5), lambda: index.search(q, 5), rounds=2)
    return row(f'five nearest of {n:,}', queries, 'queries', 'nearest', 'faiss-cpu flat', t, u)

def importing(rounds=4):
    "What the package adds to the import of torch and torchvision, in fresh processes"
    t,u = seconds(lambda: python('-c', 'import siamese_nb.apps.matcher'), lambda: python('-c', 'import torch, torchvision'), rounds=rounds)
    return row('import', 1, 'imports', 'import siamese_nb.apps.matcher', 'import torch, torchvision', t, u)

def ratios(items, n, quick):
    "All rows; without images, those that need none"
    if items: yield from (reading(items, n), embedding(items, n))
    for name in ('efficientnet_lite0', 'resnet50'): yield from network(name, 16 if quick else 64)
    yield from finetuning(quick)
    yield dropout()
    yield from (pml_loss(128), pml_loss(512), pml_map(2000 if quick else 10_000))
    for k in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000): yield faiss_search(k)
    yield importing(1 if quick else 2)
