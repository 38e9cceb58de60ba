"Corners of training that make dull reading"
import pytest
import torch
from siamese_nb.train import one_cycle

@pytest.mark.parametrize('steps', range(1, 8))
def test_one_cycle_of_few_steps(steps):
    opt = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.)
    sched = one_cycle(opt, steps)
    for _ in range(steps):
        assert 0<opt.param_groups[0]['lr']<=1
        opt.step()
        sched.step()
