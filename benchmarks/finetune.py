"Fine-tuning over several seeds, beside the heads alone on the same pairs, and for several numbers of epochs. Writes graphs/finetune/finetune.csv row by row; what is there already is not measured again."
import time
from dataclasses import replace
from pathlib import Path
import pandas as pd
import torch
from fastcore.script import call_parse
from siamese_nb.data.batches import TensorViews
from siamese_nb.data.datasets import *
from siamese_nb.data.folders import *
from siamese_nb.data_split import *
from siamese_nb.pairs import draw_pairs
from siamese_nb.evaluation.evaluate import evaluate
from siamese_nb.nets.backbones import *
from siamese_nb.nets.features import extract
from siamese_nb.train import embed_rows
from siamese_nb.training import finetune as tuning
from siamese_nb.training.finetune import *
from siamese_nb.training.finetune import EPOCHS,near_to_classes,open_backbone,source,train_views,train_with,tune
from siamese_nb.training.inputs import *
from siamese_nb.training.inputs import make_head
from siamese_nb.training.recipe import FINE_TUNE,KNOWN,NEW

KEY = ['backbone', 'classes', 'protocol', 'seed', 'finetune', 'epochs']
FIGURES = 'accuracy','best_accuracy','roc_auc','eer','recall@1','map@r'

class Features:
    "What `tune` reads where only the heads go on: features of all views that fine-tuning sees, mirror images too"
    def __init__(self, inputs):
        look = inputs.net.transform
        self.x = extract(inputs.net.backbone, inputs.items, replace(look, views=train_views(look.views)))[0]
        self.model,self.rows = inputs.net.head,inputs.x

    def data(self, y, rows=None): return TensorViews(self.x if rows is None else self.x[torch.from_numpy(rows)], y)

def go_on(inputs, split, recipe, seed, epochs):
    "The control, for known classes: heads trained as ever, then as in `fine_tune`, but the backbone does not move (so the norm of the gradient, which is clipped, is theirs alone)"
    train_with(inputs, split, recipe, seed=seed)
    return tune(inputs, Features(inputs), [], split, epochs=epochs, seed=seed, p=recipe.classes_per_batch, k=recipe.images_per_class,
                margins=(recipe.margin, recipe.pos_margin), wd=recipe.wd)

def remember(said):
    "`fine_tune` ends on weights that sixteen bits can hold: keep those before rounding in `said`, too"
    def note(backbone, before, after, share):
        said.update({n:before[n].lerp(after[n], share) for n in before})
        return blend(backbone, before, after, share)
    return note

@torch.no_grad()
def unrounded(inputs, weights, what):
    "Features of the backbone with these weights, as `fine_tune` computes them"
    bb = inputs.net.backbone
    open_backbone(bb, what)
    own = dict(bb.named_parameters())
    for n,v in weights.items(): own[n].copy_(v)
    x = source(inputs, what).features()
    freeze(bb)
    return x

def measure(items, key, rounding=False, keep='last'):
    "A row: train, and judge on test pairs that neither training nor threshold has seen; known classes once more with prototypes"
    unseen,seed = key['protocol'] == 'unseen',key['seed']
    recipe = replace(NEW if unseen else KNOWN, keep=keep)
    torch.manual_seed(seed)
    bb = make_backbone(key['backbone'], pool=recipe.pooling)
    inputs = read_inputs(items, bb, make_head(bb, recipe), recipe.views)
    split = make_split(inputs.items, key['protocol'], seed)
    pairs = draw_pairs(inputs.items, split, seed=seed)
    more = dict(epochs=key['epochs'], keep_maps=True) if key['finetune'] != 'none' else {}
    exact = {}
    tuning.blend = remember(exact)
    start,cpu = time.perf_counter(),time.process_time()
    if key['finetune'] == 'heads': history = go_on(inputs, split, recipe, seed, key['epochs'])
    else: history = train_with(inputs, split, replace(recipe, finetune=key['finetune']), seed=seed, **more)
    cpu,wall = time.process_time() - cpu,time.perf_counter() - start
    def judge(): return evaluate(embed_rows(inputs.model, inputs.x), pairs, inputs.items.labels, split, unseen=unseen, seed=seed)
    m,tuned,whole = judge(),getattr(history, 'tuned', {}),{}
    if not unseen:
        head = inputs.net.head
        near_to_classes(inputs, split, FINE_TUNE.prototypes)
        p,inputs.net.head = judge(),head
        whole = {f'proto_{k}':v for k,v in {**p.test, **p.retrieval}.items() if k in FIGURES}
    if rounding and tuned and not unseen: # new classes have a head computed on the rounded features
        inputs.x = unrounded(inputs, exact, key['finetune'])
        whole |= {f'unrounded_{k}':judge().test[k] for k in ('accuracy', 'eer')}
    print(*history, sep='\n', flush=True)
    return dict(share=tuned.get('share'), numbers=tuned.get('numbers', 0), **{k:m.test[k] for k in FIGURES[:4]},
                valid_eer=m.valid['eer'], **m.retrieval, cpu_seconds=round(cpu), seconds=round(wall), **whole)

def there(table, key):
    "Has this row been measured?"
    return len(table) and (table[[*key]] == pd.Series(key)).all(axis=1).any()

@call_parse
def main(root:str=None, # where Caltech-101 lies
         backbone:str='efficientnet_lite0', # any that comes with weights
         folder:str=None, # another folder of pictures, a folder a class, instead of Caltech-101; the column `classes` then holds its name
         classes:str='clean', # or 'all'
         protocol:str='seen', # or 'unseen'
         finetune:str='last', # or 'all'; or, for known classes, 'heads': they go on as long, and the backbone stays
         n:int=5, # seeds, from `first` on
         first:int=100, # not the seed of the committed runs
         epochs:str=str(EPOCHS), # of backbone and heads together; several numbers, divided by commas: a frontier
         rounding:bool=False, # judge known classes by the weights before rounding, too?
         keep:str='last', # which epoch of backbone and heads: the last, or the best; for other than the last give another folder
         out:str='graphs/finetune'): # folder for the table
    "Measure what is missing, and write"
    file = Path(out)/'finetune.csv'
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=KEY)
    if finetune == 'heads' and protocol == 'unseen': raise SystemExit('heads that are computed do not go on: --finetune heads is for --protocol seen')
    items = get_folder(folder) if folder else get_caltech101(root, classes)
    facts = dict(backbone=backbone, classes=items.name if folder else classes, protocol=protocol)
    for seed in range(first, first+n):
        for kind,e in [('none', 0), *[(finetune, int(e)) for e in epochs.split(',')]]:
            key = facts | dict(seed=seed, finetune=kind, epochs=e)
            if there(table, key): continue
            row = key | measure(items, key, rounding, keep)
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            table.to_csv(file, index=False)
            print(row, flush=True)
