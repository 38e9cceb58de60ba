"How sharp class prototypes should be, and how much of the squared distance theirs: one seed chooses, whose pairs are quoted for nothing else. Writes graphs/finetune/prototypes.csv; what is there already is not measured again."
from dataclasses import replace
from pathlib import Path
import pandas as pd
import torch
from fastcore.script import call_parse
from sklearn.metrics import roc_auc_score
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.folders import get_folder
from siamese_nb.data_split import make_split
from siamese_nb.eval import equal_error_rate
from siamese_nb.evaluation.evaluate import evaluate
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.heads import Prototypes,class_means
from siamese_nb.pairs import draw_pairs,fixed_pairs
from siamese_nb.train import embed_rows
from siamese_nb.training.finetune import train_with
from siamese_nb.training.inputs import make_head,read_inputs
from siamese_nb.training.recipe import KNOWN
from finetune import there

WAYS = [(0., 8.), *((share, sharpness) for sharpness in (4., 8., 12.) for share in (.5, .8, .9, .95, 1.))] # share 0: distances between embeddings

def of_strangers(head, other, seed):
    "Photographs of other classes, whose threshold is not asked for"
    e,y = embed_rows(head, other.x),other.items.y
    a,b,t = fixed_pairs(y, seed=seed)
    d = (e[a] - e[b]).norm(dim=-1).numpy()
    return {f'other_{k}':v for k,v in dict(roc_auc=roc_auc_score(t, d), eer=equal_error_rate(d, t), **{'recall@1':retrieval(e, y)['recall@1']}).items()}

def measure(items, key, folder, maps):
    "A row for each way, of one training"
    seed = key['seed']
    recipe = replace(KNOWN, finetune=key['finetune'])
    torch.manual_seed(seed)
    bb = make_backbone(key['backbone'], pool=recipe.pooling)
    inputs = read_inputs(items, bb, make_head(bb, recipe), recipe.views)
    split = make_split(inputs.items, 'seen', seed)
    pairs = draw_pairs(inputs.items, split, seed=seed)
    train_with(inputs, split, recipe, seed=seed, **(dict(keep_maps=True) if maps else {}))
    head,other = inputs.net.head,folder and read_inputs(folder, bb, inputs.net.head, recipe.views)
    rows = torch.from_numpy((split=='train').nonzero()[0])
    means = class_means(embed_rows(head, inputs.x[rows]), inputs.items.y[rows.numpy()])
    for share,sharpness in WAYS:
        near = Prototypes(head, means, share, sharpness).eval()
        m = evaluate(embed_rows(near, inputs.x), pairs, inputs.items.labels, split, seed=seed)
        yield dict(key, share=share, sharpness=sharpness, **{f'valid_{k}':m.valid[k] for k in ('eer', 'roc_auc')}, **{k:m.test[k] for k in ('accuracy', 'best_accuracy', 'roc_auc', 'eer')},
                   **{k:m.retrieval[k] for k in ('recall@1', 'map@r')}, **(of_strangers(near, other, seed) if other else {}))

@call_parse
def main(root:str=None, # where Caltech-101 lies
         backbone:str='efficientnet_lite0', # any that comes with weights
         classes:str='clean,all', # one of them or both
         finetune:str='none,last', # one of them or both
         folder:str=None, # pictures of other classes, a folder a class, to see what becomes of them
         seed:int=1, # chooses
         out:str='graphs/finetune'): # folder for the table
    "Measure what is missing, and write"
    file = Path(out)/'prototypes.csv'
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=['backbone', 'classes', 'finetune', 'seed'])
    for which in classes.split(','):
        for what in finetune.split(','):
            key = dict(backbone=backbone, classes=which, finetune=what, seed=seed)
            if there(table, key): continue
            rows = measure(get_caltech101(root, which), key, folder and get_folder(folder), what!='none')
            table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
            table.to_csv(file, index=False)
            print(table.tail(len(WAYS)).to_string(), flush=True)
