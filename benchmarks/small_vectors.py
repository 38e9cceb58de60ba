"How few numbers an embedding needs: principal directions of the recipe for new classes and of the general model, in 32, 16 and 8 bits; the same test pairs for all. Class draws 100 to 104; settings of the recipe as chosen in graphs/strangers/steps.csv. Writes graphs/scale/small_vectors.csv and small_vectors_mean.csv."
import re
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from siamese_nb.data_split import disjoint_split
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.folders import get_folder
from siamese_nb.data.images import Transform
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.evaluate import metrics
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.model import Head
from siamese_nb.nets.backbones import make_backbone,two_means
from siamese_nb.nets.features import extract
from siamese_nb.nets.heads import NamedHead
from siamese_nb.pairs import fixed_pairs
from siamese_nb.training.new_classes import head_for
from siamese_nb.apps.matcher import load

SIZES = (512, 256, 128, 64)

def components(e, n, seed=42, mean=None):
    "The first directions of these embeddings, (dim, n), around their mean or around zero"
    torch.manual_seed(seed)
    n = min(n, len(e)-1)
    return torch.svd_lowrank(e-(e.mean(0) if mean is None else mean), min(n+64, *e.shape), niter=4)[2][:, :n]

def random_directions(dim, n, seed=42):
    "Directions that have seen nothing"
    return torch.linalg.qr(torch.randn(dim, n, generator=torch.Generator().manual_seed(seed)))[0]

def in_bits(x, bits, like):
    "As it reads when stored in 16 bits (float), or in 8 (whole numbers between the extremes of other embeddings)"
    if bits==16: return x.half().float()
    if bits==32: return x
    top = like.abs().max()/127
    return (x/top).round().clamp(-127, 127)*top

def figures(e, pairs, labels):
    "What it costs"
    d = pair_distances(e, *pairs[:2])
    m,r = metrics(d, pairs[2], float(np.median(d))),retrieval(e, labels)
    return dict(eer=m['eer'], auc=m['roc_auc'], **{k:r[k] for k in ('recall@1', 'map@r')})

def project(e, w, mean, restore):
    "Fewer numbers; `restore`: in the length that the whole vector had"
    x = (e if restore else e-mean)@w
    return x*(e.norm(dim=1, keepdim=True)/x.norm(dim=1, keepdim=True)) if restore else x

def measure(e, fit, every, pairs, labels, **about):
    "Rows: from the embeddings of test images, with directions from training images, from all images (the user's own table, without a label) or from nothing"
    def row(x, like, bits, n, kind, restore): return dict(about, numbers=n, directions=kind, length=restore, bits=bits, bytes=n*bits//8, **figures(in_bits(x, bits, like), pairs, labels))
    for bits in (32, 16, 8): yield row(e, fit, bits, e.shape[1], '', '')
    for kind,by in (('training images', fit), ('own table', every), ('random', None)):
        for restore in (False, True) if by is not None else (True,):
            mean = None if by is None else by.mean(0)
            w = random_directions(e.shape[1], SIZES[0]) if by is None else components(by, SIZES[0]) if not restore else components(by, SIZES[0], mean=0)
            for n in SIZES:
                if w.shape[1]<n or kind!='own table' and n!=256: continue
                x,like = project(e, w[:, :n], mean, restore),project(every, w[:, :n], mean, restore)
                for bits in (32, 16, 8) if kind=='own table' and restore and n==256 else (32,): yield row(x, like, bits, n, kind, 'restored' if restore else 'as it is')

def chosen(steps, data, seed):
    "The setting that the recipe chose for this draw"
    said = steps[(steps['data']==data) & (steps['seed']==seed) & (steps['step']=='recipe')]['setting'].iloc[0]
    plain = said.startswith('plain means')
    return dict(plain=plain, shrinkage=.8 if plain else .9, share=float(re.search(r'names ([\d.]+)', said)[1]), power=float(m[1]) if (m := re.search(r'power ([\d.]+)', said)) else 0.)

@torch.no_grad()
def draws(data, items, x, head, general, seeds, steps):
    "The recipe and the general model on the test classes of each draw"
    labels,n = np.asarray(items.labels, dtype=object),head.config['dim_in']
    y = np.unique(labels, return_inverse=True)[1]
    for seed in seeds:
        split = disjoint_split(items.labels, seed=seed, groups=items.groups)
        rows,test = np.flatnonzero(split=='train'),np.flatnonzero(split=='test')
        pairs = fixed_pairs(np.unique(labels[test], return_inverse=True)[1], seed=seed)
        o = chosen(steps, data, seed)
        z = x[..., :n] if o['plain'] else x
        h = head_for(o, head, z, rows, y[rows], seed)
        every = h(z)
        yield from measure(every[test], every[rows], every, pairs, labels[test], data=data, model='new classes', seed=seed)
        if not data.startswith('grocery'): continue
        g = general(x[..., :n]) # it was fitted on Caltech-101
        yield from measure(g[test], g[rows], g, pairs, labels[test], data=data, model='general', seed=seed)

@call_parse
def main(grocery:str='../shared/grocery', # a folder of grocery kinds
         root:str=None, # where Caltech-101 lies
         n:int=5, # class draws
         only:str='grocery 81,caltech101 clean', # what is measured
         steps:str='graphs/strangers/steps.csv', # which settings the recipe chose
         out:str='graphs/scale'): # folder for the tables
    "Measure, print, write"
    bb,out = two_means(make_backbone('efficientnet_lite0')),Path(out)
    out.mkdir(parents=True, exist_ok=True)
    head = NamedHead(Head(bb.plain, bb.plain, hidden=0), len(bb.classifier.bias)).name_with(bb.classifier).requires_grad_(False).eval()
    general,steps,rows = load('general').net.head,pd.read_csv(steps),[]
    for data in only.split(','):
        items = get_folder(grocery) if data.startswith('grocery') else get_caltech101(root, data.split()[1])
        x,_ = extract(bb, items, Transform(bb.size, ('squash', 'crop')))
        for o in draws(data, items, x, head, general, range(100, 100+n), steps):
            rows.append(o)
            if o['numbers']==256: print({k:round(v, 4) if isinstance(v, float) else v for k,v in o.items()}, flush=True)
    file = out/'small_vectors.csv'
    table = pd.DataFrame(rows)
    if file.exists(): table = pd.concat([old for old in [pd.read_csv(file)] for old in [old[~old['data'].isin(only.split(','))]]]+[table])
    table.round(6).to_csv(file, index=False)
    by = ['data', 'model', 'seed']
    table[['directions', 'length']] = table[['directions', 'length']].fillna('')
    full = table[(table['directions']=='') & (table['bits']==32)].set_index(by)[['eer', 'auc', 'recall@1', 'map@r']]
    lost = table.join(full, on=by, rsuffix=' whole')
    for k in full: lost[f'{k} lost'] = (lost[k]-lost[f'{k} whole'])*(1 if k=='eer' else -1)
    same = ['data', 'model', 'numbers', 'directions', 'length', 'bits', 'bytes']
    lost['numbers'] = np.where(lost['directions']=='', 0, lost['numbers']) # draws differ in width: 0 is all of them
    lost['bytes'] = np.where(lost['directions']=='', 0, lost['bytes'])
    g = lost.groupby(same, sort=False)
    mean = g[list(full)+[f'{k} lost' for k in full]].mean()
    mean['auc lost, interval'] = 2.776*g['auc lost'].std()/np.sqrt(g.size()) # Student's t, five draws
    mean.round(5).to_csv(out/'small_vectors_mean.csv')
    print(mean.round(4).to_string())
