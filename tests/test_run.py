"siamese_run on folders of a few tiny pictures: what it writes, what it refuses, and what it goes on with"
import csv,errno,json,sys
from collections import Counter
import numpy as np
import pytest
from PIL import Image
from siamese_nb.data_split import get_digits
from siamese_nb import cli
from siamese_nb import run as run_module
from siamese_nb.core import content_hash
from siamese_nb.report.files import RunFiles,odd_files,only_run
from siamese_nb.run import siamese_run

QUICK = dict(backbone='tiny', epochs=2)

def same(a, b):
    "Two results, the timings aside"
    return {k for k in a if a[k]!=b[k]}<={'seconds','name'}

@pytest.fixture(scope='module')
def pics(tmp_path_factory):
    "Five digits, eight pictures each, with names that hold all that a name can hold"
    root,items = tmp_path_factory.mktemp('odd names')/'my pics',get_digits()
    names = ['plain', 'with space', 'ünï $x$', 'new\nline', 'not \udcff utf-8']
    for c,folder in enumerate(names):
        (root/folder).mkdir(parents=True)
        for k,i in enumerate(np.flatnonzero(items.y==c)[:8]): items.open(i).save(root/folder/f'{k} "a", b.png')
    (root/'plain'/'cut.png').write_bytes((root/'plain'/'0 "a", b.png').read_bytes()[:60])
    return root

@pytest.fixture(scope='module')
def done(pics, tmp_path_factory):
    out = tmp_path_factory.mktemp('out')
    return siamese_run(str(pics), out=str(out), **QUICK),out

@pytest.fixture
def quick(monkeypatch):
    "Runs without pictures"
    monkeypatch.setattr(run_module, 'save_graphs', lambda folder, *args, **kwargs: [])

@pytest.fixture
def shell(monkeypatch, capsys):
    "The command line in this process: exit status, last line of stderr"
    def f(*args):
        monkeypatch.setenv('TQDM_DISABLE', '1')
        monkeypatch.setattr(sys, 'argv', ['siamese_run', *map(str, args)])
        status = 0
        try: cli.siamese_run()
        except SystemExit as e: status = e.code
        err = capsys.readouterr().err
        assert 'Traceback' not in err and (not status or err.count('\n')==1), err
        return status,err
    return f

def rows(file):
    with open(file, newline='', encoding='utf-8', errors='surrogateescape') as f: return list(csv.reader(f))

def test_files(done):
    r,out = done
    w,g = out/'weights'/'my_pics',out/'graphs'/'my_pics'
    assert {'model.safetensors','last.ckpt','history.csv','split.csv','pairs_valid.csv','pairs_test.csv','run.json'} <= {o.name for o in w.iterdir()}
    assert len(list(g.glob('*.png')))>=15 and 'src="http' not in (g/'report.html').read_text()
    assert json.loads((g/'results.json').read_text())['test']['confusion']==r['test']['confusion']
    assert not [o for o in out.rglob('*') if o.name.startswith('.') or o.suffix=='.tmp']

