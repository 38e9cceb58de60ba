"Pictures and report of the smallest and oddest inputs"
import json
import numpy as np
import pytest
import torch
from siamese_nb.data_split import Items
from siamese_nb.pairs import draw_pairs
from siamese_nb.report.figures import pick_queries, save_graphs, short_name
from siamese_nb.report.files import RunFiles, check_room
from siamese_nb.report.curves import read_curves
from siamese_nb.report.page import repeat_command, write_report
from siamese_nb.evaluation.evaluate import evaluate, save_results, summary

NAMES = ['$x_1$', '日本', 'a\nb', 'x'*80, '<b>']

@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(5), 9)
    items = Items('odd', [f'{NAMES[c]}/{i}' for i,c in enumerate(y)], [NAMES[c] for c in y], arrays=rng.integers(0, 255, (45, 8, 8), dtype=np.uint8))
    e = torch.nn.functional.normalize(torch.eye(5)[y] + .5*torch.randn(45, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    split = np.array(['train', 'valid', 'test']*15)
    return items, e, split, draw_pairs(items, split, 100)

def test_small_and_odd(run, tmp_path, recwarn):
    items, e, split, pairs = run
    ev = evaluate(e, pairs, items.labels, split, unseen=True)
    save_graphs(tmp_path, items, ev, ev, split, run='abc')
    save_results(tmp_path/'results.json', summary(ev, ev, name=NAMES[2], data=NAMES[4], backbone='tiny', seed=1))
    page = write_report(tmp_path).read_text(encoding='utf-8')
    assert '<b><b></b>' not in page and '<h2>The training</h2>' not in page and '<b>' not in page.replace('<b class', '')
    assert b'abc' in (tmp_path/'roc.png').read_bytes()
    assert not [o for o in recwarn if 'Glyph' in str(o.message) or issubclass(o.category, RuntimeWarning)]

def test_pictures_of_a_random_network_say_so(run, monkeypatch):
    from siamese_nb.report import figures
    items, e, split, pairs = run
    ev,asked = evaluate(e, pairs, items.labels, split),[]
    for plot in ('plot_confusion', 'plot_roc', 'plot_distances', 'plot_embedding'):
        monkeypatch.setattr(figures, plot, lambda both, *args, **kwargs: asked.append([*both]))
    list(figures.run_figures(items, ev, ev, split, None, 'random'))
    assert len(asked) == 6 and all(o == ['random', 'trained'] for o in asked)

def test_pairs_without_classes(run, tmp_path):
    items, e, split, pairs = run
    ev = evaluate(e, pairs)
    assert set(ev.retrieval.values()) | set(ev.oneshot.values()) == {None}
    save_graphs(tmp_path, items, ev, ev, split, run='abc')
    save_results(tmp_path/'results.json', summary(ev, ev, name='a', data='b'))
    assert json.loads((tmp_path/'results.json').read_text())['oneshot'] == {'5way': None, '20way': None}
    page = write_report(tmp_path).read_text(encoding='utf-8')
    assert 'labelled same' in page and 'vermilion' not in page and 'of one class' not in page and 'classes are not' not in page

def test_nothing_in_results_is_believed(run, tmp_path):
    "A results.json that came by mail"
    items, e, split, pairs = run
    ev, evil = evaluate(e, pairs, items.labels, split), '"><script>alert(1)</script>'
    for k in ('name', 'data', 'protocol', 'classes', 'backbone', 'finetune', 'seed', 'over', 'threshold_from', 'baseline', 'reading', 'credit', 'run', 'recipe', 'versions', 'warnings'):
        r = summary(ev, ev, name='a', data='b') | {k: {evil: evil} if k=='versions' else [evil] if k=='warnings' else evil}
        save_results(tmp_path/'results.json', r)
        assert '<script' not in write_report(tmp_path, [dict(epoch=1, train_loss=.1, valid_loss=.1, train_accuracy=.9, valid_accuracy=.9, valid_auc=.95)]).read_text(encoding='utf-8'), k
    for text in ('', 'null', '[]', '{"test": 5}', '['*100_000):
        (tmp_path/'results.json').write_text(text)
        with pytest.raises(ValueError, match='holds no results'): write_report(tmp_path)

def test_one_epoch():
    row = dict(epoch=1, train_loss=.1, valid_loss=.1, train_accuracy=.9, valid_accuracy=.9, valid_auc=.95)
    assert read_curves([row], .2)[0] == 'healthy'

def test_command_is_safe_for_a_shell():
    assert repeat_command({'data': "it's; rm", 'seed': 1}) == """siamese_run 'it'"'"'s; rm' --seed 1"""

def test_figures_after_save_graphs_are_shown(tmp_path, monkeypatch):
    "A kernel's backend that wakes up inside `rc_context` becomes interactive, and ceases to be when the context ends"
    nbformat, nbclient = pytest.importorskip('nbformat.v4'), pytest.importorskip('nbclient')
    monkeypatch.delenv('MPLBACKEND', raising=False) # Jupyter's own
    cells = ['import matplotlib.pyplot as plt\nfrom siamese_nb.report import figures',
             "def one(): yield 'note', figures.plot_note('the first figure of this kernel')\nfigures.run_figures = one",
             f'figures.save_graphs({str(tmp_path)!r})',
             'plt.plot([0, 1]);']
    nb = nbformat.new_notebook(cells=[nbformat.new_code_cell(o) for o in cells])
    nbclient.NotebookClient(nb, timeout=300, kernel_name='python3').execute()
    assert (tmp_path/'note.png').exists()
    assert ['image/png' in o.get('data', {}) for o in nb.cells[-1].outputs]==[True]

def test_places_without_room(tmp_path):
    (tmp_path/'file').write_text('')
    check_room(tmp_path/'not'/'there'/'yet')
    with pytest.raises(OSError, match='no folder'): check_room(tmp_path/'file'/'below')
    with pytest.raises(OSError, match='free some'): check_room(tmp_path, 1e18)
    with pytest.raises(ValueError, match='plain name'): RunFiles(tmp_path, '../up')

def test_command_that_makes_a_run_again():
    assert repeat_command({'data': 'my photos', 'protocol': 'unseen', 'seed': 1})=="siamese_run 'my photos' --protocol unseen --seed 1"
    digits = dict(data='digits', name='digits', backbone='tiny', protocol='seen', classes='all', finetune='none', seed=42)
    assert repeat_command(digits)=='siamese_run digits --backbone tiny --seed 42'
    scratch = digits | dict(data='pics', name='pics', backbone='resnet50', finetune='all', baseline='random network')
    assert repeat_command(scratch)=='siamese_run pics --backbone resnet50 --backbone-weights none --seed 42'
    assert repeat_command(digits, epochs=5, pairs=None)=='siamese_run digits --backbone tiny --seed 42 --epochs 5'

def test_names_and_queries_of_figures():
    assert short_name('US$ and CA$', 99)==r'US\$ and CA\$' # no formula
    assert len(pick_queries(torch.eye(3), ['a', 'b', 'c']))==0 # nobody has a partner
