"Ratios measured side by side in one run: reading, embedding, the loss, the metrics, the search. Writes graphs/bench/bench.csv and bench.png."
import gc,os,time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torchvision import transforms
from siamese_nb.data_split import *
from siamese_nb.folders import *
from siamese_nb.images import *
from siamese_nb.pairs import *
from siamese_nb.model import *
from siamese_nb.backbones import *
from siamese_nb.features import *
from siamese_nb.loss import *
from siamese_nb.retrieval import retrieval
from siamese_nb.search import nearest

def seconds(*fs, rounds=5):
    "Best time of each function; they take turns, so that a busy machine troubles all of them alike"
    best = [float('inf')]*len(fs)
    for _ in range(rounds+1): # the first round warms up and is beaten later
        for i,f in enumerate(fs):
            gc.collect()
            start = time.perf_counter()
            f()
            best[i] = min(best[i], time.perf_counter()-start)
    return best

def row(what, n, unit, ours, other, t, u):
    "A line of the table"
    return dict(what=what, n=n, unit=unit, ours=ours, other=other, **{'ours/s':n/t, 'other/s':n/u, 'ratio':u/t})

def reading(items, n):
    "Images to network input, one thread: our fast path against the usual chain of Pillow transforms"
    squash,idx = Transform(224),range(n)
    usual = transforms.Compose([transforms.Resize((224,224)), transforms.ToTensor(), transforms.Normalize([.485,.456,.406], [.229,.224,.225])])
    t,u = seconds(lambda: [squash(read_image(items, i, 224)) for i in idx], lambda: [usual(items.open(i)) for i in idx], rounds=2)
    return row('read and resize', n, 'images', 'read_image + Transform', 'Pillow + Resize + ToTensor + Normalize', t, u)

def embedding(items, n):
    "Embedding a folder, against what its two costs allow when they share the cores: 1/(1/read + 1/model)"
    bb,squash,idx = make_backbone('efficientnet_lite0'),Transform(224),np.arange(n)
    pixels = torch.stack([squash(read_image(items, i, 224))[0] for i in idx])
    fast = fused(bb, bf16=fast_bf16('cpu')).eval()
    @torch.inference_mode()
    def model():
        for x in pixels.split(8): fast(x)
    def read():
        with ThreadPoolExecutor(torch.get_num_threads()) as pool: list(pool.map(ItemViews(items, squash).__getitem__, idx.tolist()))
    t,r,m = seconds(lambda: extract(bb, items.take(idx), squash, cache=False), read, model, rounds=2)
    return row('embed a folder', n, 'images', 'extract', 'read only + model only, each alone', t, r+m)

def pml_loss(n=512, dim=128):
    "All-pairs contrastive loss, forwards and backwards"
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import ContrastiveLoss
    e,y = torch.nn.functional.normalize(torch.randn(n, dim), dim=1).requires_grad_(),torch.arange(n)//4
    mine,theirs = AllPairsContrastive(1., 0.),ContrastiveLoss(0., 1., distance=LpDistance(normalize_embeddings=False))
    t,u = seconds(lambda: mine(e, y).backward(), lambda: theirs(e, y).backward())
    return row(f'contrastive loss, {n} embeddings', n*(n-1)//2, 'pairs', 'AllPairsContrastive', 'pytorch-metric-learning', t, u)

def pml_map(n=9000, dim=128):
    "Recall@1 and MAP@R by leave-one-out"
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    e,y = torch.nn.functional.normalize(torch.randn(n, dim), dim=1),torch.arange(n)%100
    calc = AccuracyCalculator(include=('precision_at_1','mean_average_precision_at_r'), k='max_bin_count', device=torch.device('cpu'))
    t,u = seconds(lambda: retrieval(e, y.numpy()), lambda: calc.get_accuracy(e, y), rounds=1)
    return row(f'recall@1 and MAP@R, {n:,} images', n, 'queries', 'retrieval', 'pytorch-metric-learning with faiss', t, u)

def faiss_search(n, dim=128, queries=64):
    "Five nearest of n vectors, exactly"
    import faiss
    rng = np.random.default_rng(0)
    e,q = (rng.standard_normal((k, dim), dtype=np.float32) for k in (n, queries))
    index = faiss.IndexFlatL2(dim)
    index.add(e)
    t,u = seconds(lambda: nearest(q, e, 5), lambda: index.search(q, 5), rounds=2)
    return row(f'five nearest of {n:,}', queries, 'queries', 'nearest', 'faiss-cpu flat', t, u)

def picture(table, file):
    "Ratios as bars"
    import matplotlib.pyplot as plt
    use_style()
    fig,ax = plt.subplots(figsize=(7,.45*len(table)+1), layout='constrained')
    ax.barh(table['what'], table['ratio'], color=['#0072B2' if r>=1 else '#999999' for r in table['ratio']])
    ax.axvline(1, color='black', lw=1, ls='--')
    ax.invert_yaxis()
    ax.set(xscale='log', xlabel='times as fast as the other (dashed: equal)', xlim=(.2, 5))
    ax.set_xticks([.2, .5, 1, 2, 5], ['0.2', '0.5', '1', '2', '5'])
    ax.minorticks_off()
    fig.savefig(file, dpi=100)

@call_parse
def main(root:str=None, # where Caltech-101 lies; without it, reading and embedding are left out
         n:int=256, # images for reading and embedding
         out:str='graphs/bench'): # folder for the table and the picture
    "Measure, print, write"
    found,out = find_caltech101(root),Path(out)
    rows = [pml_loss(), pml_map(), *[faiss_search(k) for k in (10_000, 100_000, 1_000_000)]]
    if found:
        items = get_caltech101(root)
        items = items.take(np.random.default_rng(0).choice(len(items), n, replace=False))
        rows = [reading(items, n), embedding(items, n), *rows]
    table = pd.DataFrame(rows).round(2)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out/'bench.csv', index=False)
    picture(table, out/'bench.png')
    print(table.to_string(index=False))
    print(f'{os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads, bf16 {"used" if fast_bf16("cpu") else "not used"}')
