"Fine-tuning as it is asked for: by the command, by `fit`, killed and taken up again; and what the results say of it"
import csv,json,os,signal,subprocess,sys,time
from dataclasses import replace
import numpy as np
from unittest import mock
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
import siamese_nb.training.finetune as ft
from siamese_nb import fit,load
from siamese_nb import run as run_module
from siamese_nb.apps.hub import model_card
from siamese_nb.data_split import get_digits
from siamese_nb.evaluation.decision import best_cut, logistic
from siamese_nb.evaluation.scores import best_threshold, even_images
from siamese_nb.nets.backbones import freeze, make_backbone
from siamese_nb.nets.model_file import load_model
from siamese_nb.report.page import tuned_words
from siamese_nb.run import siamese_run
from siamese_nb.training.recipe import FINE_TUNE

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))

@pytest.fixture(scope='module')
def given(tmp_path_factory):
    "Eight kinds of digits, ten pictures each, and weights, so that the tiny network counts as pretrained"
    root,items = tmp_path_factory.mktemp('pics'),get_digits()
    for c in range(8):
        (root/'kinds'/str(c)).mkdir(parents=True)
        for k,i in enumerate(np.flatnonzero(items.y==c)[:10]): items.open(i).save(root/'kinds'/str(c)/f'{k}.png')
    torch.manual_seed(0)
    torch.save(make_backbone('tiny').net.state_dict(), root/'tiny.pth')
    return dict(data=str(root/'kinds'), backbone='tiny', backbone_weights=str(root/'tiny.pth'))

@pytest.fixture
def quick(monkeypatch):
    "Runs without pictures"
    monkeypatch.setattr(run_module, 'save_graphs', lambda folder, *args, **kwargs: [])

def strip(r): return {k:v for k,v in r.items() if k not in ('seconds', 'name', 'run', 'finetune', 'recipe', 'tuned', 'reading', 'collapse')} # the last two tell of epochs that left no trace

@pytest.mark.parametrize('what,protocol', [('last', 'seen'), ('all', 'seen'), ('last', 'unseen'), ('all', 'unseen')])
def test_the_command_fine_tunes(given, tmp_path, quick, capsys, what, protocol):
    r = siamese_run(**given, protocol=protocol, finetune=what, epochs=2, out=str(tmp_path))
    assert r['finetune'] == what == r['tuned']['what'] and r['tuned']['numbers'] > 0
    assert 'fine-tuning: ' in capsys.readouterr().out
    if protocol=='seen': assert r['tuned']['share'] == 1 and r['threshold_from'] == 'validation pairs'
    else:
        moved = r['tuned']['share'] > 0
        assert len(r['tuned']['valid_auc']) == 5 and r['threshold_from'].startswith('validation' if moved else 'cross-fitting')
    folder = tmp_path/'weights'/r['name']
    assert {f.name for f in folder.iterdir()} >= {'last.ckpt', 'best.ckpt', 'history.csv', 'model.safetensors'}
    assert json.loads((tmp_path/'graphs'/r['name']/'results.json').read_text())['tuned'] == r['tuned']

def test_prototypes_where_classes_are_met_again(given, tmp_path, quick, capsys):
    "A tuned network of known classes says how near a picture is to each; one for new classes or labelled pairs does not, and no frozen one unless it is asked"
    def head(name='kinds', **how):
        r = siamese_run(**given | how, epochs=1, out=str(tmp_path))
        w = (given | how)['backbone_weights']
        net,meta = load_model(tmp_path/'weights'/r['name']/'model.safetensors', w if w != 'none' else None)
        assert ('prototypes' in meta['head']) == bool(r['recipe']['prototypes']) and not net.head.training
        return r,net.head
    r,tuned = head(finetune='last')
    assert tuned.dim == 256 + 8 and tuned.share == FINE_TUNE.prototypes == r['recipe']['prototypes']
    assert not head(finetune='last', protocol='unseen')[0]['recipe']['prototypes'] and head()[1].dim == 256
    assert head(recipe='prototypes')[1].share == .95 and 'left out' not in capsys.readouterr().out
    page = (tmp_path/'graphs'/'kinds'/'report.html').read_text()
    assert page.count('how near a picture is to each class') == 1 and 'before classes got prototypes' in page
    (tmp_path/'r.json').write_text('{"prototypes": 0.5}')
    (tmp_path/'p.csv').write_text('a,b,y,split\n' + ''.join(f'{a}/{k}.png,{b}/{k+1}.png,{int(a!=b)},{part}\n' for part,ks in (('train', (0, 2)), ('valid', (4,)), ('test', (6,))) for k in ks for a in range(4) for b in (a, 7 - a)))
    own = dict(recipe=str(tmp_path/'r.json'))
    assert head(**own)[1].share == .5
    (tmp_path/'t.csv').write_text('path,label,split\n' + ''.join(f'{given["data"]}/{c}/{k}.png,{c},{part}\n' for c in range(8) for k,part in enumerate(['train']*4 + ['valid']*3 + ['test']*3) if c or part != 'train'))
    for more in (dict(pairs=str(tmp_path/'p.csv')), dict(protocol='unseen'), dict(data=str(tmp_path/'t.csv')), dict(backbone_weights='none', finetune='all')):
        capsys.readouterr()
        assert not head(**own, **more)[0]['recipe']['prototypes'] and 'prototypes: left out' in capsys.readouterr().out

