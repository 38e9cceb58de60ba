"siamese_run on folders of a few tiny pictures: what it writes, what it refuses, and what it goes on with"
import csv,json,sys
from collections import Counter
import numpy as np
import pytest
from PIL import Image
from siamese_nb.data_split import get_digits
from siamese_nb import cli
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

def test_same_seed_same_results(done, pics, tmp_path):
    again = siamese_run(str(pics), out=str(tmp_path), **QUICK)
    assert same(done[0], again)
    for f in ('split.csv','pairs_valid.csv','pairs_test.csv'):
        assert (tmp_path/'weights'/'my_pics'/f).read_bytes()==(done[1]/'weights'/'my_pics'/f).read_bytes()

def test_resume(done, pics, tmp_path, monkeypatch):
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

@pytest.mark.parametrize('protocol', ['seen','unseen'])
def test_labelled_pairs(pics, tmp_path, protocol):
    paths = sorted(str(o.relative_to(pics)) for o in pics.rglob('*b.png'))
    of = {f:[p for p in paths if p.startswith(f+'/')] for f in sorted({p.split('/')[0] for p in paths})}
    where = dict(zip(of, ('train','train','train','valid','test')))
    table = [(a, b, int(i%2!=j%2), where[f]) for f,ps in of.items() for i,a in enumerate(ps) for j,b in enumerate(ps[:i])]
    with open(tmp_path/'p.csv', 'w', newline='', errors='surrogateescape') as f: csv.writer(f).writerows([('a','b','y','split'), *table])
    r = siamese_run(str(pics), pairs=str(tmp_path/'p.csv'), out=str(tmp_path), protocol=protocol, **QUICK)
    assert r['n_images']=={'train':24, 'valid':8, 'test':8} and r['n_pairs']=={'valid':28, 'test':28} and r['retrieval']['recall@1'] is None
    assert len(rows(tmp_path/'weights'/r['name']/'pairs_test.csv'))==29

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
