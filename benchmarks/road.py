"The road from the recipe that collapses to the best one, row by row (the notebook says what each changes), over several seeds and both protocols. Writes graphs/road/road.csv row by row; what is there already is not measured again."
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torch import nn
from torch.nn.functional import normalize
from siamese_nb.data_split import *
from siamese_nb.core import *
from siamese_nb.data.folders import *
from siamese_nb.data.datasets import *
from siamese_nb.data.images import *
from siamese_nb.data.batches import *
from siamese_nb.data.batches import TensorViews
from siamese_nb.model import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.heads import Heads
from siamese_nb.nets.features import *
from siamese_nb.evaluation.scores import pair_scores
from siamese_nb.loss import *
from siamese_nb.training.all_pairs import *
from siamese_nb.train import *
from siamese_nb.training.steps import constant
from siamese_nb.training.fit import *
from siamese_nb.training.recipes import *
from siamese_nb.training.recipes import torch_threads
from siamese_nb.training.new_classes import *
from siamese_nb.training.new_classes import train_new_classes
from siamese_nb.training.inputs import *
from siamese_nb.training.inputs import computed_head,make_head
from siamese_nb.eval import pair_distances
from siamese_nb.pairs import draw_pairs
from siamese_nb.evaluation.evaluate import evaluate

PLAIN = dict(lr=1e-3, wd=0., optimizer=torch.optim.Adam, schedule=constant, epochs=30, patience=20)
FULL = dict(lr=3e-3, wd=.01, epochs=30, keep='last')

