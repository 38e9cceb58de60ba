"What whitening and names want (kind of mean, shrinkage, centring, share), chosen inside the training classes: no validation or test class is looked at. Writes graphs/seeds/new_classes.csv."
from itertools import product
from pathlib import Path
import numpy as np
import pandas as pd
from fastcore.script import call_parse
from siamese_nb.data_split import *
from siamese_nb.data.folders import *
from siamese_nb.data.datasets import *
from siamese_nb.data.images import *
from siamese_nb.eval import equal_error_rate,pair_distances
from siamese_nb.model import *
from siamese_nb.nets.heads import *
from siamese_nb.nets.heads import NamedHead
from siamese_nb.nets.backbones import *
from siamese_nb.nets.features import *
from siamese_nb.training.new_classes import whiten
from siamese_nb.pairs import *
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
    items,bb,rows = get_caltech101(root, 'clean'),make_backbone('efficientnet_lite0', pool='both'),[]
    x,_ = extract(bb, items, Transform(bb.size, ('squash','crop')))
    head = NamedHead(Head(bb.plain, bb.plain, hidden=0), len(bb.classifier.bias)).name_with(bb.classifier)
    for seed in range(first, first+n):
        train = np.flatnonzero(make_split(items, 'unseen', seed)=='train')
        y = np.unique(items.y[train], return_inverse=True)[1]
        for fold,(fit,ask) in enumerate(folds(y, n, np.random.default_rng(seed))):
            a,b,t = fixed_pairs(y[ask], 8000, seed)
            for means,shrinkage,centre in [*product(['generalised'], (.8,.9,.95,1.), (0.,.5,.75,1.)), ('plain',.9,.75)]:
                z = x[train] if means=='generalised' else x[train,:,:bb.plain]
                whiten(head, z[fit], y[fit], shrinkage, centre)
                for share in (0.,.3,.45,.6,.75,.9):
                    head.names.share.fill_(share)
                    eer = equal_error_rate(pair_distances(embed_rows(head, z[ask]), a, b), t)
                    rows.append(dict(seed=seed, fold=fold, means=means, shrinkage=shrinkage, centre=centre, share=share, eer=eer))
    Path(out).mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(Path(out)/'new_classes.csv', index=False)
    mean = table.groupby(['means','shrinkage','centre','share'])['eer'].mean()
    print(mean.unstack().round(4).to_string(), 'lowest:', mean.nsmallest(5).round(4).to_string(), sep='\n')
