"Corners of the probability of a pair"
import numpy as np
import pytest
from siamese_nb.evaluation.probability import calibrate, p_same, reliability

def test_half_at_the_middle_and_no_overflow():
    ab = calibrate([.1, .3, .9, 1.1], [0, 0, 1, 1])
    assert p_same(-ab[1]/ab[0], ab) == pytest.approx(.5) and p_same(1e9, ab) == 0

def test_separable_pairs_give_a_finite_curve(): assert np.isfinite(calibrate([.1]*5 + [1.]*5, [0]*5 + [1]*5)).all()

def test_bins_hold_all_pairs():
    said,was,n,ece = reliability(np.linspace(0, 2, 50), np.arange(50)//25, (-4., 4.))
    assert n.sum() == 50 and 0 <= ece < .2
