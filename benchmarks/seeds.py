"The default recipe over several seeds (each another split, other pairs, other weights), beside the frozen backbone. Writes graphs/seeds/seeds.csv."
from pathlib import Path
import pandas as pd
import torch
from fastcore.script import call_parse
from siamese_nb.data_split import *
from siamese_nb.data.folders import *
from siamese_nb.data.datasets import *
from siamese_nb.data.images import *
from siamese_nb.pairs import draw_pairs
from siamese_nb.nets.backbones import *
from siamese_nb.training.inputs import *
from siamese_nb.training.inputs import make_head
from siamese_nb.evaluation.evaluate import evaluate
from siamese_nb.run import frozen_embeddings
from siamese_nb.train import embed_rows

def one(items, backbone, protocol, seed):
    "A row for the frozen backbone and one for the trained network"
    new = protocol=='unseen'
    torch.manual_seed(seed)
    inputs = read_inputs(items, backbone, make_head(backbone, new), ('squash','crop'))
    split = make_split(inputs.items, protocol, seed)
    pairs = draw_pairs(inputs.items, split, seed=seed)
    frozen = frozen_embeddings(inputs)
    train_inputs(inputs, split, new, seed=seed)
    for what,e in (('frozen',frozen), ('trained',embed_rows(inputs.model, inputs.x))):
        m = evaluate(e, pairs, inputs.items.labels, split, unseen=new, seed=seed)
        yield dict(what=what, seed=seed, **{k:m.test[k] for k in ('accuracy','roc_auc','eer')}, **m.retrieval)

@call_parse
def main(root:str=None, # where Caltech-101 lies
         backbone:str='efficientnet_lite0', # any that comes with weights
         n:int=5, # seeds, from `first` on
         first:int=100, # not the seed of the committed runs
         only:str='all,clean', # which classes
         protocols:str='seen,unseen', # and which protocols
         out:str='graphs/seeds'): # folder for the table
    "Measure, print, write"
    rows = []
    for classes in only.split(','):
        items = get_caltech101(root, classes)
        for protocol in protocols.split(','):
            for seed in range(first, first+n):
                rows += [dict(classes=classes, protocol=protocol, **r) for r in one(items, make_backbone(backbone, pool='both' if protocol=='unseen' else 'mean'), protocol, seed)]
                print(rows[-2], rows[-1], sep='\n', flush=True)
    table = pd.DataFrame(rows)
    Path(out).mkdir(parents=True, exist_ok=True)
    table.to_csv(Path(out)/'seeds.csv', index=False)
    print(table.drop(columns='seed').groupby(['classes','protocol','what']).agg(['mean','std']).round(4).to_string())
