"Duller checks of siamese_nb.data.batches than a lesson has room for"
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from siamese_nb.data.batches import FileViews, PKSampler, TensorViews, pk_batches, whole
from siamese_nb.data.images import Transform
from siamese_nb.data_split import get_digits

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
