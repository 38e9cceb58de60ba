"Corners of training that make dull reading"
import numpy as np
import pytest
import torch
from siamese_nb.loss import PairContrastive
from siamese_nb.train import History, embed_rows, fixed_check
from siamese_nb.training.steps import one_cycle

@pytest.mark.parametrize('steps', range(1, 8))
def test_one_cycle_of_few_steps(steps):
    opt = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.)
    sched = one_cycle(opt, steps)
    for _ in range(steps):
        assert 0<opt.param_groups[0]['lr']<=1
        opt.step()
        sched.step()

@pytest.mark.parametrize('rows, settings, best', [
    ([dict(valid_auc=1., valid_loss=v) for v in (.3, .1, .2)], {}, 1),
    ([dict(valid_auc=a, valid_accuracy=b) for a,b in ((.995, .970), (.994, .975), (.980, .980))], {}, 0),
    ([dict(valid_auc=a, valid_accuracy=b) for a,b in ((.995, .970), (.994, .975), (.980, .980))], dict(tolerance=.002), 1),
    ([dict(valid_auc=.9), dict(valid_auc=.8)], dict(keep='last'), 1)])
def test_which_epoch_is_kept(rows, settings, best): assert History(rows, **settings).best == best

x,y,split = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)),np.arange(40)%4,np.repeat(['train', 'valid'], 20)

class Angular(torch.nn.Module): # as ArcFace has it: `margin` is an angle in degrees
    margin = 28.6

class Cosine(torch.nn.Module): # as pytorch-metric-learning's contrastive loss on cosines: same pairs near 1, different near 0
    pos_margin,margin = 1,0

@pytest.mark.parametrize('loss, line', [(PairContrastive(1.2, .5), .7**2/8), (Angular(), 1/8), (Cosine(), 1/8), (None, 1/8), (lambda e,t: 0, 1/8)])
def test_only_a_contrastive_loss_lends_its_margins(loss, line):
    check = fixed_check(x, y, split, 20, 20, loss=loss)
    assert check.collapse == pytest.approx(line)
    assert np.isfinite(check(lambda x: x)['valid_loss'])

def test_embedding_leaves_the_mode_as_it_was_and_may_be_shared():
    net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout(.5)).train()
    e = embed_rows(net, x, batch_size=7)
    assert net.training and torch.allclose(e, embed_rows(net, x), atol=1e-6) # no dropout
    assert torch.allclose(embed_rows(net, x, through=lambda o: 2*net(o)), 2*e, atol=1e-6)
