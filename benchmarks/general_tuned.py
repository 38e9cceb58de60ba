"The general model's recipe on a backbone that `siamese_run --finetune last` tuned, its weights part of the way from the published ones; judged on a stranger's photographs. Writes graphs/finetune/general.csv."
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from sklearn.metrics import roc_auc_score
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.folders import get_folder
from siamese_nb.data.images import Transform
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.nets.backbones import freeze,make_backbone
from siamese_nb.nets.features import extract
from siamese_nb.nets.model_file import load_model
from siamese_nb.pairs import fixed_pairs
from siamese_nb.training.finetune import blend,learned,open_backbone
from calibration import CHOSE
from general import general_head

def part_way(model, share):
    "A backbone with published weights, moved by `share` towards those of a model file"
    tuned,_ = load_model(model)
    bb = make_backbone(tuned.backbone.name)
    open_backbone(bb, 'last')
    before,after = learned(bb),dict(tuned.backbone.named_parameters())
    blend(bb, before, {k:after[k].detach() for k in before}, share)
    return freeze(bb)

@call_parse
def main(model:str, # model.safetensors of a fine-tuned run on Caltech-101
         folder:str, # photographs of other things, a folder a class; the classes that chose the general model's dials choose the share, too, the rest judge
         root:str=None, # where Caltech-101 lies
         shares:str='0,.25,.5,1', # how far from the published weights, divided by commas
         out:str='graphs/finetune'): # folder for the table
    "A row for every share and every set of classes"
    items,other = get_caltech101(root, 'clean'),get_folder(folder)
    labels = np.array(other.labels)
    choosing = np.isin(other.y, np.random.default_rng(CHOSE[0]).permutation(other.y.max()+1)[:CHOSE[1]]) # the same kinds that chose the dials
    rows = []
    for share in map(float, shares.split(',')):
        bb = part_way(model, share)
        views = Transform(bb.size, ('squash', 'crop'))
        x,mine = extract(bb, other, views)[0].float(),extract(bb, items, views)[0].float()
        with torch.no_grad(): e = general_head(bb, mine)(x)
        for what,keep in ((f'{CHOSE[1]} that choose', choosing), ('the other classes', ~choosing), ('all', choosing | True)):
            a,b,t = fixed_pairs(other.y[keep], seed=42)
            some = e[torch.from_numpy(keep)]
            rows.append(dict(share=share, classes=what, n=len(set(labels[keep])), roc_auc=roc_auc_score(t, pair_distances(some, a, b)),
                             **{'recall@1':retrieval(some, labels[keep])['recall@1']}))
            print(rows[-1], flush=True)
        pd.DataFrame(rows).to_csv(Path(out)/'general.csv', index=False)
