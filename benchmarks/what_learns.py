"What of a pretrained network should learn, and how: the recipe of the original at one stated size, then other recipes, row by row, on the same pairs and with the same number of images through the network. Writes graphs/road/what_learns.csv row by row; what is there already is not measured again."
import time
from dataclasses import replace
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torch import nn
from torch.nn.functional import normalize
from siamese_nb.data.batches import TensorViews,pair_batches,pk_batches
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.images import Transform,mean_colour
from siamese_nb.data_split import make_split
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.evaluate import evaluate,gain
from siamese_nb.evaluation.scores import pair_scores
from siamese_nb.loss import PairContrastive
from siamese_nb.nets.backbones import freeze,last_stage,make_backbone
from siamese_nb.pairs import draw_pairs
from siamese_nb.train import embed_rows,fixed_check
from siamese_nb.training.all_pairs import AllPairsContrastive
from siamese_nb.training.finetune import RATES,open_backbone,rates,train_with
from siamese_nb.training.fit import train_model
from siamese_nb.training.inputs import make_head,read_inputs,read_pixels
from siamese_nb.training.recipe import KNOWN
from siamese_nb.training.steps import constant
from finetune import there
from road import Unit

P,K = 32,4 # of batches of which all pairs count; half as many pairs otherwise, which are as many images

class Case:
    "One split, its fixed pairs, and a pretrained network that reads pictures of `size` pixels"
    def __init__(self, items, seed, size, epochs):
        self.seed,self.size,self.epochs,self.known = seed,size,epochs,{}
        inputs = self.inputs(items)
        self.items,self.split = inputs.items,make_split(inputs.items, 'seen', seed)
        self.pairs = draw_pairs(self.items, self.split, seed=seed)
        self.rows = np.flatnonzero(self.split=='train')
        self.images = None

    def backbone(self):
        "Lite0 for pictures of this size"
        torch.manual_seed(self.seed)
        bb = make_backbone('efficientnet_lite0')
        bb.size = self.size
        return bb

    def inputs(self, items=None):
        "For the recipes of today"
        bb = self.backbone()
        return read_inputs(self.items if items is None else items, bb, make_head(bb, KNOWN), KNOWN.views)

    def judge(self, e): return evaluate(e, self.pairs, self.items.labels, self.split, seed=self.seed)

class Original(nn.Module):
    "Backbone and a linear layer; every change towards today's recipe is a switch"
    def __init__(self, backbone, normalised, keep_norms):
        super().__init__()
        self.backbone,self.last,self.keep_norms = backbone.requires_grad_(True),nn.Linear(backbone.dim, 128),keep_norms
        self.unit = Unit() if normalised else nn.Identity()
        if not normalised: backbone.mean.zero_(), backbone.std.fill_(1.)
        if keep_norms: open_backbone(freeze(backbone), 'all')

    def train(self, mode=True):
        super().train(mode)
        if self.keep_norms: self.backbone.eval()
        return self

    def forward(self, x): return self.unit(self.last(self.backbone(x[:,0] if x.ndim==5 else x)))