def test_split_and_pairs(done):
    w = done[1]/'weights'/'my_pics'
    head,*split = rows(w/'split.csv')
    part,label = {r[0]:r[2] for r in split},{r[0]:r[1] for r in split}
    assert head==['path','label','split'] and len(part)==40 and len(set(label.values()))==5
    for p in ('valid','test'):
        head,*pairs = rows(w/f'pairs_{p}.csv')
        assert head==['a','b','y'] and Counter(r[2] for r in pairs)=={'0':len(pairs)//2, '1':len(pairs)//2}
        assert all(a!=b and part[a]==part[b]==p and (label[a]==label[b])==(y=='0') for a,b,y in pairs)
        assert len({frozenset(r[:2]) for r in pairs})==len(pairs)

def test_same_seed_same_results(done, pics, tmp_path, quick):
    again = siamese_run(str(pics), out=str(tmp_path), **QUICK)
    assert same(done[0], again)
    for f in ('split.csv','pairs_valid.csv','pairs_test.csv'):
        assert (tmp_path/'weights'/'my_pics'/f).read_bytes()==(done[1]/'weights'/'my_pics'/f).read_bytes()

def test_resume(done, pics, tmp_path, monkeypatch, quick):
    "Stopped in the second epoch"
    from siamese_nb.training.fit import Training
    save = Training.save
    def stop(self, out):
        if self.epoch==2: raise KeyboardInterrupt
        save(self, out)
    monkeypatch.setattr(Training, 'save', stop)
    with pytest.raises(KeyboardInterrupt): siamese_run(str(pics), out=str(tmp_path), **QUICK)
    monkeypatch.undo()
    assert len(rows(tmp_path/'weights'/'my_pics'/'unfinished'/'history.csv'))==2 and not (tmp_path/'weights'/'my_pics'/'model.safetensors').exists()
    assert same(done[0], siamese_run(str(pics), out=str(tmp_path), resume=True, **QUICK))

def test_damaged_checkpoint(pics, tmp_path, shell):
    ckpt = tmp_path/'weights'/'my_pics'/'last.ckpt'
    ckpt.parent.mkdir(parents=True)
    ckpt.write_bytes(b'junk'*99)
    status,err = shell(pics, '--backbone', 'tiny', '--resume', '--out', tmp_path)
    assert status==2 and 'last.ckpt' in err and 'train anew' in err

def paths_of(pics):
    paths = sorted(str(o.relative_to(pics)) for o in pics.rglob('*b.png'))
    return {f:[p for p in paths if p.startswith(f+'/')] for f in sorted({p.split('/')[0] for p in paths})}

def pair_table(pics, file, swap=False, extra=()):
    "Two kinds of picture in each folder: even and odd numbers; 1 in 2 pairs is same, or the other way round"
    where = dict(zip(paths_of(pics), ('train','train','train','valid','test')))
    table = [(a, b, int((i%2!=j%2)!=swap), where[f]) for f,ps in paths_of(pics).items() for i,a in enumerate(ps) for j,b in enumerate(ps[:i])]
    with open(file, 'w', newline='', errors='surrogateescape') as f: csv.writer(f).writerows([('a','b','y','split'), *table, *extra])
    return str(file)

@pytest.mark.parametrize('protocol', ['seen','unseen'])
def test_labelled_pairs(pics, tmp_path, protocol, quick):
    r = siamese_run(str(pics), pairs=pair_table(pics, tmp_path/'p.csv'), out=str(tmp_path), protocol=protocol, **QUICK)
    assert r['n_images']=={'train':24, 'valid':8, 'test':8} and r['n_pairs']=={'valid':28, 'test':28} and r['retrieval']['recall@1'] is None
    assert len(rows(tmp_path/'weights'/r['name']/'pairs_test.csv'))==29 and r['shared_groups']==0 and r['chance']==16/28
    page = (tmp_path/'graphs'/r['name']/'report.html').read_text(encoding='utf-8')
    assert 'labelled same' in page and 'classes are not' not in page and 'of one class' not in page and '43 % of these pairs are same' in page

def test_bad_image_in_pairs(pics, tmp_path, quick, capsys):
    "One pair with a broken picture costs that pair, not the run"
    parts = dict(zip(paths_of(pics), ('train','train','train','valid','test')))
    extra = [('plain/cut.png', paths_of(pics)['plain'][0], 0, parts['plain'])]
    r = siamese_run(str(pics), pairs=pair_table(pics, tmp_path/'p.csv', extra=extra), out=str(tmp_path), **QUICK)
    assert r['n_pairs']['test']==28 and 'cut.png' in capsys.readouterr().out

@pytest.fixture
def digit_pairs(tmp_path):
    "Two hundred digits in one folder, and pairs that say which are of one digit"
    items,rng = get_digits(),np.random.default_rng(0)
    (tmp_path/'d').mkdir()
    for i in range(0, 400, 2): items.open(i*4).save(tmp_path/'d'/f'{i:03}.png')
    y = items.y[np.arange(0, 400, 2)*4]
    def write(file, swap=False, keep=lambda same: True):
        table,part = [],np.resize(['train','valid','test'], 200)
        for p in ('train','valid','test'):
            rows_ = np.flatnonzero(part==p)
            ab = [(i, j) for i in rows_ for j in rows_ if i<j]
            table += [(f'{2*i:03}.png', f'{2*j:03}.png', int((y[i]!=y[j])!=swap), p) for i,j in ab if keep(y[i]==y[j]) and rng.random()<.5]
        with open(tmp_path/file, 'w', newline='') as f: csv.writer(f).writerows([('a','b','y','split'), *table])
        return str(tmp_path/file)
    return tmp_path/'d',write

def test_labels_the_wrong_way_round(digit_pairs, tmp_path, quick, capsys):
    "Said before the training, and in results.json; --same-is 1 reads them as they are meant"
    folder,write = digit_pairs
    r = siamese_run(str(folder), pairs=write('swapped.csv', swap=True), out=str(tmp_path), **QUICK)
    assert r['warnings'][0].startswith('y looks reversed: 0 is same') and '--same-is 1' in r['warnings'][0]
    said = capsys.readouterr().out
    assert said.index('y looks reversed') < said.index('trained, test')
    assert json.loads((tmp_path/'graphs'/'d'/'results.json').read_text())['warnings']==r['warnings']
    assert 'y looks reversed' in (tmp_path/'graphs'/'d'/'report.html').read_text(encoding='utf-8')
    r = siamese_run(str(folder), pairs=str(tmp_path/'swapped.csv'), out=str(tmp_path), same_is=1, **QUICK)
    assert not [o for o in r['warnings'] if 'reversed' in o] and r['test']['roc_auc'] > .6

def test_one_pair_in_ten_is_same(digit_pairs, tmp_path, quick):
    folder,write = digit_pairs
    r = siamese_run(str(folder), pairs=write('p.csv'), out=str(tmp_path), **QUICK)
    page = (tmp_path/'graphs'/'d'/'report.html').read_text(encoding='utf-8')
    assert r['chance'] > .85 and r['test']['balanced_accuracy'] < r['test']['accuracy']
    assert f"Calling all of them different gets {100*r['chance']:.1f} %" in page and 'balanced accuracy' in page and 'Half of these' not in page

def hashes(out): return {str(o.relative_to(out)):content_hash(o) for o in out.rglob('*') if o.is_file()}

def test_second_run_leaves_the_first_whole(pics, tmp_path, monkeypatch, quick):
    "Killed while it evaluates, and by another run of that name"
    first = siamese_run(str(pics), out=str(tmp_path), **QUICK)
    before,files = hashes(tmp_path),RunFiles(tmp_path, 'my_pics')
    def stop(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr(run_module, 'describe', stop)
    with pytest.raises(KeyboardInterrupt): siamese_run(str(pics), out=str(tmp_path), seed=7, **QUICK)
    now = hashes(tmp_path)
    assert {k:now[k] for k in before}==before and odd_files(files)==[]
    assert first['run'] in (files.graphs/'report.html').read_text(encoding='utf-8') and first['run'].encode() in (files.weights/'model.safetensors').read_bytes()
    with only_run(files), pytest.raises(ValueError, match='another run is at work'): siamese_run(str(pics), out=str(tmp_path), **QUICK)

def test_other_data_of_that_name(done, pics, tmp_path):
    "Another folder called `my pics`"
    r,out = done
    before = hashes(out)
    for c in 'ab':
        (tmp_path/'my pics'/c).mkdir(parents=True)
        for i in range(8): Image.new('RGB', (9, 9), (i*20, ord(c), 0)).save(tmp_path/'my pics'/c/f'{i}.png')
    with pytest.raises(ValueError, match='other data of that name.*--name'): siamese_run(str(tmp_path/'my pics'), out=str(out), **QUICK)
    assert hashes(out)==before

def test_nowhere_to_write_is_noticed_first(pics, tmp_path, monkeypatch):
    (tmp_path/'graphs').write_text('in the way')
    monkeypatch.setattr(run_module, 'read_inputs', None) # not reached
    with pytest.raises(OSError, match='graphs.*--out'): siamese_run(str(pics), out=str(tmp_path), **QUICK)
    assert {o.name for o in tmp_path.iterdir()}=={'graphs'}

def test_full_disk(pics, tmp_path, monkeypatch, quick):
    def full(*args, **kwargs): raise OSError(errno.ENOSPC, 'No space left on device', 'model.safetensors')
    monkeypatch.setattr(run_module, 'save_model', full)
    with pytest.raises(OSError, match='model.safetensors: no space left.*--resume'): siamese_run(str(pics), out=str(tmp_path), **QUICK)
    monkeypatch.undo()
    assert not [o for o in tmp_path.rglob('*') if o.suffix=='.tmp' or o.name.startswith('.')]

def test_python_raises():
    with pytest.raises(FileNotFoundError, match='nowhere'): siamese_run('nowhere')
    with pytest.raises(ValueError, match='empty'): siamese_run('')

def test_kept_epoch_is_written_down(done):
    from siamese_nb.report.page import write_report
    import pandas as pd
    h = pd.read_csv(done[1]/'weights'/'my_pics'/'history.csv')
    page = write_report(done[1]/'graphs'/'my_pics', h).read_text(encoding='utf-8')
    assert h.kept.sum()==1 and f'Epoch {h.epoch[h.kept].item()} of {len(h)} is the model' in page

@pytest.mark.parametrize('args,words', [
    (('--device','abacus'), ('abacus','cpu')), (('--backbone','tinny'), ('tinny','resnet50')), (('--epochs','0'), ('epochs',)),
    (('--seed','-1'), ('seed','from 0')), (('--workers','-1'), ('workers',)), (('--classes','tidy'), ('tidy','caltech101')),
    (('--protocol','sideways'), ('sideways','unseen')), (('--name','a/b'), ('a/b',)), (('--name','..'), ('name',)),
    (('--pairs','nowhere.csv'), ('nowhere.csv',)), (('--backbone','resnet50','--backbone-weights','nowhere.pth'), ('nowhere.pth',)), (('--nonsense',), ('--help',))])
def test_refused(shell, pics, tmp_path, args, words):
    status,err = shell(pics, '--backbone', 'tiny', '--out', tmp_path/'out', *args)
    assert status==2 and all(w in err for w in words), err
    assert not (tmp_path/'out').exists()

@pytest.mark.parametrize('classes,words', [({}, 'no images'), ({'a':8}, 'only one class'), ({'a':1, 'b':1}, 'no class with two'), ({'a':3, 'b':3}, '6 or more')])
def test_folder_refused(shell, tmp_path, classes, words):
    (tmp_path/'pics').mkdir()
    for c,n in classes.items():
        (tmp_path/'pics'/c).mkdir()
        for i in range(n): Image.new('RGB', (9, 9), (i*20, ord(c), 0)).save(tmp_path/'pics'/c/f'{i}.png')
    status,err = shell(tmp_path/'pics', '--backbone', 'tiny', '--out', tmp_path/'out')
    assert status==2 and words in err and not (tmp_path/'out').exists()
