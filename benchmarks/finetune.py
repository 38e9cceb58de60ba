"Fine-tuning of the last stage over several seeds, beside the heads alone on the same pairs. Writes graphs/finetune/finetune.csv row by row; what is there already is not measured again."
import time
from dataclasses import replace
from pathlib import Path
import pandas as pd
import torch
from fastcore.script import call_parse
from siamese_nb.data.datasets import *
from siamese_nb.data_split import *
from siamese_nb.pairs import draw_pairs
from siamese_nb.evaluation.evaluate import evaluate
from siamese_nb.nets.backbones import *
from siamese_nb.train import embed_rows
from siamese_nb.training.finetune import *
from siamese_nb.training.finetune import train_with
from siamese_nb.training.inputs import *
from siamese_nb.training.inputs import make_head
from siamese_nb.training.recipe import KNOWN,NEW

def one(items, backbone, protocol, seed, epochs):
    "A row for the recipe without fine-tuning, and one with it"
    recipe = NEW if protocol=='unseen' else KNOWN
    for finetune in ('none', 'last'):
        torch.manual_seed(seed)
        bb = make_backbone(backbone, pool=recipe.pooling)
        inputs = read_inputs(items, bb, make_head(bb, recipe), recipe.views)
        split = make_split(inputs.items, protocol, seed)
        pairs = draw_pairs(inputs.items, split, seed=seed)
        start,cpu = time.perf_counter(),time.process_time()
        more = dict(epochs=epochs, keep=True) if finetune=='last' else {}
        history = train_with(inputs, split, replace(recipe, finetune=finetune), seed=seed, **more)
        m = evaluate(embed_rows(inputs.model, inputs.x), pairs, inputs.items.labels, split, unseen=protocol=='unseen', seed=seed)
        share = getattr(history, 'tuned', {}).get('share')
        yield dict(finetune=finetune, epochs=epochs if more else 0, share=share, **{k:m.test[k] for k in ('accuracy', 'roc_auc', 'eer')},
                   valid_eer=m.valid['eer'], **m.retrieval, cpu_seconds=time.process_time()-cpu, seconds=time.perf_counter()-start)

@call_parse
def main(root:str=None, # where Caltech-101 lies
         backbone:str='efficientnet_lite0', # any that comes with weights
         classes:str='clean', # or 'all'
         protocol:str='seen', # or 'unseen'
         n:int=5, # seeds, from `first` on
         first:int=100, # not the seed of the committed runs
         epochs:int=4, # of backbone and heads together
         out:str='graphs/finetune'): # folder for the table
    "Measure what is missing, and write"
    file = Path(out)/'finetune.csv'
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(file) if file.exists() else pd.DataFrame()
    items,facts = get_caltech101(root, classes),dict(backbone=backbone, classes=classes, protocol=protocol)
    for seed in range(first, first+n):
        key = facts | dict(seed=seed)
        if len(table) and (table[list(key)]==pd.Series(key)).all(axis=1).any(): continue
        rows = [key | r for r in one(items, backbone, protocol, seed, epochs)]
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
        table.to_csv(file, index=False)
        print(pd.DataFrame(rows).to_string(), flush=True)
