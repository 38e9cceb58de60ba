"Evaluation and pictures on the smallest and oddest inputs"
import json
import numpy as np
import pytest
import torch
from siamese_nb.data_split import Items
from siamese_nb.eval import evaluate, metrics, one_shot, retrieval, save_results, summary
from siamese_nb.pairs import frozen_pairs
from siamese_nb.report import read_curves, repeat_command, save_graphs, write_report

NAMES = ['$x_1$', '日本', 'a\nb', 'x'*80, '<b>']

@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 9)
    items = Items('odd', [f'{NAMES[c]}/{i}' for i,c in enumerate(y)], [NAMES[c] for c in y], arrays=rng.integers(0, 255, (45, 8, 8), dtype=np.uint8))
    e = torch.nn.functional.normalize(torch.eye(5)[y] + .5*torch.randn(45, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    split = np.array(['train', 'valid', 'test']*15)
    pairs = {}
    for part in ('train', 'valid', 'test'):
        rows = np.flatnonzero(split==part)
        a, b, t = frozen_pairs(y[rows], 100)
        pairs[part] = rows[a], rows[b], t
    return items, e, split, pairs

def test_small_and_odd(run, tmp_path, recwarn):
    items, e, split, pairs = run
    ev = evaluate(e, pairs, items.labels, split, unseen=True)
    save_graphs(tmp_path, items, e, ev, ev, split)
    save_results(tmp_path/'results.json', summary(ev, ev, name=NAMES[2], data=NAMES[4], backbone='tiny', seed=1))
    page = write_report(tmp_path).read_text(encoding='utf-8')
    assert '<b><b></b>' not in page and '<h2>The training</h2>' not in page
    assert not [o for o in recwarn if 'Glyph' in str(o.message) or issubclass(o.category, RuntimeWarning)]

def test_pairs_without_classes(run, tmp_path):
    items, e, split, pairs = run
    ev = evaluate(e, pairs)
    assert set(ev.retrieval.values()) | set(ev.oneshot.values()) == {None}
    save_graphs(tmp_path, items, e, ev, ev, split)
    save_results(tmp_path/'results.json', summary(ev, ev, name='a', data='b'))
    assert json.loads((tmp_path/'results.json').read_text())['oneshot'] == {'5way': None, '20way': None}
    write_report(tmp_path)

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

def test_one_epoch():
    row = dict(epoch=1, train_loss=.1, valid_loss=.1, train_accuracy=.9, valid_accuracy=.9, valid_auc=.95)
    assert read_curves([row], .2)[0] == 'healthy'

def test_command_is_safe_for_a_shell():
    assert repeat_command({'data': "it's; rm", 'seed': 1}) == """siamese_run 'it'"'"'s; rm' --seed 1"""
