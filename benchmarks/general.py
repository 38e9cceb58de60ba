"The general model inside the package: all classes of Caltech-101 (clean), plain means in two views, whitened by the covariance of all images, names beside; threshold cross-fitted over the classes. The dials were chosen on Caltech-101 folds and on 20 kinds of shared/grocery, which are not among the 61 that are quoted."
from pathlib import Path
import numpy as np
import torch
from fastcore.script import call_parse
from siamese_nb.core import content_hash
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.images import Transform
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.decision import *
from siamese_nb.evaluation.decision import best_cut,best_of
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.features import extract
from siamese_nb.nets.heads import NamedHead
from siamese_nb.nets.model_file import save_model
from siamese_nb.run import versions
from siamese_nb.training.new_classes import by_image,whiten

DIALS = dict(shrinkage=.7, centre=.5, share=.3)

@torch.no_grad()
def general_head(bb, x):
    "Computed from all images at once, whatever their class"
    head = NamedHead(Head(bb.plain, bb.plain, hidden=0), len(bb.classifier.bias)).name_with(bb.classifier).requires_grad_(False).eval()
    whiten(head, x, None, DIALS['shrinkage'], DIALS['centre'])
    head.names.share.fill_(DIALS['share'])
    return head

@torch.no_grad()
def judged(bb, x, y, units, seed):
    "Distances of classes that were left out, their labels, and which fold they belong to"
    folds = []
    def measure(fit, ask, a, b):
        folds.append(len(a))
        return pair_distances(general_head(bb, x[fit])(x[ask]), a, b)
    d,t = cross_fit(y, measure, units, seed=seed)
    return d,t,np.repeat(np.arange(len(folds)), folds)

@call_parse
def main(root:str=None, # where Caltech-101 lies
         features:str=None, # .npy of features that `extract` made before, in the order of the images
         backbone:str='efficientnet_lite0', # with a classifier and features of its own
         seed:int=42, # of folds and pairs
         out:str='siamese_nb/general'): # folder for the model
    "Fit, judge, write"
    items,bb = get_caltech101(root, 'clean'),make_backbone(backbone)
    views = Transform(bb.size, ('squash', 'crop'))
    x = torch.from_numpy(np.load(features)).float() if features else extract(bb, items, views)[0]
    d,t,fold = judged(bb, x, items.y, by_image(items.labels, items.groups), seed)
    called = np.concatenate([d[fold==f] < best_cut(d[fold!=f], t[fold!=f])[0] for f in range(fold.max()+1)])
    error = (called[t==1].mean() + (~called)[t==0].mean())/2
    cut = best_of(d, t, f'cross-fitting over {len(items.classes)} classes')
    facts = dict(name='general', data='caltech101', line="Caltech-101's folders", protocol='unseen', threshold=cut.threshold, calibration=list(cut.ab), error_rate=float(error),
                 calibration_pairs=len(t), threshold_from=cut.chosen_by, seed=seed, versions=versions(), recipe=DIALS, classes=items.classes, positive='same',
                 measured_on=f"{len(t):,} pairs of Caltech-101's {len(items.classes)} classes, each class left out once")
    file = save_model(Path(out)/'model.safetensors', SiameseNet(bb, general_head(bb, x), views), facts)
    print(f'{cut}\nerror rate {error:.4f}, {file.stat().st_size/1e6:.1f} MB: {file}, {content_hash(file)[:12]}')
