"Figures of odd lists of pairs: sorted, lopsided, too few, the wrong way round; and what is said about them"
import numpy as np
import pytest
import torch
from siamese_nb.evaluation.caveats import caveats, looks_reversed
from siamese_nb.evaluation.decision import calibrated
from siamese_nb.evaluation.evaluate import evaluate, gain, metrics, summary, who_varies
from siamese_nb.evaluation.intervals import accuracy_interval, paired_intervals
from siamese_nb.evaluation.nearest import neighbours
from siamese_nb.evaluation.scores import best_threshold, pair_scores
from siamese_nb.loss import Contrastive
from siamese_nb.report.curves import READINGS, read_curves
from siamese_nb.report.figures import crowded
from siamese_nb.data.batches import some_pairs
from siamese_nb.train import fixed_check

@pytest.fixture
def points():
    "Two hundred images of twenty classes, and pairs of them; the last ten classes are the test"
    y = np.repeat(np.arange(20), 10)
    e = torch.nn.functional.normalize(torch.eye(20)[y] + .2*torch.randn(200, 20, generator=torch.Generator().manual_seed(0)), dim=1)
    a, b = np.triu_indices(100, 1)
    pairs = {p: (a+k, b+k, (y[a+k]!=y[b+k]).astype(int)) for p,k in (('train', 0), ('valid', 0), ('test', 100))}
    return e, y, pairs

@pytest.mark.parametrize('first', [0, 1])
def test_sorted_pairs_are_sampled(points, first):
    "A table that begins with all pairs of one kind: the head of it is no sample"
    e, y, pairs = points
    order = {p: np.argsort(o[2] if first==0 else -o[2], kind='stable') for p,o in pairs.items()}
    sorted_pairs = {p: tuple(c[order[p]] for c in o) for p,o in pairs.items()}
    check = fixed_check(e, y, None, 200, 300, pairs=sorted_pairs)
    for p in ('train', 'valid'): assert abs((check.parts[p].y==0).mean() - (pairs[p][2]==0).mean()) < .01
    row, whole = check(lambda x: x), fixed_check(e, y, None, 10**6, 10**6, pairs=sorted_pairs)(lambda x: x)
    assert abs(row['valid_accuracy'] - whole['valid_accuracy']) < .05
    assert {len(o) for o in some_pairs(*pairs['test'], 10**6)}=={len(pairs['test'][2])}

def test_only_the_contrastive_loss_has_margins(points):
    e, y, pairs = points
    class Angular(torch.nn.Module): margin = 28.6 # degrees
    assert fixed_check(e, y, None, pairs=pairs, loss=Angular()).margin==1.
    assert fixed_check(e, y, None, pairs=pairs, loss=Contrastive(1.2, .5)).margin==1.2

def test_labels_the_wrong_way_round(points):
    e, y, pairs = points
    a, b, t = pairs['valid']
    d = (e[a] - e[b]).norm(dim=1).numpy()
    assert looks_reversed(d, t) is None and looks_reversed(d, 1-t) < .2
    ev = evaluate(e, {p: (a, b, 1-t) for p,(a,b,t) in pairs.items()})
    assert any('is 0 same?' in o for o in caveats(ev))

def test_majority_is_chance(points):
    "One pair in eleven is same: an embedding that knows nothing is right ten times in eleven"
    e, y, pairs = points
    ev = evaluate(torch.randn(200, 8, generator=torch.Generator().manual_seed(1)), pairs)
    assert ev.test['accuracy'] > .9 and abs(ev.test['balanced_accuracy'] - .5) < .05
    r = summary(ev, ev)
    assert r['chance'] > .9 and any('calling every pair alike' in o for o in caveats(ev))

def test_nothing_to_say(points):
    e, y, pairs = points
    labels, split = y.astype(str), np.repeat(['valid', 'test'], 100)
    ev = evaluate(e, pairs, labels, split)
    assert caveats(ev, labels, split)==[] and ev.test['best_accuracy'] >= ev.test['accuracy']

