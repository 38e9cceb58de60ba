"Thresholds and distances for classes that training does not meet"
import numpy as np
import pytest
import torch
from siamese_nb.data_split import disjoint_split
from siamese_nb.evaluation.decision import cross_fit,deals_for
from siamese_nb.model import Head
from siamese_nb.nets.normalise import Scaled,scaled_by,usual
from siamese_nb.training.new_classes import cohort_of,inverse_root,to_choose_from,train_new_classes,whiten,within

def clouds(n_classes, n=12, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), n)
    return rng.normal(size=(n_classes, dim))[y] + .3*rng.normal(size=(len(y), dim)),y

def test_few_classes_are_dealt_often():
    "Most pairs of sixteen classes meet in some fold; no image is asked by a fit that had its class"
    x,y = clouds(16)
    met,asked = set(),[]
    def measure(fit, ask, a, b):
        assert not set(y[fit]) & set(y[ask])
        met.update({tuple(sorted((y[ask[i]], y[ask[j]]))) for i,j in zip(a, b) if y[ask[i]]!=y[ask[j]]})
        asked.append(len(a))
        return np.linalg.norm(x[ask[a]]-x[ask[b]], axis=1)
    d,t = cross_fit(y, measure)
    assert len(asked)==25 and len(d)==len(t)==sum(asked) and len(met) > 60
    assert (deals_for(4), deals_for(16), deals_for(60), deals_for(1000))==(5, 5, 1, 1)

def test_usual_is_what_strangers_are():
    "How many pictures of each class the cohort has does not move the unit by much"
    x,y = clouds(20, 30)
    e = torch.from_numpy(x).float()
    many,few = np.arange(len(y)),np.flatnonzero(np.arange(len(y))%30 < 10)
    k = lambda rows: max(2, len(rows)//8)
    own = [usual(e[rows], k(rows), y[rows]) for rows in (many, few)]
    assert abs(own[0]/own[1]-1) < .1
    blind = usual(e[many], 20),usual(e[many], 20, y[many])
    assert blind[0] < .8*blind[1] # its own class is nearer than strangers

def test_power():
    "No power, no change; half the power is the root of the whole"
    e = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    whole,half = scaled_by(e, e, 3, 1., 1.)/e,scaled_by(e, e, 3, 1.)/e
    assert torch.equal(scaled_by(e, e, 3, 1., 0.), e) and torch.allclose(half**2, whole, rtol=1e-5)
    head = Head(4, 4, hidden=0).eval()
    assert {o["power"] for o in to_choose_from(False, False)}=={0., .5, 1.} and {o["power"] for o in to_choose_from(False, False, "none")}=={0.}
    assert Scaled(head, e, 3).config['power']==.5

def test_few_images_whiten_as_many_do():
    "With fewer images than numbers: the same distances as by the whole covariance"
    x,y = clouds(4, 5, 40)
    r = within(torch.from_numpy(x), y)
    w = inverse_root(r, .3)
    s = .7*r.T@r/len(r) + .3*r.square().sum()/len(r)/40*torch.eye(40)
    assert torch.allclose(w.T@w@s, torch.eye(40, dtype=s.dtype), atol=1e-8)

def test_a_head_that_normalises_is_the_one_that_was_chosen():
    "The head of the chosen setting gives test pictures distances like those that chose the threshold"
    x,y = clouds(20, 12, 16, 1)
    crowded = (y%2==0)[:,None]
    x = torch.from_numpy(np.where(crowded, .2*x + 3, x)).float()[:,None]
    split = disjoint_split([f'{c:02d}' for c in y])
    head,history,cut,chosen = train_new_classes(Head(16, 16, hidden=0), x, y, split, normalise='always')
    assert chosen['power'] and cut.normalised and isinstance(head, Scaled)
    e = head(x[torch.from_numpy(split=='test')])
    assert .5 < float(e.norm(dim=1).mean()) < 4 and head.config['power']==chosen['power'] and len(head.cohort)==(split=='train').sum()
    assert history[0]['valid_accuracy'] > .6

def test_cohort():
    "No image twice, each with what it belongs to"
    rows,owner = cohort_of([5, 3, 5, 9], [0, 1, 2, 3])
    assert sorted(rows.tolist())==[3, 5, 9] and dict(zip(rows.tolist(), owner))=={3:1, 5:0, 9:3}
    assert len(cohort_of(np.arange(1000), np.arange(1000))[0])==400

def test_whiten_needs_two_of_a_class():
    x,_ = clouds(3, 1)
    try: whiten(Head(6, 6, hidden=0), torch.from_numpy(x).float()[:,None], np.arange(3))
    except ValueError as e: assert 'no class has two' in str(e)
    else: raise AssertionError('no error')

def test_cohorts_without_strangers():
    with pytest.raises(ValueError, match='1 image in the cohort'): Scaled(Head(16, 8, hidden=0), torch.ones(1, 8))
    crowd = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))[np.arange(200)%40] + .1*torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
    assert usual(crowd, 10, np.zeros(200))==usual(crowd, 10) # one class only: nobody else to ask
