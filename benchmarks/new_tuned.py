"For classes that training never meets: which blocks of a backbone learn, how long, with how many numbers, which epoch is kept, how much of the way, and how its features are compared. Folds of classes choose, other classes judge. Writes graphs/finetune/new_tuned.csv fold by fold; what is there already is not measured again."
import time
from contextlib import contextmanager
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.utils import parametrize
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data_split import make_split
from siamese_nb.eval import equal_error_rate
from siamese_nb.model import SiameseNet
from siamese_nb.nets import backbones
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.heads import NamedHead
from siamese_nb.pairs import fixed_pairs
from siamese_nb.training import finetune as tuning
from siamese_nb.training.finetune import RATES,blend,driver,learned,open_backbone,source,tune
from siamese_nb.training.fit import Callback
from siamese_nb.training.inputs import computed_head,make_head,read_inputs
from siamese_nb.training.new_classes import fold_distances,to_choose_from
from siamese_nb.training.recipe import NEW
from finetune import there

# name -> first step of Lite0's chain that learns (None: where the last stage begins), rank of what is added (None: any), epochs
BASE = None,None,6
WAYS = {
    'last stage': BASE,
    'last block': (18, None, 6),
    '3 epochs': (None, None, 3),
    'a rank of 8': (None, 8, 6),
    'a stage more': (11, None, 6),
    'a rank of 32': (None, 32, 6),
    '12 epochs': (None, None, 12),
}
SLOW = 2e-3 # rate of low-rank factors: they begin at nothing

@contextmanager
def first_step(at):
    "Let the last stage begin elsewhere"
    was = backbones.last_step
    for room in (backbones, tuning): room.last_step = was if at is None else (lambda *_: at)
    try: yield
    finally:
        for room in (backbones, tuning): room.last_step = was

class LowRank(nn.Module):
    "A matrix, and a product of two thin ones that begins at nothing (LoRA, Hu et al. 2022)"
    def __init__(self, w, rank):
        super().__init__()
        self.a = nn.Parameter(torch.randn(rank, w.shape[1])/w.shape[1]**.5)
        self.b = nn.Parameter(torch.zeros(w.shape[0], rank))
    def forward(self, w): return w + (self.b@self.a)[..., None, None]

def whole_weights(net):
    "Every tensor under its own name, those with low-rank additions as they come out"
    own = dict(net.named_parameters())
    for m,c in net.named_modules():
        if parametrize.is_parametrized(c, 'weight'): own[f'{m}.weight'] = c.weight
    return own

def thin(last, rank, seed):
    "Of these steps only low-rank additions to convolutions of 1 × 1 learn; how many numbers those are"
    convs = [m for part in last for m in part.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1,1)]
    for part in last: part.requires_grad_(False)
    torch.manual_seed(seed)
    for c in convs: parametrize.register_parametrization(c, 'weight', LowRank(c.weight, rank))
    for c in convs: c.parametrizations.weight.original.requires_grad_(False)
    return convs,sum(p.numel() for c in convs for p in c.parameters() if p.requires_grad)

class Last(Callback):
    "Keeps the weights of the last epoch, too; the training ends with those of the best"
    def __init__(self, state): self.state = state
    def epoch(self, run): self.weights = self.state()

def deal(items, fold, folds, seed):
    "Test classes of this draw judge; the others are dealt into folds, one of which is for validation"
    split = make_split(items, 'unseen', seed)
    rest = np.random.default_rng(seed).permutation(np.unique(items.y[split!='test']))
    return np.where(split=='test', 'test', np.where(np.isin(items.y, rest[fold::folds]), 'valid', 'train'))

def some(items, most, seed):
    "At most so many pictures of a class"
    order = np.random.default_rng(seed).permutation(len(items))
    place = pd.Series(items.y[order]).groupby(items.y[order]).cumcount().to_numpy()
    return items.take(np.sort(order[place < most]))

