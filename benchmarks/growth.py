"How time and memory grow with the amount of work. As a script: one job in a process of its own, its peak memory printed."
import resource,sys
import numpy as np
import torch
from siamese_nb.data_split import *
from siamese_nb.data.folders import *
from siamese_nb.data.datasets import *
from siamese_nb.data.images import *
from siamese_nb.model import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.features import *
from siamese_nb.loss import *
from siamese_nb.training.all_pairs import *
from siamese_nb.training.recipes import *
from siamese_nb.training.inputs import *
from siamese_nb.training.inputs import make_head
from siamese_nb.evaluation.retrieval import *
from siamese_nb.evaluation.nearest import nearest
from ratios import read_all,unit
from timing import python,seconds,slope

def line(what, unit, n, *fs, rounds=0):
    "A row of the table: seconds that the function takes with n units of work"
    return dict(what=what, unit=unit, n=n, seconds=seconds(*fs, rounds=rounds)[0])

def some(items, n):
    "n images, drawn once: a smaller sample is part of a larger one"
    return items.take(np.random.default_rng(0).permutation(len(items))[:n])

def train(bb, x, labels, epochs=2):
    "The recipe of `siamese_run` for known classes, two heads on two cached views; seconds of the faster epoch, its checks included"
    y = np.unique(labels, return_inverse=True)[1]
    history = train_head(make_head(bb, new_classes=False), x.expand(-1, 2, -1), y, stratified_split(labels), epochs=epochs)
    return float(history.table()['seconds'].min())

def images(items, n):
    "Reading, embedding, and an epoch on what was embedded"
    bb,squash,part,features = make_backbone('efficientnet_lite0'),Transform(224),some(items, n),[]
    yield line('read', 'images', n, lambda: read_all(part, squash, range(n)))
    yield line('embed', 'images', n, lambda: features.append(extract(bb, part, squash, cache=False)[0]))
    yield dict(what='an epoch of training', unit='images', n=n, seconds=train(bb, features[0], part.labels))

def loss(n):
    "All pairs of n embeddings"
    e,y,f = unit(n).requires_grad_(),torch.arange(n)//4,AllPairsContrastive()
    return line('loss and slopes', 'pairs', n*(n-1)//2, lambda: f(e, y).backward(), rounds=5)

def search(n):
    "Sixteen queries, n vectors"
    e,q = unit(n).numpy(),unit(16).numpy()
    return line('search for 16 images', 'vectors', n, lambda: nearest(q, e, 5), rounds=2)

def metrics(n):
    "Every image asks all others; classes of 50, however many"
    e,y = unit(n),np.arange(n)//50
    return line('recall and MAP@R', 'distances', n*n, lambda: retrieval(e, y))

def rows(items, quick):
    "All kinds of work, in growing amounts; without images, those that need none"
    sizes = () if not items else (300, 600) if quick else (1000, 3000, 9000)
    for kind in zip(*[list(images(items, n)) for n in sizes]): yield from kind
    for n in (128, 256, 512) if quick else (128, 256, 512, 1024, 2048): yield loss(n)
    for n in (1000, 10_000, 100_000) if quick else (1000, 10_000, 100_000, 1_000_000): yield search(n)
    for n in (1000, 3000) if quick else (1000, 3000, 10_000, 30_000, 100_000): yield metrics(n)

JOBS = dict(
    embed=lambda n, root: extract(make_backbone('efficientnet_lite0'), some(get_caltech101(root), n), Transform(224), cache=False),
    train=lambda n, root: train(make_backbone('efficientnet_lite0'), torch.randn(n, 2, 1280), [str(i//30) for i in range(n)]),
    retrieval=lambda n, root: metrics(n))

def memory(root, quick):
    "Peak memory of whole processes. Asked for before this process has grown: a child starts from the peak of its parent"
    jobs = [('train', 3000), ('train', 9000), ('retrieval', 10_000), ('retrieval', 30_000)]
    if root: jobs = [('embed', 500), ('embed', 2000), *jobs]
    if quick: jobs = [(what, n//10) for what,n in jobs[::2]]
    for what,n in [('imports only', 0), *jobs]: yield dict(what=what, n=n, MB=float(python(__file__, what, n, root)))

def with_slopes(table):
    "The exponent of each kind of work"
    k = {what:slope(t['n'], t['seconds']) for what,t in table.groupby('what')}
    return table.assign(slope=table['what'].map(k))

def picture(table, file):
    "Seconds against work, a panel each, beside a line of slope one"
    import matplotlib.pyplot as plt
    from matplotlib.ticker import EngFormatter,LogLocator
    kinds = list(dict.fromkeys(table['what']))
    fig,axs = plt.subplots(-(-len(kinds)//3), 3, figsize=(9, 2.6*-(-len(kinds)//3)), layout='constrained', squeeze=False)
    for ax in axs.flat[len(kinds):]: ax.set_axis_off()
    for ax,what in zip(axs.flat, kinds):
        t = table[table['what']==what]
        n,s = t['n'].to_numpy(float),t['seconds'].to_numpy()
        ax.loglog(n, s[-1]*n/n[-1], ls='--', lw=1, color='#999999', label='linear')
        ax.loglog(n, s, 'o-', color='#0072B2', label=f'slope {t["slope"].iloc[0]:.2f}')
        ax.minorticks_off()
        ax.set_xticks(n, [EngFormatter(places=0, sep='')(v) if len(n)<4 or i%2==0 else '' for i,v in enumerate(n)])
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_formatter('{x:g}')
        ax.set(title=what, xlabel=t['unit'].iloc[0], ylabel='seconds')
        ax.legend(fontsize=8)
    fig.savefig(file, dpi=100)
    plt.close(fig)

if __name__=='__main__':
    what,n,root = sys.argv[1],int(sys.argv[2]),sys.argv[3]
    if n: JOBS[what](n, root)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform=='darwin' else 2**10))