class Case:
    "One split of the cached features, with its frozen pairs"
    def __init__(self, items, x, protocol, seed):
        self.items,self.both,self.x,self.y,self.seed,self.protocol = items,x,x[...,:x.shape[-1]//2],items.y,seed,protocol # both kinds of mean, and plain means
        self.split = make_split(items, protocol, seed)
        self.rows = np.flatnonzero(self.split=='train')
        self.pairs = draw_pairs(items, self.split, seed=seed)
        self.known = {} # embeddings that several rows share

    def measure(self, e, threshold=None):
        "The figures of embeddings `e`; `threshold` None: the one that validation pairs choose"
        m = evaluate(e, self.pairs, self.items.labels, self.split, unseen=self.protocol=='unseen', seed=self.seed)
        a,b,y = self.pairs['test']
        accuracy = m.test['accuracy'] if threshold is None else pair_scores(pair_distances(e, a, b), y, threshold)['accuracy']
        return dict(accuracy=accuracy, roc_auc=m.test['roc_auc'], eer=m.test['eer'], valid_eer=m.valid['eer'], **m.retrieval)

    def head(self, x, **kwargs):
        "An untrained head, fitted to its inputs"
        torch.manual_seed(self.seed)
        return Head(x.shape[-1], **kwargs).fit_inputs(x[torch.from_numpy(self.rows)])

    def train(self, model, loss, batches, x, **kwargs):
        "Embeddings of all rows after training"
        data = TensorViews(x[torch.from_numpy(self.rows)], self.y[self.rows])
        check = fixed_check(x, self.y, self.split, seed=self.seed, loss=loss)
        with torch_threads(1): train_model(model, batches(data, seed=self.seed), loss, check, seed=self.seed, **kwargs)
        return embed_rows(model, x)

def random_pairs(data, seed): return pair_batches(data, 64, seed=seed)
def by_class(data, seed): return pk_batches(data, 32, 4, seed=seed)
def every_image(data, seed): return pk_batches(data, 32, 4, seed=seed, every_image=True)

class Unit(nn.Module):
    "Scale to length 1"
    def forward(self, x): return normalize(x, dim=-1)

class OneView(nn.Module):
    "An image that comes as a stack of one view"
    def forward(self, x): return x[:,0] if x.ndim==5 else x

SIDE = 64 # pixels: small enough for two cores to train the whole backbone
def fine_tuned(case, right):
    "All of the backbone learns: Adam 1e-3, random pairs, margin 1, three epochs of 1,920 pairs, the epoch of best validation accuracy"
    if not hasattr(fine_tuned, 'images'): fine_tuned.images = torch.stack([Transform(SIDE)(read_image(case.items, i, SIDE)) for i in range(len(case.items))])
    if right in case.known: return case.known[right]
    torch.manual_seed(case.seed)
    bb = make_backbone('efficientnet_lite0').requires_grad_(True)
    if not right: bb.mean.zero_(), bb.std.fill_(1.)
    net = nn.Sequential(OneView(), bb, nn.Linear(bb.dim, 128), Unit() if right else nn.Identity())
    batches = lambda data, seed: pair_batches(data, 32, n_batches=60, seed=seed)
    case.known[right] = case.train(net, PairContrastive(1., 0.), batches, fine_tuned.images, lr=1e-3, wd=0., epochs=3, patience=None,
                                   optimizer=torch.optim.Adam, schedule=constant, monitor='valid_accuracy', tolerance=0.)
    return case.known[right]

def library(loss, miner=None):
    "A loss of pytorch-metric-learning, for the rows that replace ours"
    class Theirs(nn.Module):
        def forward(self, e, y): return loss(e, y, miner(e, y)) if miner else loss(e, y)
    return Theirs()
def supcon():
    from pytorch_metric_learning.losses import SupConLoss
    return library(SupConLoss(.1))
def triplet():
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner
    return library(TripletMarginLoss(.2), TripletMarginMiner(.2, type_of_triplets='semihard'))

def one_head(case, n_views=2, loss=None, **kwargs):
    "A regularised head, trained in batches where every image occurs once an epoch"
    x = case.x[:,:n_views]
    return case.train(case.head(x, dropout=.3), loss or AllPairsContrastive(1.2, .5, 'nonzero'), every_image, x, **FULL | kwargs)

def two_heads(case, **kwargs):
    torch.manual_seed(case.seed)
    heads = Heads([Head(case.x.shape[-1], dropout=.3) for _ in range(2)])
    train_head(heads, case.x, case.y, case.split, seed=case.seed, **kwargs)
    return embed_rows(heads, case.x)

def new_heads(case):
    "The recipe for new classes"
    head,_,_,chosen = train_new_classes(make_head(case.backbone, True), case.both, case.y, case.split, seed=case.seed)
    return head(case.both[..., :case.backbone.plain] if chosen['plain'] else case.both)

def whitened(case, x, share=0.):
    "The computed head, with names or without"
    head = computed_head(case.backbone)
    head.names.share.fill_(share)
    return whiten(head, x[torch.from_numpy(case.rows)], case.y[case.rows])

def trained_on(case):
    "A linear head that starts as the computed one"
    head = Head(case.backbone.plain, case.backbone.plain, hidden=0)
    head.load_state_dict(whitened(case, case.both).head.state_dict())
    return case.train(head, AllPairsContrastive(1.2, .5, 'nonzero'), every_image, case.both, **FULL | dict(lr=1e-4, epochs=10))

def mean_view(case): return normalize(normalize(case.x.float(), dim=-1).mean(1), dim=-1)

# name -> (what is measured, fixed threshold or None)
ROWS = {
    'frozen backbone, one view': lambda c: c.measure(normalize(c.x[:,0].float(), dim=-1)),
    'original: all fine-tuned': lambda c: c.measure(fine_tuned(c, False), .5),
    'pixels and embeddings normalised': lambda c: c.measure(fine_tuned(c, True), .5),
    'threshold from validation': lambda c: c.measure(fine_tuned(c, True)),
    'head on cached frozen features': lambda c: c.measure(c.train(c.head(x:=c.x[:,:1]), PairContrastive(1., 0.), random_pairs, x, **PLAIN)),
    'all pairs of P×K batches': lambda c: c.measure(c.train(c.head(x:=c.x[:,:1]), AllPairsContrastive(1., 0., 'mean'), by_class, x, **PLAIN)),
    'positive margin, non-zero mean': lambda c: c.measure(c.train(c.head(x:=c.x[:,:1]), AllPairsContrastive(1.2, .5, 'nonzero'), by_class, x, **PLAIN)),
    'dropout, one-cycle, every image': lambda c: c.measure(one_head(c, 1)),
    'two views': lambda c: c.measure(one_head(c)),
    'two heads': lambda c: c.measure(two_heads(c)),
    'instead: the epoch that validation likes': lambda c: c.measure(two_heads(c, keep='best', patience=20)),
    'instead: supervised contrastive': lambda c: c.measure(one_head(c, loss=supcon())),
    'instead: semi-hard triplets': lambda c: c.measure(one_head(c, loss=triplet())),
    'frozen backbone, two views': lambda c: c.measure(mean_view(c)),
    'whitened': lambda c: c.measure(embed_rows(whitened(c, c.x), c.x)),
    'whitened generalised means': lambda c: c.measure(embed_rows(whitened(c, c.both), c.both)),
    'the same, named': lambda c: c.measure(embed_rows(whitened(c, c.both, .6), c.both)),
    'the same, named, and a vote': lambda c: c.measure(new_heads(c)),
    'instead: whitened, then trained': lambda c: c.measure(trained_on(c)),
}
SLOW = ('original: all fine-tuned', 'pixels and embeddings normalised', 'threshold from validation') # they train a whole backbone

@call_parse
def main(root:str=None, # where Caltech-101 lies
         n:int=3, # seeds, from `first` on
         slow:int=2, # seeds for rows that train a whole backbone
         first:int=100, # not the seed of the committed runs
         classes:str='all', # or 'clean'
         only:str='', # rows whose name holds one of these words, divided by commas
         out:str='graphs/road'): # folder for the table
    "Measure what is missing, and write"
    Path(out).mkdir(parents=True, exist_ok=True)
    file = Path(out)/'road.csv'
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=['classes','protocol','row','seed'])
    items,bb = get_caltech101(root, classes),make_backbone('efficientnet_lite0', pool='both')
    x,_ = extract(bb, items, Transform(bb.size, ('squash','crop')))
    for seed in range(first, first+n):
        for protocol in ('seen','unseen'):
            case = Case(items, x, protocol, seed)
            case.backbone = bb
            for row,measured in ROWS.items():
                if not any(o in row for o in only.split(',')) or row in SLOW and seed>=first+slow: continue
                if ((table['classes']==classes) & (table['protocol']==protocol) & (table['row']==row) & (table['seed']==seed)).any(): continue
                line = dict(classes=classes, protocol=protocol, row=row, seed=seed) | measured(case)
                table = pd.concat([table, pd.DataFrame([line])], ignore_index=True)
                table.to_csv(file, index=False)
                print(line, flush=True)
