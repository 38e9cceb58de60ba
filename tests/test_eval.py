"The figures of odd lists of pairs"
import numpy as np
import pytest
import torch
from siamese_nb.eval import threshold_at_fmr
from siamese_nb.evaluation.evaluate import metrics
from siamese_nb.evaluation.retrieval import one_shot, retrieval

def test_nothing_wrong_and_nothing_to_say():
    d, y = np.array([.1, .2, .9, .8]), np.array([0, 0, 1, 1])
    m = metrics(d, y, .5, np.array([[0, 1], [2, 3], [0, 2], [1, 3]]))
    assert (m['accuracy'], m['roc_auc'], m['eer'], m['tpr_at_fpr_1pct']) == (1, 1, 0, 1) and m['accuracy_ci95'] == [1, 1]
    assert metrics(d[:2], y[:2], .5)['roc_auc'] is None
    assert retrieval(torch.eye(2), ['a', 'b'])['map@r'] is None and one_shot(torch.eye(2), ['a', 'b'], 2) is None

def test_constant_distances():
    "A collapsed network: every distance equal"
    d, y = np.full(40, .5), np.tile([0, 1], 20)
    m = metrics(d, y, .5, np.stack([np.arange(40), np.roll(np.arange(40), 1)], 1))
    assert m['roc_auc'] == m['eer'] == .5 and m['accuracy'] == .5

def test_a_rate_that_these_pairs_cannot_show():
    "Fault 6: one in a thousand of twenty pairs is no pair at all"
    d,y = np.arange(40.),np.repeat([0, 1], 20)
    with pytest.raises(ValueError, match='20 different pairs cannot show a rate of 0.001: give 1,000 or more'): threshold_at_fmr(d, y, .001)
    with pytest.raises(ValueError, match='give a rate above 0'): threshold_at_fmr(d, y, 0)
    with pytest.raises(ValueError, match='0 different pairs'): threshold_at_fmr(d[:20], y[:20], .1)
    t = threshold_at_fmr(d, y, .1)
    assert (d[y==1]<t).sum()==2
