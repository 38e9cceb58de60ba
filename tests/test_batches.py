"Duller checks of siamese_nb.data.batches than a lesson has room for"
from dataclasses import replace
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from siamese_nb.data.batches import FileViews, PairList, PairSampler, PKSampler, TensorViews, on_device, pair_batches, pk_batches, some_pairs, whole
from siamese_nb.data.images import Transform, read_image
from siamese_nb.data_split import get_digits, make_split
from siamese_nb.pairs import fixed_pairs

def nudge(x, generator): return x+torch.randn(x.shape, generator=generator)

@pytest.mark.parametrize('method,n', [('spawn',1),('fork',2)])
def test_workers(method, n):
    "A process started in either way gives the batches that this one gives"
    if method not in torch.multiprocessing.get_all_start_methods(): pytest.skip(f'no {method} here')
    data = TensorViews(torch.randn(60, 2, 4), np.arange(60)%5, augment=nudge)
    batches = pk_batches(data, 3, 4, 3)
    there = DataLoader(data, batch_sampler=batches.batch_sampler, collate_fn=whole, num_workers=n, multiprocessing_context=method)
    for (x,t),(u,v) in zip(batches, there): assert torch.equal(x, u) and torch.equal(t, v)

def test_accelerate_keeps_epochs_and_batches():
    from accelerate.data_loader import BatchSamplerShard
    y = np.arange(60)%5
    whole_epoch = list(PKSampler(y, 3, 4, 4))
    got = [list(BatchSamplerShard(PKSampler(y, 3, 4, 4), 2, r)) for r in (0,1)]
    assert got==[whole_epoch[::2], whole_epoch[1::2]]

def test_one_item_of_a_data_set(tmp_path):
    "data[0], a negative number, and the end, as for any other data set"
    x,y = torch.arange(24.).view(4, 2, 3),np.array([5, 6, 7, 8])
    data = TensorViews(x, y)
    assert torch.equal(data[1][0], x[1,0]) and data[1][1]==6 and data[-1][1]==8 and len(list(data))==4
    with pytest.raises(IndexError): data[4]
    some = FileViews(get_digits().take(np.arange(3)), Transform(8, ('squash', 'crop')))
    assert some[2][0].shape==(3, 8, 8) and [int(t) for _,t in some]==get_digits().y[:3].tolist()

def test_what_is_trained_on_is_what_is_measured():
    "The colour beside a padded picture, too"
    items = get_digits().take(np.arange(2))
    wide = replace(items, arrays=np.pad(items.arrays, ((0,0),(0,0),(3,3))))
    look = Transform(16, ('pad', 'squash'), (7, 99, 200))
    for k,views in enumerate(look(read_image(wide, i, look.size)) for i in range(2)):
        assert (views[0] == torch.tensor([7, 99, 200], dtype=torch.uint8)[:,None,None]).all(0).any()
        for v in range(2): assert torch.equal(FileViews(wide, look).pick(torch.tensor([k]), torch.tensor([v]))[0], views[v])

def test_on_device(monkeypatch):
    "A card takes what fits into three tenths of its free memory"
    some = torch.zeros(10, 1, 30, dtype=torch.uint8) # 300 bytes
    assert on_device(some, 'cpu') is some
    monkeypatch.setattr('torch.cuda.mem_get_info', lambda device: (900, 4000))
    assert on_device(some, 'cuda') is some # 270 may be used
    monkeypatch.setattr('torch.cuda.mem_get_info', lambda device: (1000, 4000))
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, device: f'moved to {device}')
    assert on_device(some, 'cuda')=='moved to cuda'

def test_pair_sampler():
    y = get_digits().y
    sampler = PairSampler(y, 64)
    for batch in sampler:
        i,_,t = np.array(batch).T
        a,b = i[:64],i[64:]
        assert t[:64].sum()==32 # balanced in every batch
        assert ((y[a]!=y[b]).astype(int)==t[:64]).all()
        assert not (a==b).any() and len(set(a[:32]))==len(set(a[32:]))==32
    before = list(sampler)
    assert list(sampler)==before # the same epoch again
    sampler.set_epoch(1)
    assert list(sampler)!=before # a new one
    with pytest.raises(ValueError, match='even'): PairSampler(y, 63)
    assert len(list(PairSampler([0,0,1], 64))[0])==8 # a tiny data set gets a batch as large as it can fill

def test_some_pairs_are_a_fair_sample():
    few = some_pairs(np.arange(90), np.arange(90)+1, np.arange(90)//60, 30) # 60 same pairs, then 30 different ones
    assert np.bincount(few[2]).tolist()==[20, 10]

def test_pair_list_gives_each_pair_once():
    digits = get_digits()
    valid = digits.take(make_split(digits)=='valid')
    given = list(zip(*(o.tolist() for o in fixed_pairs(valid.y, 300))))
    got = [(p[0],q[0],p[2]) for batch in PairList(*zip(*given), batch_size=64) for p,q in zip(batch[:len(batch)//2], batch[len(batch)//2:])]
    assert sorted(got)==sorted(given) and got!=given

def test_what_a_batch_holds():
    digits = get_digits()
    data = TensorViews(torch.arange(2.*len(digits)).view(-1, 2, 1), digits.y)
    for x,target in pair_batches(data): assert (len(x), len(target))==(128, 64)
    x,target = next(iter(pk_batches(data, p=5, k=3)))
    assert torch.unique(target, return_counts=True)[1].tolist()==[3]*5
    index,draw,_ = next(iter(PKSampler(digits.y, 5, 3)))[0]
    assert torch.equal(x[0], data.flat.view(-1, 2, 1)[index, draw%2]) # the view that the draw says

@pytest.mark.parametrize('p,k', [(4,4), (3,7), (32,4), (10,2), (None,4)])
def test_pk_promises(p, k):
    "No image twice in a batch, the images a class has, and classes and their images used evenly"
    y = get_digits().y
    if p is None: y,p = np.r_[np.zeros(50, int), [1,1,1], [2], [3]*9],3 # classes of 50, 3, 1 and 9 images
    sampler = PKSampler(y, p, k)
    used,times = np.zeros(len(y), int),np.zeros(max(y)+1, int)
    for batch in sampler:
        i,_,c = np.array(batch).T
        assert (y[i]==c).all() and len(set(i))==len(i) and len(set(c))==sampler.p
        assert [(c==o).sum() for o in set(c)]==[min(k, (y==o).sum()) for o in set(c)]
        used[i] += 1
        times[np.unique(c)] += 1
    share = len(sampler)*sampler.p/len(set(y))
    assert set(times[np.unique(y)])<={int(np.floor(share)), int(np.ceil(share))}
    assert all(np.ptp(used[y==c])<=1 for c in set(y))

def test_one_class_makes_no_batch():
    with pytest.raises(ValueError, match='two classes'): PKSampler(get_digits().y, 1, 4)
