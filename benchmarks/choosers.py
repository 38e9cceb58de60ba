"Who may choose a threshold: what it costs on other classes, by the number of classes that chose it; and the distances of new classes before and after normalising, fine kinds (groceries) and coarse ones (Caltech-101, clean). Writes graphs/strangers/choosers.csv and distances.csv."
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torch.nn.functional import normalize
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.folders import get_folder
from siamese_nb.data.images import Transform
from siamese_nb.data_split import disjoint_split
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.decision import best_cut
from siamese_nb.model import distance_matrix
from siamese_nb.nets.backbones import make_backbone,two_means
from siamese_nb.nets.features import extract
from siamese_nb.pairs import fixed_pairs
from siamese_nb.training.inputs import computed_head
from siamese_nb.training.new_classes import head_for

EDGES = np.linspace(0, 2, 81)

def accuracy(d, t, threshold): return ((d[t==0]<threshold).mean() + (d[t==1]>=threshold).mean())/2

def few_of_each(y, n=25, seed=0):
    "Rows: at most `n` images of a class"
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(y==c))[:n] for c in range(y.max()+1)]))

def costs(data, e, y, sizes, draws, others=16):
    "The untouched backbone: a threshold chosen by k classes, judged by `others` that are not among them"
    rows,far = [],distance_matrix(e).numpy()
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(y.max()+1)
        judge = np.flatnonzero(np.isin(y, order[:others]))
        a,b,t = fixed_pairs(y[judge], 6000, seed)
        d = far[judge[a], judge[b]]
        for k in sizes:
            own = np.flatnonzero(np.isin(y, order[others:others+k]))
            i,j,u = fixed_pairs(y[own], 6000, seed)
            cut = best_cut(far[own[i], own[j]], u)[0]
            rows.append(dict(data=data, seed=seed, classes=k, cost=best_cut(d, t)[1] - accuracy(d, t, cut)))
    return rows

@torch.no_grad()
def spread(data, x, labels, groups, head, seed=100):
    "Counts of distances of test pairs by the computed head, plain and normalised"
    y = np.unique(np.asarray(labels, dtype=object), return_inverse=True)[1]
    split = disjoint_split(labels, seed=seed, groups=groups)
    train,test = (np.flatnonzero(split==p) for p in ('train', 'test'))
    a,b,t = fixed_pairs(y[test], seed=seed)
    plain,rows = x[..., :head.config['dim_in']],[]
    for power in (0., .5, 1.):
        h = head_for(dict(plain=True, shrinkage=.8, share=.3, power=power), head, plain, train, y[train], seed)
        d = pair_distances(h(plain[torch.from_numpy(test)]), a, b)
        cut,best = best_cut(d, t)
        for kind in (0, 1):
            n = np.histogram(d[t==kind], EDGES)[0]
            rows += [dict(data=data, seed=seed, power=power, different=kind, distance=(lo+hi)/2, pairs=int(k), threshold=cut, best_accuracy=best)
                     for lo,hi,k in zip(EDGES, EDGES[1:], n) if k]
    return rows

@call_parse
def main(grocery:str='../shared/grocery', # a folder of grocery kinds
         root:str=None, # where Caltech-101 lies
         draws:int=40, # of classes; 0: leave choosers.csv as it is
         out:str='graphs/strangers'): # folder for the tables
    "Measure, print, write"
    bb,out = two_means(make_backbone('efficientnet_lite0')),Path(out)
    head,views,chosen,seen = computed_head(bb),Transform(bb.size, ('squash', 'crop')),[],[]
    for data,items in (('grocery', get_folder(grocery)), ('caltech101 clean', get_caltech101(root, 'clean'))):
        x,_ = extract(bb, items, views)
        some = few_of_each(items.y)
        e = normalize(normalize(x[torch.from_numpy(some)][..., :bb.plain].float(), dim=-1).mean(1), dim=-1)
        if draws: chosen += costs(data, e, items.y[some], (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64), draws)
        seen += spread(data, x.float(), items.labels, items.groups, head)
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(seen).to_csv(out/'distances.csv', index=False, float_format='%.5f')
    if draws:
        chosen = pd.DataFrame(chosen)
        chosen.to_csv(out/'choosers.csv', index=False, float_format='%.5f')
        print(chosen.groupby(['data', 'classes'])['cost'].mean().unstack().round(4).to_string())
    print(pd.DataFrame(seen).groupby(['data', 'power'])[['threshold', 'best_accuracy']].first())
