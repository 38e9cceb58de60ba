"Duller checks of siamese_nb.loss; the telling ones are in nbs/03_loss.ipynb"
import numpy as np
import pytest
import torch
from siamese_nb.loss import AllPairsContrastive, PairContrastive, best_threshold, collapse_line, contrastive_loss, pair_scores

def test_best_threshold_is_best_of_all_cuts():
    rng = np.random.default_rng(0)
    for _ in range(100):
        n = rng.integers(1, 12)
        d,y = rng.integers(0, 6, n)/5,rng.integers(0, 2, n) # many ties
        best = max(pair_scores(d, y, c)['accuracy'] for c in np.r_[-1, np.unique(d) + .01])
        assert pair_scores(d, y, best_threshold(d, y))['accuracy'] == best

@pytest.mark.parametrize('bad', [([], []), ([.1, .2], [0]), ([.1, float('nan')], [0, 1])])
def test_best_threshold_refuses(bad):
    with pytest.raises(ValueError): best_threshold(*bad)

@pytest.mark.parametrize('dtype', [torch.int64, torch.int32, torch.bool, torch.float32, torch.uint8])
def test_labels_of_any_type(dtype):
    d,y = torch.tensor([.2, .4]),torch.tensor([0, 1]).to(dtype)
    assert contrastive_loss(d, y).item() == pytest.approx((.04 + .36)/4)

@pytest.mark.parametrize('reduction', ['mean', 'nonzero'])
def test_empty_batch(reduction):
    e = torch.zeros(0, 3, requires_grad=True)
    for loss,y in ((PairContrastive(reduction=reduction), torch.zeros(0)), (AllPairsContrastive(reduction=reduction), torch.zeros(0))):
        value = loss(e, y)
        value.backward()
        assert value == 0 and e.grad.shape == (0, 3)

def test_collapse_on_the_scale_of_the_loss():
    d,y = torch.full((20,), .9),torch.tensor([0]*2 + [1]*18)
    loss = PairContrastive(reduction='mean')
    assert contrastive_loss(d, y).item() == pytest.approx(loss.collapse(different=.9)) == collapse_line(different=.9)/2