def test_two_validation_classes(points):
    e, y, pairs = points
    few = pairs | {'valid': tuple(o[(pairs['valid'][0] < 20) & (pairs['valid'][1] < 20)] for o in pairs['valid'])}
    split = np.where(np.arange(200) < 20, 'valid', np.where(np.arange(200) < 100, 'train', 'test'))
    said = caveats(evaluate(e, few, y.astype(str), split, unseen=True), y.astype(str), split, unseen=True)
    assert any(o.startswith('2 validation classes') for o in said)

def test_people_vary_where_they_are_named():
    a, b = np.arange(0, 400, 2), np.arange(1, 400, 2)
    who = [f'writer {i//40}' for i in range(400)]
    d = np.where(np.arange(200)//20 < 3, .9, .1) + np.arange(200)*1e-4 # three writers of ten are always judged wrongly
    y = np.arange(200)%2*0
    y[1::2], d[1::2] = 1, 1 - d[1::2]
    units, over = who_varies(400, owners=who)
    wide, narrow = (np.ptp(accuracy_interval(d, y, .5, u[np.stack([a, b], 1)])) for u in (units, np.arange(400)))
    assert over=='groups' and wide > 1.5*narrow
    assert who_varies(400, owners=['']*400)[1]==who_varies(400, owners=['genuine', 'forged']*200)[1]=='images'

def test_the_difference_is_paired(points):
    "A worse copy of an embedding: both intervals overlap, that of the difference does not hold 0"
    e, y, pairs = points
    a, b, t = pairs['test']
    noisy = e + .12*torch.randn(e.shape, generator=torch.Generator().manual_seed(2))
    d, worse = ((o[a] - o[b]).norm(dim=1).numpy() for o in (e, noisy))
    g = np.stack([a, b], 1)
    diff = paired_intervals((d, 1.), (worse, 1.), t, g)['roc_auc']
    assert 0 < diff[0] < diff[1]
    ev, bad = evaluate(e, pairs), evaluate(noisy, pairs)
    assert any('training made it worse' in o for o in caveats(bad, difference=gain(bad, ev)))
    assert any('use the backbone' in o for o in caveats(bad, difference=gain(bad, ev)))
    assert any('worse than the random network' in o and 'use the backbone' not in o for o in caveats(bad, difference=gain(bad, ev), before='random network'))

def test_one_kind_of_pair_only():
    m = metrics(np.array([.1, .2, .3]), np.zeros(3), .25, np.array([[0, 1], [1, 2], [0, 2]]))
    assert (m['roc_auc'], m['balanced_accuracy'], m['accuracy_ci95'])==(None, None, None) and m['majority']==1

def rows(**cols): return [dict(epoch=i+1, train_loss=1-.1*i, train_accuracy=.9, valid_auc=.95, valid_accuracy=.9, **{k: v[i] for k,v in cols.items()}) for i in range(5)]

def test_the_kept_epoch_is_the_one_in_the_file():
    h = rows(valid_loss=[.3]*5, kept=[False, False, True, False, False])
    assert read_curves(h)[1][0].startswith('Epoch 3 of 5 is the model')

def test_not_every_good_model_was_trained_well():
    assert read_curves(rows(valid_loss=[.3, .2, .22, .25, .28]))[0]=='overconfident' # the loss rises by 40 %, accuracy holds
    assert read_curves(rows(valid_loss=[.3]*5), collapse=.5)[0]=='untouched'
    h = [r | dict(valid_auc=.505, valid_accuracy=.95, valid_loss=.3) for r in rows(valid_loss=[.3]*5)] # 95 % different pairs
    assert read_curves(h)[0] in ('weak', 'collapsed')

def test_many_classes_stay_cheap():
    "Five thousand classes of two: the picture of forty compares a few hundred images, not ten thousand"
    e = torch.nn.functional.normalize(torch.randn(10_000, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    assert len(crowded(e, np.arange(10_000)//2))==400
    near = neighbours(e, np.arange(3000), 1, chunk=10_000*7)
    assert (near==neighbours(e, np.arange(3000), 1)).all()

def test_two_classes_have_no_interval():
    "Whatever is drawn of two classes, with both kinds of pair it is the sample itself: an interval without width"
    rng = np.random.default_rng(0)
    for k in (2, 3):
        labels = np.repeat(np.arange(3*k).astype(str), 6)
        e, split = rng.normal(size=(len(labels), 4)), np.repeat(['train', 'valid', 'test'], 6*k)
        pairs = {}
        for p in ('train', 'valid', 'test'):
            rows = np.flatnonzero(split==p)
            a, b = (rows[o] for o in np.triu_indices(len(rows), 1))
            pairs[p] = a, b, (labels[a]!=labels[b]).astype(int)
        ev, other = (evaluate(o, pairs, labels, split, unseen=True) for o in (e, e[:,:2]))
        ci, gained = ev.test['accuracy_ci95'], gain(ev, other)
        if k==2: assert ci is None and gained is None
        else: assert ci[0] < ci[1] and gained['accuracy'][0] < gained['accuracy'][1]

def test_a_computed_embedding_is_not_read_as_a_training():
    "One state of epoch 0: neither healthy nor over-fitted, and no advice about epochs"
    row = dict(epoch=0, train_loss=.1, valid_loss=.2, train_accuracy=.98, valid_accuracy=.91, valid_auc=.99)
    for o in (row, row | dict(valid_accuracy=.98), row | dict(valid_auc=.7)):
        kind, why = read_curves([o], .125)
        assert kind=='computed' and not any(w in ' '.join([READINGS[kind], *why]) for w in ('poch', 'over-fitted', 'learned'))

def test_a_strict_threshold_is_not_judged_by_its_own_pairs():
    "It lies below every different pair of the sample, and still says that others would pass"
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(12), 5)
    x = rng.normal(size=(12, 3))[y] + .4*rng.normal(size=(60, 3))
    i, j = np.triu_indices(60, 1)
    d, t = np.linalg.norm(x[i]-x[j], axis=1), (y[i]!=y[j]).astype(int)
    r = calibrated(d, t, np.stack([y[i], y[j]], 1), .01)
    assert (d[t==1] >= r['threshold']).all() and 0 < r['false_match'] < .1 and r['promised'] > .01

def test_best_threshold():
    rng = np.random.default_rng(0)
    y = np.arange(1000)%2
    d = rng.normal(.6 + .5*y, .2)
    assert best_threshold([.1, .2, .4, .9], [0, 0, 1, 1])==pytest.approx(.3)
    assert best_threshold(d, y)==best_threshold(d, y, np.full(1000, .3))
    assert [best_threshold([.1, .2, .3], [0, 1, 0], w) for w in ([2, 1, 3], [2, 3, 1])]==pytest.approx([.3, .15], abs=1e-9)
    assert best_threshold([.5, .6], [0, 0])>.6 and best_threshold([.5, .6], [1, 1])==.5 # all same, all different
    with pytest.raises(ValueError, match='1 of 2 distances are NaN'): best_threshold([.1, np.nan], [0, 1])

def test_scores_of_few_pairs():
    assert np.array_equal(pair_scores([.1, .2, .4, .9], [0, 1, 1, 0], .3)['confusion'], [[1, 1], [1, 1]])
    assert np.isnan(pair_scores([.5, .6], [1, 1], .5)['recall'])
    m = metrics(np.ones(3), np.ones(3), 1.)
    assert [m[k] for k in ('roc_auc', 'balanced_accuracy', 'accuracy')]==[None, None, 1.]
    assert list(m)=='accuracy precision recall f1 roc_auc eer tpr_at_fpr_1pct accuracy_ci95 confusion best_accuracy balanced_accuracy majority'.split()
    with pytest.raises(ValueError, match='one label a distance'): metrics(np.ones(3), np.ones(4), 1.)
    with pytest.raises(ValueError, match='not finite'): metrics([.1, np.nan], [0, 1], 1.)

@pytest.mark.parametrize('n', (1, 5, 50_000))
def test_roc_shows_no_rate_that_its_pairs_cannot(n):
    "The logarithmic axis begins where one different pair would be seen, and never at its own end"
    from siamese_nb.eval import plot_roc
    rng = np.random.default_rng(0)
    d,y = rng.random(n+20),np.r_[np.zeros(20), np.ones(n)].astype(int)
    low,high = plot_roc({'trained':(d, y)}).axes[1].get_xlim()
    assert high==1 and low==pytest.approx({1:.1, 5:.1, 50_000:1e-4}[n])