def test_prototypes_are_means_of_training_pictures(given):
    "And the embedding is that of the heads, beside the roots of a softmax over squared distances to them"
    m,d = (fit(given['data'], backbone='tiny', backbone_weights=given['backbone_weights'], recipe=dict(prototypes=p), epochs=3, say=lambda line: None) for p in (.6, 0))
    near,pics = m.net.head,[f'{given["data"]}/{c}/{k}.png' for c in range(8) for k in range(10)]
    e,z = torch.from_numpy(d.embed(pics)),torch.from_numpy(m.embed(pics))
    p = torch.softmax(-near.sharpness*torch.cdist(e, near.means)**2, 1)
    assert torch.allclose(z, torch.cat([e*.4**.5, p.sqrt()*.6**.5], 1), atol=1e-4)
    assert [r.compare(*pics[:2]).evidence().split('; ')[1] for r in (m, d)] == ['for pictures of other classes: another model, such as general', 'for other pictures: siamese_calibrate']
    assert m.results['threshold'] != d.results['threshold'] and m.results['n_pairs'] == d.results['n_pairs']
    # every prototype lies nearest to pictures of its own class
    assert (torch.cdist(near.means, e).argsort(1)[:, :5]//10 == torch.arange(8)[:,None]).all()

def test_untouched_means_the_run_without(given, tmp_path, quick, capsys, monkeypatch):
    monkeypatch.setattr(ft, 'choose_share', lambda *args, **kwargs: (0., {0.: .9, 1.: .8}))
    a = siamese_run(**given, protocol='unseen', finetune='last', epochs=1, out=str(tmp_path/'a'))
    assert 'untouched network, which is kept' in capsys.readouterr().out
    b = siamese_run(**given, protocol='unseen', finetune='none', out=str(tmp_path/'b'))
    assert strip(a) == strip(b) and a['threshold_from'].startswith('cross-fitting') and 'tuned' not in b

@pytest.mark.parametrize('share,chosen_by', [(.5, 'validation pairs'), (0., 'cross-fitting')])
def test_classes_that_moved_the_backbone_choose_no_threshold(given, monkeypatch, share, chosen_by):
    "The validation pairs do, of both networks by one rule: each image counts alike"
    monkeypatch.setattr(ft, 'choose_share', lambda *args, **kwargs: (share, {0.: .8, share: .9}))
    m = fit(**given, new_classes=True, finetune='last', epochs=1, say=lambda line: None)
    assert m.evaluation.threshold_from.startswith(chosen_by)
    if not share: return
    for o in (m.evaluation, m.baseline):
        v = o.pairs['valid']
        assert o.threshold == pytest.approx(best_threshold(v.d, v.y, even_images(v.a, v.b, v.y)), abs=1e-4) and o.threshold_from == chosen_by

def test_another_network_or_recipe_is_no_resume(given, tmp_path, quick):
    "The same names, other weights or other numbers"
    other = tmp_path/'other.pth'
    torch.save({k:v*1.01 if v.is_floating_point() else v for k,v in torch.load(given['backbone_weights']).items()}, other)
    def recipe(**facts):
        (tmp_path/'r.json').write_text(json.dumps(dict(preset='fine_tune', tune_epochs=2) | facts))
        return str(tmp_path/'r.json')
    def go(out=tmp_path/'a', **facts): return siamese_run(**given | facts, out=str(out))
    def break_off(*args, **kwargs): raise KeyboardInterrupt
    with mock.patch.object(run_module, 'measure', break_off), pytest.raises(KeyboardInterrupt): go(recipe=recipe())
    with pytest.raises(ValueError, match='other weights of the backbone: give the same --backbone-weights'): go(recipe=recipe(), backbone_weights=str(other), resume=True)
    with pytest.raises(ValueError, match='another recipe: give the same --recipe'): go(recipe=recipe(dropout=.2), resume=True)
    with mock.patch.object(run_module, 'content_hashes', lambda items: np.arange(len(items))), pytest.raises(ValueError, match='pictures that have changed'):
        go(recipe=recipe(), resume=True)
    with pytest.raises(ValueError, match='another seed'): go(recipe=recipe(), resume=True, seed=7)
    one,two = go(recipe=recipe(), resume=True),go(tmp_path/'b', recipe=recipe(stage_lr=1e-5))
    assert one['run'] != two['run'] == go(tmp_path/'c', recipe=recipe(stage_lr=1e-5))['run']

def test_resume_needs_a_folder(given):
    with pytest.raises(ValueError, match='resume without out'): fit(**given, new_classes=True, resume=True)

def test_the_room_that_a_run_takes():
    bb = freeze(make_backbone('efficientnet_lite0'))
    none,last,every = (run_module.room_of(bb, replace(FINE_TUNE, finetune=o)) for o in ('none', 'last', 'all'))
    assert none == 50e6 and 100e6 < last-none < 120e6 and 130e6 < every-none < 140e6

def test_fit_fine_tunes(given):
    model = fit(**given, finetune='last', epochs=1, say=lambda line: None)
    assert model.history.tuned['share'] == 1 and model.recipe.finetune == 'last' and len(model.history) == 2

@pytest.fixture(scope='module')
def flat(given, tmp_path_factory):
    "The same pictures in one folder without class folders, and labelled pairs: classes of test and validation are new"
    root,rng = tmp_path_factory.mktemp('flat'),np.random.default_rng(0)
    for o in sorted(os.listdir(given['data'])):
        for k in range(10): (root/f'{o}_{k}.png').write_bytes((open(f"{given['data']}/{o}/{k}.png", 'rb')).read())
    rows = {}
    for part,classes in (('train', range(4)), ('valid', (4, 5)), ('test', (6, 7))):
        while sum(r[3]==part for r in rows.values()) < 40:
            a = rng.choice(classes)
            b = a if len(rows) % 2 else rng.choice([o for o in classes if o != a])
            k,l = rng.choice(10, 2, replace=False)
            rows.setdefault(frozenset([(a, k), (b, l)]), (f'{a}_{k}.png', f'{b}_{l}.png', int(a!=b), part))
    with open(root.parent/'pairs.csv', 'w', newline='') as f: csv.writer(f).writerows([('a', 'b', 'y', 'split'), *rows.values()])
    return given | dict(data=str(root), pairs=str(root.parent/'pairs.csv'))

@pytest.mark.parametrize('finetune,share', [('none', 0.), ('last', 0.), ('last', .5), ('all', 1.)])
def test_labelled_pairs_of_pictures_without_classes(flat, tmp_path, quick, monkeypatch, finetune, share):
    "No class says what is same: pairs of validation choose both thresholds, whatever learns"
    monkeypatch.setattr(ft, 'choose_share', lambda *args, **kwargs: (share, {0.: .8, share: .9}))
    r = siamese_run(**flat, finetune=finetune, epochs=1, out=str(tmp_path))
    assert r['n_pairs']['test'] == 40 and r['threshold_from'] == 'validation pairs'
    model = fit(**flat, finetune=finetune, epochs=1, say=lambda line: None)
    for o in (model.evaluation, model.baseline): assert o.valid['accuracy'] == o.valid['best_accuracy']
    assert model.results['test'] == r['test']

@pytest.mark.parametrize('finetune,share', [('none', 0.), ('last', .5)])
def test_labelled_pairs_in_odd_proportions(flat, tmp_path, quick, monkeypatch, finetune, share):
    "Both thresholds are chosen as if same and different were equally many, and so are the probabilities"
    monkeypatch.setattr(ft, 'choose_share', lambda *args, **kwargs: (share, {0.: .8, share: .9}))
    rows = list(csv.DictReader(open(flat['pairs'])))
    few = [r for i,r in enumerate(rows) if r['y']=='1' or i % 3 == 0]
    with open(tmp_path/'few.csv', 'w', newline='') as f:
        out = csv.DictWriter(f, rows[0])
        out.writeheader()
        out.writerows(few)
    m = fit(**flat | dict(pairs=str(tmp_path/'few.csv')), finetune=finetune, epochs=1, say=lambda line: None)
    for o in (m.evaluation, m.baseline):
        v = o.pairs['valid']
        assert (v.y==0).mean() < .4 and o.threshold == pytest.approx(best_cut(v.d, v.y)[0], abs=1e-4)
        assert o.calibration == pytest.approx(logistic(v.d, v.y), rel=1e-2)

def test_a_run_needs_room(given, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, 'room_of', lambda *args: 1e18)
    with pytest.raises(OSError, match='a run needs about'): siamese_run(**given, finetune='last', out=str(tmp_path))

def test_fit_fine_tunes_for_new_classes(given, tmp_path, quick):
    "As the command does"
    m = fit(**given, new_classes=True, finetune='last', epochs=1, say=lambda line: None)
    r = siamese_run(**given, protocol='unseen', finetune='last', epochs=1, out=str(tmp_path))
    assert m.results['tuned'] == r['tuned'] and m.results['test'] == r['test']

def test_resnet50_with_downloaded_weights(given, tmp_path, quick, monkeypatch, capsys):
    "From the download to the tuned model, on small pictures"
    state = make_backbone('resnet50', pretrained=False).net.state_dict() | {'fc.weight':torch.randn(1000, 2048)/45, 'fc.bias':torch.zeros(1000)}
    def small(*args, **kwargs):
        bb = make_backbone(*args, **kwargs)
        bb.size = 64
        return bb
    monkeypatch.setattr(run_module, 'make_backbone', small)
    with mock.patch('torchvision.models._api.load_state_dict_from_url', return_value=state) as fetch:
        r = siamese_run(given['data'], backbone='resnet50', finetune='last', epochs=1, out=str(tmp_path))
    assert fetch.call_count == 1 and r['tuned']['reads'] == 'Maps' and r['backbone'] == 'resnet50'
    assert 'fine-tuning: the last stage of the backbone learned, 14,942,208 numbers' in capsys.readouterr().out
    stored = load_file(tmp_path/'weights'/'kinds'/'model.safetensors')
    assert {k.split('.')[2] for k in stored if k.startswith('backbone.net.')} == {'layer4'}

def test_what_fit_tuned_is_stored_in_half_and_exact(given, tmp_path):
    model = fit(**given, finetune='last', epochs=1, say=lambda line: None)
    file = model.save(tmp_path/'m.safetensors')
    stored = {k:v for k,v in load_file(file).items() if k.startswith('backbone.')}
    assert stored and all(v.dtype == torch.float16 for v in stored.values())
    # two bytes a number for what of the backbone moved, the heads, and a little about the run; nothing of what stayed as published
    heads = sum(v.numel()*v.element_size() for k,v in model.net.state_dict().items() if k.startswith('head.'))
    assert sum(v.numel() for v in stored.values()) < sum(p.numel() for p in model.net.backbone.parameters())
    assert file.stat().st_size < 2*sum(v.numel() for v in stored.values()) + heads + 20_000
    own = load_model(file, given['backbone_weights'])[0].backbone.state_dict()
    assert all(torch.equal(v, own[k]) for k,v in model.net.backbone.state_dict().items())

@pytest.mark.parametrize('what,protocol', [('last', 'seen'), ('all', 'seen'), ('last', 'unseen')])
def test_two_processes_make_the_run_of_one(given, tmp_path, what, protocol):
    "torchrun, without a word to accelerate, killed after an epoch and taken up again: the first process writes and speaks, and the weights are those of one (without dropout, whose dice each process has its own of)"
    new = protocol == 'unseen' # two heads with dropout drive the backbone there, so only the course of the run can be compared
    name = 'kinds-unseen' if new else 'kinds'
    (tmp_path/'r.json').write_text(json.dumps(dict(preset='new') if new else dict(preset='fine_tune', dropout=0, epochs=5)))
    script = """
import os,siamese_nb.run as r,siamese_nb.training.fit as f
from siamese_nb.cli import siamese_run
r.save_graphs,save = (lambda *a, **k: []),f.Checkpoint.epoch
def die(self, run): # after the first epoch, in the process that writes
    save(self, run)
    os._exit(3)
if os.environ.get('DIE'): f.Checkpoint.epoch = die
siamese_run()
"""
    (tmp_path/'run.py').write_text(script)
    words = [str(tmp_path/'run.py'), given['data'], '--backbone', 'tiny', '--backbone-weights', given['backbone_weights'],
             '--recipe', str(tmp_path/'r.json'), '--finetune', what, '--protocol', protocol, '--epochs', '2', '--out']
    env = {k:v for k,v in os.environ.items() if k != 'ACCELERATE_USE_CPU'} | dict(TQDM_DISABLE='1', OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    many = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_addr=127.0.0.1', '--rdzv_backend=c10d', '--rdzv_endpoint=127.0.0.1:0']
    cut = subprocess.run([*many, *words, str(tmp_path/'two')], env=env | dict(DIE='1'), capture_output=True, text=True, timeout=300)
    work = tmp_path/'two'/'weights'/name/'unfinished'
    assert cut.returncode != 0 and (work/'history.csv').read_text().count('\n') == 3 # a head, the state before, one epoch
    said = {}
    for command,out in (([*many], 'two'), ([sys.executable], 'one')):
        more = ['--resume'] if out == 'two' else []
        p = subprocess.run([*command, *words, str(tmp_path/out), *more], env=env, capture_output=True, text=True, timeout=300)
        assert p.returncode == 0, p.stderr
        said[out] = p.stdout
    for word in ('fine-tuning: ', 'trained, test', 'written: '): assert said['one'].count(word) == said['two'].count(word) > 0
    folder = tmp_path/'two'/'weights'/name
    one,two = (load_file(o/'model.safetensors') for o in (tmp_path/'one'/'weights'/name, folder))
    if not new:
        assert one.keys() == two.keys() and any('backbone' in k for k in one)
        start = {f'backbone.net.{k}':v for k,v in torch.load(given['backbone_weights']).items()}
        def apart(a, b): return ((a[k].float() - b[k].float()).norm()/b[k].float().norm()).item()
        # sums in another order differ in the last bit, and Adam makes much of it in weights that hardly matter: tensors are compared as wholes
        for k in one: assert apart(two, one) < (.1*apart(one, start) if k in start else .01), k
    assert not (folder/'unfinished').exists() and not (folder/'.lock').exists()

def test_a_random_network_learns_whatever_finetune_says(given, tmp_path, quick, capsys):
    siamese_run(given['data'], backbone='tiny', finetune='last', epochs=1, out=str(tmp_path))
    assert 'finetune last: tiny starts from random weights, so all of it learns' in capsys.readouterr().out

@pytest.mark.parametrize('protocol', ['seen', 'unseen'])
def test_a_network_for_photographs_from_random_weights(given, tmp_path, quick, capsys, protocol):
    "The command and `fit`; what is stored is what was measured"
    pytest.importorskip('timm')
    how = dict(backbone='mobilenetv3_small_050', backbone_weights='none', epochs=1)
    r = siamese_run(given['data'], **how, protocol=protocol, out=str(tmp_path))
    assert r['recipe']['name'] == 'scratch' and r['backbone'] == how['backbone'] and 'tuned' not in r
    assert 'starts from random weights and learns from scratch' in capsys.readouterr().out
    m = fit(given['data'], **how, new_classes=protocol=='unseen', say=lambda line: None)
    assert m.results['test'] == r['test']
    page = (tmp_path/'graphs'/r['name']/'report.html').read_text()
    assert 'mobilenetv3_small_050, from random weights' in page and '--backbone-weights none' in page
    assert 'random network' in model_card(m) and not any(o in model_card(m) for o in ('frozen', 'ImageNet'))
    two,stored = [f'{given["data"]}/{o}.png' for o in ('1/0', '2/3')],load(tmp_path/'weights'/r['name'])
    assert abs(stored.compare(*two)['distance'] - m.compare(*two)['distance']) < 1e-5

def test_what_none_means_for_other_backbones(given, capsys):
    "The digits keep their small network; a recipe that would leave random weights as they are is refused"
    assert [run_module.choose_backbone('digits', o, 'none').name for o in ('auto', 'tiny')] == ['tiny', 'tiny']
    assert run_module.choose_backbone('a folder', 'auto', 'none').name == 'resnet50'
    with pytest.raises(ValueError, match='recipe known with tiny'): fit(given['data'], backbone='tiny', recipe='known', finetune='last')
    fit(given['data'], backbone='tiny', recipe='known', finetune='all', epochs=1, say=print)

def test_the_random_network_is_asked_where_it_will_learn(given, monkeypatch):
    "Rows and network on one device, whatever it is"
    import siamese_nb.run as run
    bb = make_backbone('tiny')
    where = []
    monkeypatch.setattr(run, 'embed_light', lambda model, x, device=None: where.append(next(model.parameters()).device.type) or torch.zeros(len(x), 3))
    monkeypatch.setattr(run, 'get_device', lambda name: torch.device(name or 'cpu'))
    inputs = mock.Mock(x=torch.zeros(2, 1, 3, 16, 16))
    inputs.net.backbone = bb
    run.frozen_embeddings(inputs, 'meta')
    assert where == ['meta']

def test_killed_and_taken_up_again(given, tmp_path):
    "SIGKILL after an epoch, then --resume: the same model, byte for byte, as of a run that nobody killed"
    words = [given['data'], '--backbone', 'tiny', '--backbone-weights', given['backbone_weights'], '--finetune', 'last', '--epochs', '40']
    command = [sys.executable, '-c', 'import siamese_nb.run as r; r.save_graphs = lambda *a, **k: []; from siamese_nb.cli import siamese_run; siamese_run()', *words]
    env = os.environ | dict(TQDM_DISABLE='1', OMP_NUM_THREADS='1')
    def start(out, *more): return subprocess.Popen([*command, '--out', str(tmp_path/out), *more], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    whole = start('a')
    assert whole.wait(120) == 0, whole.stderr.read()
    cut,work = start('b'),tmp_path/'b'/'weights'/'kinds'/'unfinished'
    def epochs(): return (work/'history.csv').read_text().count('\n') if (work/'history.csv').exists() else 0
    while cut.poll() is None and epochs() < 5: time.sleep(.002)
    cut.send_signal(signal.SIGKILL)
    assert cut.wait(60) == -signal.SIGKILL and (work/'last.ckpt').exists()
    again = start('b', '--resume')
    assert again.wait(120) == 0, again.stderr.read()
    a,b = ((tmp_path/o/'weights'/'kinds') for o in 'ab')
    one,other = (pd.read_csv(o/'history.csv').drop(columns='seconds') for o in (a, b))
    assert one.equals(other) and len(one) == 41
    one,other = (load_file(o/'model.safetensors') for o in (a, b))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one) and any('backbone' in k for k in one)

def test_the_recipe_says_how(given, tmp_path, quick, monkeypatch):
    "Batches, margins, decay and mirrors of a recipe reach the training of the backbone"
    asked,tune = {},ft.tune
    def spy(*args, **kwargs):
        asked.update(kwargs, views=args[1].maps.shape[1])
        return tune(*args, **kwargs)
    monkeypatch.setattr(ft, 'tune', spy)
    recipe = tmp_path/'r.json'
    recipe.write_text(json.dumps(dict(preset='fine_tune', classes_per_batch=4, images_per_class=3, margin=1.4, pos_margin=.3, wd=.02, mirror=False,
                                      tune_epochs=2, tune_lr=2e-3, stage_lr=3e-4, earlier_lr=4e-5, keep='best', patience=2)))
    r = siamese_run(**given, recipe=str(recipe), out=str(tmp_path))
    assert (asked['epochs'], asked['fast'], asked['keep'], asked['patience']) == (2, dict(lr=2e-3, stage=3e-4, earlier=4e-5), 'best', 2)
    assert (r['tuned']['epochs'], r['tuned']['augment'], r['tuned']['reads']) == (2, 'none', 'Maps')
    assert (asked['p'], asked['k'], asked['margins'], asked['wd'], asked['views']) == (4, 3, (1.4, .3), .02, 2)

@pytest.mark.parametrize('share,line,page', [(1., 'learned, 7 numbers', 'fine-tuned (last)'), (.5, '50% of the way', 'fine-tuned (last, 50% of the way'), (0., 'untouched network, which is kept', 'kept as it came')])
def test_words_for_what_was_done(share, line, page):
    assert line in ft.tuned_line(dict(what='last', share=share, numbers=7))
    assert page in tuned_words(dict(finetune='last', baseline='frozen backbone', tuned=dict(share=share)))
    assert tuned_words(dict(finetune='none', baseline='frozen backbone')) == ''
