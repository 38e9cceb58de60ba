"How much shrinkage and centring whitening wants, chosen inside the training classes: no validation or test class is looked at. Writes graphs/seeds/whitening.csv."
from itertools import product
from pathlib import Path
import numpy as np
import pandas as pd
from fastcore.script import call_parse
from siamese_nb.data_split import *
from siamese_nb.folders import *
from siamese_nb.images import *
from siamese_nb.eval import equal_error_rate,pair_distances
from siamese_nb.model import *
from siamese_nb.backbones import *
from siamese_nb.features import *
from siamese_nb.pairs import *
from siamese_nb.recipes import whiten
from siamese_nb.train import embed_rows

def folds(y, n, rng):
    "Training classes, divided: (rows to whiten with, rows to ask about)"
    part = rng.permutation(np.arange(y.max()+1)%n)[y]
    for k in range(n): yield np.flatnonzero(part!=k),np.flatnonzero(part==k)

@call_parse
def main(root:str=None, # where Caltech-101 lies
         n:int=3, # class draws, and folds of each
         first:int=100, # seed of the first
         out:str='graphs/seeds'): # folder for the table
    "Measure, print, write"
    items,bb,rows = get_caltech101(root, 'clean'),make_backbone('efficientnet_lite0'),[]
    x,_ = extract(bb, items, Transform(bb.size, ('squash','crop')))
    for seed in range(first, first+n):
        train = np.flatnonzero(make_split(items, 'unseen', seed)=='train')
        y = np.unique(items.y[train], return_inverse=True)[1]
        for fit,ask in folds(y, n, np.random.default_rng(seed)):
            a,b,t = frozen_pairs(y[ask], 8000, seed)
            for shrinkage,centre in product((.5,.8,.9,.95,1.), (0.,.5,.75,1.)):
                head = whiten(Head(bb.dim, bb.dim, hidden=0), x[train[fit]], y[fit], shrinkage, centre)
                rows.append(dict(seed=seed, shrinkage=shrinkage, centre=centre, eer=equal_error_rate(pair_distances(embed_rows(head, x[train[ask]]), a, b), t)))
    Path(out).mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(Path(out)/'whitening.csv', index=False)
    print(table.pivot_table(index='shrinkage', columns='centre', values='eer').round(4))
