"What a model says about pictures that nobody trained it on: frozen backbone, the recipe before, the recipe for new classes step by step, split by what ImageNet knew. Writes each draw as it is measured, in place of an older one, into steps.csv, imagenet_split.csv and imagenet.csv. Class draws from 100 on are quoted, five of each data set and twenty of the smallest; draws from 200 on chose every dial."
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from torch import nn
from fastcore.script import call_parse
from torch.nn.functional import normalize
from siamese_nb.core import *
from siamese_nb.data_split import *
from siamese_nb.data.datasets import *
from siamese_nb.data.folders import *
from siamese_nb.data.images import *
from siamese_nb.eval import *
from siamese_nb.evaluation.decision import *
from siamese_nb.evaluation.decision import best_cut
from siamese_nb.evaluation.evaluate import metrics
from siamese_nb.evaluation.intervals import accuracy_interval
from siamese_nb.evaluation.retrieval import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.backbones import two_means
from siamese_nb.nets.features import *
from siamese_nb.nets.normalise import *
from siamese_nb.model import *
from siamese_nb.pairs import *
from siamese_nb.training.inputs import computed_head
from siamese_nb.training.new_classes import *
from siamese_nb.training.new_classes import by_image,choose_setting,to_choose_from
from siamese_nb.nets.heads import Heads,NamedHead
from siamese_nb.train import fixed_check
from siamese_nb.training.recipes import train_head

# Folders of Caltech-101 whose class ImageNet has, by that name, as kinds or as a part; matched by hand from the thousand names
IMAGENET = dict(accordion='accordion', airplanes='airliner', ant='ant', barrel='barrel', beaver='beaver', binocular='binoculars', butterfly='monarch, admiral, …',
    camera='reflex camera, Polaroid camera', cannon='cannon', car_side='sports car, minivan, …', cellphone='cellular telephone', chair='folding chair, rocking chair, …',
    cougar_body='cougar', cougar_face='cougar', crab='Dungeness crab, king crab, …', crayfish='crayfish', crocodile='African crocodile', crocodile_head='African crocodile',
    cup='cup, coffee mug', dalmatian='dalmatian', dragonfly='dragonfly', electric_guitar='electric guitar', elephant='African elephant, Indian elephant', ewer='pitcher',
    flamingo='flamingo', flamingo_head='flamingo', grand_piano='grand piano', lamp='table lamp, lampshade', laptop='laptop', Leopards='leopard', llama='llama',
    lobster='American lobster, spiny lobster', nautilus='chambered nautilus', panda='giant panda', pizza='pizza', platypus='platypus', revolver='revolver', rooster='cock',
    saxophone='sax', schooner='schooner', scorpion='scorpion', soccer_ball='soccer ball', starfish='starfish', stop_sign='street sign', strawberry='strawberry',
    tick='tick', trilobite='trilobite', umbrella='umbrella', watch='digital watch')

def figures(e, pairs, threshold, labels=None):
    "Accuracy, the best possible, EER, AUC; of all test images recall@1, and the accuracy's interval over classes too"
    a,b,t = pairs
    d = pair_distances(e, a, b)
    m = metrics(d, t, threshold)
    found = {}
    if labels is not None:
        code = np.unique(labels, return_inverse=True)[1]
        lo,hi = accuracy_interval(d, t, threshold, np.stack([code[a], code[b]], 1), 500)
        found = {'recall@1':retrieval(e, labels)['recall@1'], 'lo':lo, 'hi':hi}
    return dict(accuracy=m['accuracy'], best_accuracy=best_cut(d, t)[1], eer=m['eer'], auc=m['roc_auc'], threshold=threshold, **found)

class Reads(nn.Module):
    "A head that reads the first numbers of each row, or, without a head, the rest: what another one made of it, once and for all"
    def __init__(self, n, dim, head=None):
        super().__init__()
        self.n,self.dim,self.head,self.config = n,dim,head,{}
    def forward(self, x): return self.head(x[..., :self.n]) if self.head else x[:, 0, self.n:]
    def fit_inputs(self, x): self.head.fit_inputs(x[..., :self.n])

def before(x, y, split, head, seed):
    "The recipe until cross-fitting came: generalised means whitened, names and a trained head's vote as the validation pairs like them best"
    n,rows = head.config['dim_in'],torch.from_numpy(split=='train')
    named = NamedHead(Head(n, n, hidden=0), len(head.names.bias)).name_with(head.names).requires_grad_(False)
    torch.manual_seed(seed)
    trained = Head(n, dropout=.3)
    whiten(named.eval(), x[rows], y[split=='train'])
    check = torch.no_grad()(fixed_check(x, y, split, seed=seed))
    def choose(dial, values, model):
        def merit(v):
            dial.copy_(torch.as_tensor(v))
            row = check(model)
            return row['valid_auc'],row['valid_accuracy']
        best = max(values, key=merit)
        dial.copy_(torch.as_tensor(best))
        return best
    share = choose(named.names.share, (0., .6), named)
    known = torch.cat([named(o) for o in x.split(500)])[:,None].expand(-1, x.shape[1], -1)
    heads,wide = Heads([Reads(x.shape[-1], named.dim), Reads(x.shape[-1], trained.dim, trained)], [.95, .05]),torch.cat([x, known], -1)
    train_head(heads, wide, y, split, seed=seed, keep='best', patience=20)
    check = torch.no_grad()(fixed_check(wide, y, split, seed=seed))
    vote = choose(heads.weights, [(1-v, v) for v in (.05, 0., .1)], heads.eval())
    heads = Heads([named, trained], heads.weights.tolist()).eval()
    return heads,f'generalised means, names {share}, plain distances, vote {vote[1]}'