def settings(x, roots, y, split, options, seed):
    "A row for each way to compare features; the head is computed from training classes alone"
    rows,table = np.flatnonzero(split=='train'),[dict(o) for o in options]
    for part in ('valid', 'test'):
        ask = np.flatnonzero(split==part)
        a,b,t = fixed_pairs(y[ask], seed=seed)
        e = nn.functional.normalize(nn.functional.normalize(x[ask, :, :x.shape[-1]//2], dim=-1).mean(1), dim=-1)
        plain = (e[a] - e[b]).norm(dim=-1).numpy()
        for row,d in zip([*table, None], [*fold_distances(x, roots, (rows, y[rows]), ask, (a, b), options, seed), plain]):
            if row is None:
                if part == 'valid': table.append(dict(plain=True, shrinkage=1., share=0., power=0.))
                row = table[len(options)]
            row |= {f'{part}_eer':equal_error_rate(d, t), f'{part}_auc':roc_auc_score(t, d)}
    return table

def measure(items, key):
    "Train one way on one fold: a row for each share of the way and each setting"
    (at,rank,epochs),seed = WAYS[key['way']],key['seed']
    recipe = dict(p=NEW.classes_per_batch, k=NEW.images_per_class, margins=(NEW.margin, NEW.pos_margin), wd=NEW.wd)
    torch.manual_seed(seed)
    bb = make_backbone('efficientnet_lite0', pool=NEW.pooling)
    inputs = read_inputs(items, bb, make_head(bb, NEW), NEW.views)
    y,split,head = inputs.items.y,deal(inputs.items, key['fold'], key['folds'], seed),computed_head(bb)
    options = to_choose_from(True, isinstance(head, NamedHead), NEW.normalise)
    def judge(share, x, **facts):
        roots = head.names(x) + head.names.mean
        return [key | dict(epochs=epochs, way_share=share, **facts) | o for o in settings(x, roots, y, split, options, seed)]
    lines = judge(0., inputs.x.float(), numbers=0, cpu_seconds=0, epoch=0, kept=False) if WAYS[key['way']] == BASE else []
    inputs.net = SiameseNet(bb, driver(inputs, split, seed=seed), inputs.net.transform)
    with first_step(at):
        last,convs,fast = open_backbone(bb, 'last'),[],RATES
        numbers = sum(p.numel() for p in bb.parameters() if p.requires_grad)
        src,before = source(inputs, 'last'),learned(bb) # its maps stay in the cache, for the next way
        start = time.process_time()
        if rank: (convs,numbers),fast = thin(last, rank, seed),RATES | dict(stage=SLOW)
        def state():
            "What the opened tensors are, low-rank additions included"
            with torch.no_grad(): own = whole_weights(bb)
            return {n:own[n].detach().clone() for n in before}
        end = Last(state)
        history = tune(inputs, src, last, split, True, epochs=epochs, seed=seed, fast=fast, keep='best', callbacks=[end], **recipe)
        for c in convs: parametrize.remove_parametrizations(c, 'weight', leave_parametrized=True)
        open_backbone(bb, 'last')
        cpu,kept = round(time.process_time() - start),history[history.best]['epoch']
        states = {kept:learned(bb), len(history) - 1:end.weights}
        for epoch,after in states.items():
            if not epoch: continue # untouched: judged already
            for share in (.5, 1.):
                blend(bb, before, after, share)
                lines += judge(share, src.features(), numbers=numbers, cpu_seconds=cpu, epoch=epoch, kept=epoch==kept)
        lines += [key | dict(way_share=0., epoch=0, kept=True, epochs=epochs, numbers=numbers, cpu_seconds=cpu)]*(not kept)
    print(key, numbers, cpu, kept, [round(r['valid_auc'], 4) for r in history], flush=True)
    return lines

@call_parse
def main(root:str=None, # where Caltech-101 lies
         most:int=800, # pictures of a class: all
         folds:int=3, # of the classes that do not judge
         n:int=2, # of them to measure, each by every way
         first:int=0, # from this one on
         seed:int=200, # its test classes judge
         only:str='', # ways whose name holds one of these words, divided by commas
         out:str='graphs/finetune'): # folder for the table
    "Measure what is missing, and write"
    file = Path(out)/'new_tuned.csv'
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=['seed', 'folds', 'most', 'fold', 'way'])
    items = some(get_caltech101(root, 'clean'), most, seed)
    for fold in range(first, first+n):
        for way in WAYS:
            key = dict(seed=seed, folds=folds, most=most, fold=fold, way=way)
            if there(table, key) or not any(o in way for o in only.split(',')): continue
            table = pd.concat([table, pd.DataFrame(measure(items, key))], ignore_index=True)
            table.to_csv(file, index=False)
