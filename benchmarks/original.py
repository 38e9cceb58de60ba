"The pipeline that this project started from, made again: random pairs, Pillow, two passes a pair, float32, every weight of the network learning."
import json,time
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from torch.nn.functional import pairwise_distance
from siamese_nb.data.images import *
from siamese_nb.model import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.features import *
from ratios import usual

EPOCHS,P,K = 30,32,4 # of `train_head`
REPORTED = .663 # its best accuracy, as it reported

def pairs_a_second(items, net, params, pairs, steps=2):
    "Batches of random pairs through a network that sees one image of each pair, then the other"
    rng,chain,opt = np.random.default_rng(0),usual(),torch.optim.Adam(params, lr=1e-3)
    best = float('inf')
    for _ in range(steps):
        start = time.perf_counter()
        a,b = rng.integers(len(items), size=(2, pairs))
        left,right = (torch.stack([chain(items.open(int(i))) for i in side]) for side in (a, b))
        y = torch.from_numpy((items.y[a]!=items.y[b]).astype(np.float32))
        d = pairwise_distance(net(left), net(right))
        loss = ((1-y)*d**2 + y*(1-d).clamp(min=0)**2).mean()/2
        opt.zero_grad()
        loss.backward()
        opt.step()
        best = min(best, time.perf_counter()-start)
    return pairs/best

def resnet():
    "ResNet-50 with weights that start at random: its speed is that of the trained one"
    from torchvision.models import resnet50
    net = resnet50(num_classes=128).train()
    return net,net.parameters()

def frozen_lite():
    "Our backbone and head, the backbone frozen, as the original would have run them"
    bb,head = make_backbone('efficientnet_lite0'),Head(1280, dropout=.3)
    return torch.nn.Sequential(bb.net.eval(), head),head.parameters()

def ours(items, n):
    "Pairs seen by the default recipe, and seconds of embedding all images in two views"
    bb = make_backbone('efficientnet_lite0')
    part = items.take(np.random.default_rng(0).permutation(len(items))[:n])
    start = time.perf_counter()
    extract(bb, part, Transform(224, ('squash','crop')), cache=False)
    embed = (time.perf_counter()-start)*len(items)/n
    batches = int(.7*len(items))//(P*K)
    return EPOCHS*batches*(P*K)*(P*K-1)//2,embed

def first_good(results='.', name='caltech101', goal=.95):
    "Epoch at which the committed run passed the goal on validation pairs, and its accuracy on test pairs in the end"
    history = pd.read_csv(Path(results)/'weights'/name/'history.csv')
    test = json.loads((Path(results)/'graphs'/name/'results.json').read_text())['test']['accuracy']
    good = history.loc[history['valid_accuracy']>=goal, 'epoch']
    return int(good.iloc[0]) if len(good) and test>=goal else None,test

def original(items, n, epoch, quick):
    "A row a pipeline; `seconds to as many pairs` is extrapolated from the rate, and so is embedding all images from n of them"
    seen,embed = ours(items, n)
    good,test = first_good()
    def line(what, rate, accuracy, to_95, why):
        return {'what':what, 'pairs/s':rate, 'seconds to as many pairs':seen/rate, 'test accuracy':accuracy, 'seconds to 0.95':to_95, 'how 0.95 is known':why}
    size = 2 if quick else 16
    total = embed+EPOCHS*epoch
    yield line('the original: ResNet-50, all weights learn', pairs_a_second(items, *resnet(), size), REPORTED, None, f'never: its best epoch reached {REPORTED}')
    yield line('the same with a frozen EfficientNet-Lite0', pairs_a_second(items, *frozen_lite(), size), None, None, 'not trained')
    yield line('ours from the files: embed, then train', seen/total, test, embed+good*epoch if good else None, f'epoch {good} of the committed run, validation pairs')
    yield line('ours, embeddings cached', seen/(EPOCHS*epoch), test, good*epoch if good else None, f'epoch {good} of the committed run, validation pairs')

def picture(table, file):
    "Pairs a second"
    import matplotlib.pyplot as plt
    fig,ax = plt.subplots(figsize=(7, 2.2), layout='constrained')
    bars = ax.barh(table['what'], table['pairs/s'], color=['#999999']*2+['#0072B2']*2)
    ax.bar_label(bars, [f'{r:,.3g}' if r<100 else f'{r:,.0f}' for r in table['pairs/s']], padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.set(xscale='log', xlabel='pairs a second', xlim=(.1, table['pairs/s'].max()*100))
    fig.savefig(file, dpi=100)
    plt.close(fig)