@torch.no_grad()
def steps(x, labels, groups, head, seed, without=''):
    "Rows of one class draw: step -> (embeddings of the test images, threshold, what was chosen)"
    y = np.unique(np.asarray(labels, dtype=object), return_inverse=True)[1]
    split = disjoint_split(labels, seed=seed, groups=groups)
    rows,test = np.flatnonzero(split=='train'),np.flatnonzero(split=='test')
    valid = np.flatnonzero(split=='valid')
    roots,units,n = head.names(x) + head.names.mean,by_image(labels, groups),head.config['dim_in']
    options = to_choose_from(True, True)
    _,table,_ = choose_setting(x, roots, y, split, options, units, seed=seed)
    a,b,t = fixed_pairs(y[valid], seed=seed)
    def by_valid(embed): return best_cut(pair_distances(embed(x[valid]), a, b), t)[0]
    plain = lambda x: normalize(x[:,0,:x.shape[-1]//2], dim=-1)
    out = {'frozen':(plain(x[test]), by_valid(plain), '')}
    if without!='recipe before':
        with torch.enable_grad(): h,said = before(x, y, split, head, seed)
        out['recipe before'] = h(x[test]),by_valid(h),said
    old = [o for o in table if not (o['plain'] or o['power'])]
    for name,among in (('validation classes', old), ('cross-fitted', old), ('recipe', table)):
        o = max(among, key=lambda o: o['accuracy'])
        z = x[..., :n] if o['plain'] else x
        h = head_for(o, head, z, rows, y[rows], seed)
        said = f"{'plain' if o['plain'] else 'generalised'} means, names {o['share']}, "
        said += f"normalised distances, power {o['power']}" if o['power'] else 'plain distances'
        out[name] = h(z[test]),by_valid(lambda _, h=h, z=z: h(z[valid])) if name=='validation classes' else o['threshold'],said
    return test,out

def some_kinds(labels, n, seed):
    "Rows of `n` classes"
    names = sorted(set(labels))
    own = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:n]}
    return np.array([i for i,l in enumerate(labels) if l in own])

def measure(data, x, labels, groups, head, seed, n_kinds=None, without=''):
    "All steps of one draw, and for Caltech-101 split by what ImageNet has"
    rows,halves,labels = [],[],np.asarray(labels, dtype=object)
    some = np.arange(len(labels)) if n_kinds is None else some_kinds(labels, n_kinds, seed)
    g = None if groups is None else groups[some]
    test,out = steps(x[torch.from_numpy(some)], labels[some], g, head, seed, without)
    names = labels[some][test]
    pairs = fixed_pairs(np.unique(names, return_inverse=True)[1], seed=seed)
    known = np.array([l in IMAGENET for l in names])
    for step,(e,threshold,said) in out.items():
        rows.append(dict(data=data, seed=seed, step=step, **figures(e, pairs, threshold, names), setting=said))
        print(rows[-1], flush=True)
        if data!='caltech101 clean': continue
        for kind,of in (('ImageNet has them', known), ('ImageNet has not', ~known)):
            keep = of[pairs[0]] & of[pairs[1]]
            i = np.flatnonzero(of)
            if len(set(names[i]))>1: halves.append(dict(seed=seed, classes=kind, n_classes=len(set(names[i])), step=step,
                **figures(e, [o[keep] for o in pairs], threshold), **{'recall@1':retrieval(e[i], names[i])['recall@1']}))
    return rows,halves

STEPS = ['frozen', 'recipe before', 'validation classes', 'cross-fitted', 'recipe']

def keep(file, rows, by):
    "Rows take the place of older ones of the same draw and step"
    new = pd.DataFrame(rows)
    if file.exists():
        old = pd.read_csv(file)
        stale = old[by].apply(tuple, axis=1).isin(set(new[by].apply(tuple, axis=1)))
        new = pd.concat([old[~stale], new])
    new['step'] = pd.Categorical(new['step'], STEPS)
    new.sort_values(by, kind='stable').to_csv(file, index=False, float_format='%.6f')

@call_parse
def main(grocery:str='../shared/grocery', # a folder of grocery kinds
         root:str=None, # where Caltech-101 lies
         n:int=5, # class draws
         many:int=20, # class draws of twenty kinds: a draw of four test kinds says little
         first:int=100, # seed of the first
         only:str='grocery 20,grocery 81,caltech101 clean,caltech101 all', # what is measured
         without:str='', # 'recipe before' trains, which takes longest: leave it out, and the rows that the tables have of it stay
         out:str='graphs/strangers'): # folder for the tables
    "Measure, print, write"
    bb,out = two_means(make_backbone('efficientnet_lite0')),Path(out)
    head,views,all_rows = computed_head(bb),Transform(bb.size, ('squash', 'crop')),[]
    out.mkdir(parents=True, exist_ok=True)
    for data in only.split(','):
        items = get_folder(grocery) if data.startswith('grocery') else get_caltech101(root, data.split()[1])
        x,_ = extract(bb, items, views)
        for seed in range(first, first+(many if data=='grocery 20' else n)):
            rows,halves = measure(data, x, items.labels, items.groups, head, seed, 20 if data=='grocery 20' else None, without)
            all_rows += rows
            keep(out/'steps.csv', rows, ['data', 'seed', 'step'])
            if halves: keep(out/'imagenet_split.csv', halves, ['seed', 'step', 'classes'])
        if data=='caltech101 clean':
            folders = sorted(set(get_caltech101(root).labels))
            pd.DataFrame({'class':folders, 'imagenet':[IMAGENET.get(c, '') for c in folders]}).to_csv(out/'imagenet.csv', index=False)
    print(pd.DataFrame(all_rows).groupby(['data', 'step'], sort=False)[['accuracy', 'best_accuracy', 'eer', 'auc', 'recall@1']].mean().round(4).to_string())
