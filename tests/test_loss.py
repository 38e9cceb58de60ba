"Duller checks of siamese_nb.loss; the telling ones are in nbs/03_loss.ipynb and nbs/further/all_pairs.ipynb"
import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from siamese_nb.training.all_pairs import AllPairsContrastive, all_distances
from siamese_nb.loss import PairContrastive, collapse_line, contrastive_loss
from siamese_nb.evaluation.scores import best_threshold, pair_scores
from siamese_nb.model import distance

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

points = torch.Generator().manual_seed(0)
CLOUDS = dict(sphere=normalize(torch.randn(60, 16, generator=points)), one_spot=1 + 1e-4*torch.randn(60, 16, generator=points),
              wide=500 + 30*torch.randn(60, 16, generator=points), copies=normalize(torch.randn(20, 16, generator=points)).repeat(3, 1))

@pytest.mark.parametrize('cloud', CLOUDS)
@pytest.mark.parametrize('reduction', ['mean', 'nonzero'])
@pytest.mark.parametrize('margins', [(1., 0.), (1.2, .5), (1000., 0.)])
def test_all_pairs_are_the_formula_in_double_precision(cloud, reduction, margins):
    e,labels = CLOUDS[cloud],torch.arange(60)//4
    ours,exact = e.clone().requires_grad_(),e.double().requires_grad_()
    loss = AllPairsContrastive(*margins, reduction)(ours, labels)
    i,j = torch.triu_indices(60, 60, 1)
    formula = contrastive_loss(distance(exact[i], exact[j]), labels[i]!=labels[j], *margins, reduction)
    loss.backward()
    formula.backward()
    assert loss.item() == pytest.approx(formula.item(), rel=1e-5, abs=1e-5)
    assert (ours.grad - exact.grad).abs().max() <= 1e-5*max(1, exact.grad.abs().max())

@pytest.mark.parametrize('n', [0, 1, 2])
def test_few_points(n):
    e = torch.ones(n, 3, requires_grad=True)
    d = all_distances(e)
    d.sum().backward()
    assert d.shape == (n*(n-1)//2,) and (d == 0).all() and (e.grad == 0).all()

def at(*degrees): # points on the unit circle
    t = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([t.cos(), t.sin()], 1)

@pytest.mark.parametrize('y, settings, want', [
    ([0, 0, 0, 0], {}, (0 + 1 + 2 + 4)/8), ([1, 1, 1, 1], {}, 1/8),
    ([0, 1, 0, 1], dict(margin=1.5), (0 + .5**2 + 2 + 0)/8),
    ([1, 0, 1, 0], dict(margin=1.5, pos_margin=.2), (1.5**2 + .8**2 + (1.5 - 2**.5)**2 + 1.8**2)/8)])
def test_points_at_known_angles(y, settings, want): # worked out on paper: a distance is 2 sin(angle/2)
    d = distance(at(0, 0, 0, 0), at(0, 60, 90, 180))
    assert contrastive_loss(d, torch.tensor(y), **settings).item() == pytest.approx(want)

def test_a_pair_of_copies_leaves_the_weights_finite():
    net = torch.nn.Linear(3, 2)
    e = net(torch.ones(2, 3))
    contrastive_loss(distance(e[:1], e[1:]), torch.tensor([0])).backward()
    assert (net.weight.grad == 0).all()

@pytest.mark.parametrize('call, says', [
    (lambda d, y: contrastive_loss(d[:,None], y), 'one label per pair'),
    (lambda d, y: contrastive_loss(d, y, margin=.5, pos_margin=.5), 'pos_margin < margin'),
    (lambda d, y: contrastive_loss(d, y, reduction='sum'), "choose 'mean'"),
    (lambda d, y: PairContrastive()(torch.ones(4, 2), torch.tensor([0, 1, 1])), '4 embeddings for 3 pairs')])
def test_refuses_in_one_line(call, says):
    with pytest.raises(ValueError, match=says): call(torch.tensor([.1, .2]), torch.tensor([0, 1]))

@pytest.mark.parametrize('y', [0, 1])
def test_slope_is_the_force(y):
    d = torch.tensor([.25, .5, 1.5], requires_grad=True)
    slope = torch.autograd.grad(contrastive_loss(d, torch.full((3,), y), reduction='none').sum(), d)[0]
    assert slope.tolist() == pytest.approx([-.75, -.5, 0.] if y else [.25, .5, 1.5])

@pytest.mark.parametrize('reduction', ['mean', 'nonzero'])
def test_slopes_agree_with_finite_differences(reduction):
    e = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(PairContrastive(2., .5, reduction), (e[:8], torch.tensor([0, 1, 0, 1])))
    assert torch.autograd.gradcheck(AllPairsContrastive(3., .5, reduction), (e, torch.arange(9) % 3))

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_gives_a_float32_loss_and_a_finite_slope(dtype):
    e,c = normalize(torch.randn(16, 8, generator=torch.Generator().manual_seed(2))),torch.arange(16) % 4
    exact,h = AllPairsContrastive()(e, c).item(),e.to(dtype).requires_grad_()
    loss = AllPairsContrastive()(h, c)
    loss.backward()
    assert loss.dtype==torch.float32 and h.grad.dtype==dtype and h.grad.isfinite().all()
    assert loss.item() == pytest.approx(exact, abs=5e-3)
    with torch.autocast('cpu', torch.bfloat16): assert AllPairsContrastive()(e, c).item() == exact

@pytest.mark.parametrize('reduction', ['mean', 'nonzero'])
@pytest.mark.parametrize('labels', [torch.zeros(6), torch.arange(6), torch.arange(6) % 2])
def test_batches_that_lack_a_kind_of_pair(labels, reduction):
    e = at(*range(0, 360, 60)).requires_grad_()
    loss = AllPairsContrastive(1.2, .5, reduction)(e, labels)
    loss.backward()
    assert loss > 0 and e.grad.isfinite().all()

@pytest.mark.parametrize('reduction', ['mean', 'nonzero'])
@pytest.mark.parametrize('e, labels', [(at(0, 120, 240)*10, torch.arange(3)), (at(30), torch.arange(1)), (torch.ones(4, 2), torch.zeros(4))])
def test_nothing_left_to_pay(e, labels, reduction):
    e = e.clone().requires_grad_()
    loss = AllPairsContrastive(1., 0., reduction)(e, labels)
    loss.backward()
    assert loss == 0 and loss.requires_grad and (e.grad == 0).all()

def test_one_point_has_no_slope_and_costs_six_lines():
    e = torch.ones(128, 3, requires_grad=True)
    full = AllPairsContrastive()(e, torch.arange(128) % 32)
    assert full.item() == pytest.approx(.72) and AllPairsContrastive().collapse() == pytest.approx(.1225)
    assert (torch.autograd.grad(full, e)[0] == 0).all()