def learn(case, normalised=True, keep_norms=True, small_rates=True, all_pairs=True):
    "All of the backbone learns, a linear layer behind it; embeddings of all images, steps, seconds of processor"
    if case.images is None: case.images = read_pixels(case.items, Transform(case.size, fill=mean_colour(case.backbone().mean)))[0]
    net = Original(case.backbone(), normalised, keep_norms)
    y,data = case.items.y,TensorViews(case.images[torch.from_numpy(case.rows)], case.items.y[case.rows])
    per = -(-len(case.rows)//(P*K)) # batches an epoch
    if all_pairs: loss,batches = AllPairsContrastive(1.2, .5, 'nonzero'),pk_batches(data, P, K, seed=case.seed, every_image=True)
    else: loss,batches = PairContrastive(1., 0.),pair_batches(data, P*K//2, n_batches=per, seed=case.seed)
    how = dict(lr=1e-3, wd=0., optimizer=torch.optim.Adam, schedule=constant, keep='best', patience=None, monitor='valid_accuracy', tolerance=0.)
    slow = {f'backbone.{n}':lr for n,lr in rates(net.backbone, last_stage(net.backbone)).items()}
    if small_rates: how = dict(lr=RATES['lr'], lrs=slow, wd=.01, clip=1., keep='last')
    check = fixed_check(case.images, y, case.split, n_train=300, n_valid=1500, seed=case.seed, loss=loss)
    start = time.process_time()
    train_model(net, batches, loss, check, epochs=case.epochs, seed=case.seed, **how)
    return embed_rows(net, case.images),len(batches)*case.epochs,time.process_time()-start

def today(case, finetune):
    "Two heads on features first, then as much of the backbone as the recipe says"
    inputs,start = case.inputs(),time.process_time()
    history = train_with(inputs, case.split, replace(KNOWN, finetune=finetune), seed=case.seed, **({} if finetune=='none' else dict(epochs=case.epochs)))
    steps = 0 if finetune=='none' else (len(history) - 1)*-(-len(case.rows)//(P*K))
    return embed_rows(inputs.model, inputs.x),steps,time.process_time()-start

def frozen(case):
    x = case.inputs().x.float()
    return normalize(normalize(x, dim=-1).mean(1), dim=-1),0,0.

# name -> (which run, rate of the backbone, fixed threshold or None); rows of the same run share it
ROWS = {
    'frozen backbone': (frozen, '', None),
    'heads alone': (lambda c: today(c, 'none'), '', None),
    'original': (lambda c: learn(c, False, False, False, False), '1e-3', .5),
    '+ threshold from validation': (lambda c: learn(c, False, False, False, False), '1e-3', None),
    '+ pixels and embeddings normalised': (lambda c: learn(c, True, False, False, False), '1e-3', None),
    '+ batch norms kept': (lambda c: learn(c, True, True, False, False), '1e-3', None),
    '+ small rates, one cycle, clipped': (lambda c: learn(c, True, True, True, False), '5e-5 to 5e-4', None),
    '+ all pairs of P×K batches': (lambda c: learn(c), '5e-5 to 5e-4', None),
    'heads first, then all': (lambda c: today(c, 'all'), '5e-5 to 5e-4', None),
    'heads first, then the last stage': (lambda c: today(c, 'last'), '5e-4', None),
}
SAME = {'+ threshold from validation': 'original'}

def judge(case, row):
    "Evaluation, steps and seconds of the run of a row; a run is made once"
    run = SAME.get(row, row)
    if run not in case.known:
        e,*rest = ROWS[run][0](case)
        case.known[run] = case.judge(e),*rest
    return case.known[run]

@call_parse
def main(root:str=None, # where Caltech-101 lies
         classes:str='clean', # or 'all'
         n:int=1, # seeds, from `first` on
         first:int=102, # chose nothing
         size:int=128, # side of the pictures, for every row
         epochs:int=3, # of the backbone, for every row in which it learns
         only:str='', # rows whose name holds one of these words, divided by commas
         out:str='graphs/road'): # folder for the table
    "Measure what is missing, and write"
    file = Path(out)/'what_learns.csv'
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=['classes', 'size', 'epochs', 'seed', 'row'])
    items = get_caltech101(root, classes)
    for seed in range(first, first+n):
        case = Case(items, seed, size, epochs)
        for row,(_,rate,threshold) in ROWS.items():
            key = dict(classes=classes, size=size, epochs=epochs, seed=seed, row=row)
            if there(table, key) or not any(o in row for o in only.split(',')): continue
            m,steps,cpu = judge(case, row)
            a,b,y = case.pairs['test']
            accuracy = m.test['accuracy'] if threshold is None else pair_scores(pair_distances(m.e, a, b), y, threshold)['accuracy']
            more = gain(m, judge(case, 'heads alone')[0], seed) # over the heads alone, on the same pairs
            line = key | dict(rate=rate, steps=steps, cpu_minutes=round(cpu/60, 1), accuracy=accuracy, **{k:m.test[k] for k in ('roc_auc', 'eer')}, valid_eer=m.valid['eer'],
                              **m.retrieval, eer_lo=more['eer'][0], eer_hi=more['eer'][1])
            table = pd.concat([table, pd.DataFrame([line])], ignore_index=True)
            table.to_csv(file, index=False)
            print(line, flush=True)
