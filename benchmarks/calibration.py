"The general model on a folder that nobody chose it for: ranking against the untouched backbone, then calibration on ten kinds of five photographs, judged on all other kinds. Writes graphs/strangers/general.csv and calibration.csv."
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torch.nn.functional import normalize
from siamese_nb.data.folders import get_folder
from siamese_nb.eval import equal_error_rate,pair_distances
from siamese_nb.evaluation.decision import *
from siamese_nb.evaluation.decision import best_cut,calibrated
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.nets.features import extract
from siamese_nb.nets.model_file import load_model
from siamese_nb.pairs import fixed_pairs
from sklearn.metrics import roc_auc_score

# Kinds that ImageNet has by that name, or as a sort of it; matched by hand from the thousand names. Packs of milk, juice and yoghurt it has not
IMAGENET = {'Banana':'banana', 'Brown-Cap-Mushroom':'mushroom', 'Cabbage':'head cabbage', 'Cucumber':'cucumber', 'Granny-Smith':'Granny Smith', 'Green-Bell-Pepper':'bell pepper',
    'Lemon':'lemon', 'Orange':'orange', 'Orange-Bell-Pepper':'bell pepper', 'Pineapple':'pineapple', 'Pomegranate':'pomegranate', 'Red-Bell-Pepper':'bell pepper',
    'Yellow-Bell-Pepper':'bell pepper', 'Zucchini':'zucchini'}

CHOSE = 7,20 # seed and number of the kinds that chose the general model's dials

def ranking(name, e, y, seed=42):
    "Recall@1, AUC and EER"
    a,b,t = fixed_pairs(y, 20_000, seed)
    d = pair_distances(e, a, b)
    return dict(model=name, **{'recall@1':retrieval(e, y)['recall@1']}, auc=roc_auc_score(t, d), eer=equal_error_rate(d, t))

def accuracy(d, t, threshold): return ((d[t==0]<threshold).mean() + (d[t==1]>=threshold).mean())/2

def one_draw(e, y, seed, stored, kinds=10, each=5):
    "Calibrate on a few kinds, judge on the others"
    rng = np.random.default_rng(seed)
    own = rng.permutation(y.max()+1)[:kinds]
    rows = np.concatenate([rng.permutation(np.flatnonzero(y==k))[:each] for k in own])
    i,j = (rows[o] for o in np.triu_indices(len(rows), 1))
    r = calibrated(pair_distances(e, i, j), (y[i]!=y[j]).astype(int), np.stack([y[i], y[j]], 1))
    others = np.flatnonzero(~np.isin(y, own))
    a,b,t = fixed_pairs(y[others], 20_000, seed)
    d = pair_distances(e, others[a], others[b])
    right,(lo,hi) = accuracy(d, t, r['threshold']),r['error_ci95']
    strict = calibrated(pair_distances(e, i, j), (y[i]!=y[j]).astype(int), np.stack([y[i], y[j]], 1), rate=.1)
    return dict(seed=seed, accuracy=right, best_accuracy=best_cut(d, t)[1], stored=accuracy(d, t, stored), said=r['error_rate'], lo=lo, hi=hi, holds=lo<=1-right<=hi,
                promised=strict['promised'], false_match=(d[t==1]<strict['threshold']).mean())

@call_parse
def main(grocery:str='../shared/grocery', # a folder of grocery kinds
         model:str='siamese_nb/general/model.safetensors', # what is calibrated
         features:str=None, # .npy of features that `extract` made before, in the order of the images
         first:int=100, # seed of the first draw
         n:int=100, # draws; 0: leave calibration.csv as it is
         out:str='graphs/strangers'): # folder for the tables
    "Measure, print, write"
    items,(net,meta),out = get_folder(grocery),load_model(model),Path(out)
    x = torch.from_numpy(np.load(features)).float() if features else extract(net.backbone, items, net.transform)[0]
    with torch.no_grad(): e = net.head(x)
    few = np.isin(items.y, np.random.default_rng(CHOSE[0]).permutation(items.y.max()+1)[:CHOSE[1]])
    met = np.isin(items.labels, list(IMAGENET))
    both = {'untouched, one view':normalize(x[:,0], dim=-1), 'untouched, two views':normalize(normalize(x, dim=-1).mean(1), dim=-1), 'general':e}
    rows = [dict(kinds=k, **ranking(name, o[torch.from_numpy(m)], np.unique(items.y[m], return_inverse=True)[1]))
            for k,m in (('all 81', few | ~few), ('61 that chose nothing', ~few), (f'ImageNet has {len(set(items.y[~few & met]))} of the 61', ~few & met),
                        (f'and has not {len(set(items.y[~few & ~met]))}', ~few & ~met)) for name,o in both.items()]
    out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(out/'general.csv', index=False, float_format='%.6f')
    if not n: return print(pd.DataFrame(rows).round(4).to_string())
    draws = pd.DataFrame([one_draw(e, items.y, s, meta['threshold']) for s in range(first, first+n)])
    draws.to_csv(out/'calibration.csv', index=False, float_format='%.6f')
    print(pd.DataFrame(rows).round(4).to_string(), draws.drop(columns='seed').mean().round(4).to_string(), f"kept {(draws['false_match']<=draws['promised']).mean():.2f}", sep='\n')
