"What a folder, an index, a gallery or a file name of somebody else's may not do, and what a model may say"
import json,os
import numpy as np
import pytest
import torch
from PIL import Image
from siamese_nb.core import Unreadable
from siamese_nb.model import Head,SiameseNet
from siamese_nb.nets.sealed import read_sealed,save_sealed
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.apps.identify import Gallery,load_gallery
from siamese_nb.apps.index import INDEX,index_file,read_index,write_index
from siamese_nb.apps.matcher import Matcher,load,siamese_embed
from siamese_nb.apps.search import Index
from siamese_nb.apps.vectors import check_out,vector_facts,vector_table,write_table

META = dict(name='noise', threshold=.5, calibration=[-40., 20.], error_rate=.1, dim=128)

@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return Matcher(SiameseNet(make_backbone('tiny'), Head(512)), dict(META), 'cpu', 'key')

@pytest.fixture
def pics(tmp_path, monkeypatch):
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    rng = np.random.default_rng(0)
    for i in range(24):
        f = tmp_path/'pics'/f'{i%3}'/f'{i:02d}.png'
        f.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(f)
    return tmp_path/'pics'

def files(pics): return sorted(pics.rglob('*.png'))

def test_one_picture_one_embedding(model, pics):
    "Alone, beside one other, among many, through an index, given as pixels"
    fs = files(pics)
    many = model.embed(fs, progress=False)
    alone = np.stack([model.embed(f, progress=False) for f in fs[:6]])
    assert np.linalg.norm(many[:6]-alone, axis=1).max()<1e-3
    assert np.linalg.norm(model.embed([fs[5], fs[1]], progress=False)[1]-many[1])<1e-3
    assert np.linalg.norm(model.index(pics, progress=False).e-many, axis=1).max()<1e-3
    assert np.linalg.norm(model.embed(Image.open(fs[3]), progress=False)-many[3])<1e-3
    assert model.compare(fs[0], fs[0])['distance']<1e-3

def test_nothing_is_written_into_the_folder_nor_believed(model, pics):
    "F3: an index that came with the pictures"
    before = sorted(o for o in pics.rglob('*'))
    ix = Index(model, pics, progress=False)
    assert sorted(o for o in pics.rglob('*'))==before and index_file(pics, model.key).is_file()
    forged = dict(read_index(index_file(pics, model.key), 128), embeddings=np.tile(ix.e[:1], (24, 1)))
    for name in ('.siamese_nb-key.npz', index_file(pics, model.key).name): write_index(pics/name, forged)
    assert np.array_equal(Index(model, pics, progress=False).e, ix.e)

@pytest.mark.parametrize('change', ['nan', 'shape', 'dtype', 'names', 'columns', 'zip', 'fifo', 'text'])
def test_damaged_index_is_made_anew(model, pics, change):
    e,file = Index(model, pics, progress=False).e,index_file(pics, model.key)
    t,_ = read_sealed(file, INDEX)
    if change=='nan': t['embeddings'][0] = np.nan
    if change=='shape': t['stamps'] = t['stamps'][:, 0]
    if change=='dtype': t['embeddings'] = t['embeddings'].double()
    if change=='names': t['paths'] = t['paths'][:-8]
    if change=='columns': del t['digests']
    file.unlink()
    if change=='zip':
        with open(file, 'wb') as f: np.savez_compressed(f, embeddings=np.zeros((10**6, 128), np.float32))
    elif change=='fifo': os.mkfifo(file)
    elif change=='text': file.write_text('x'*100)
    else: save_sealed(file, t, {}, INDEX)
    assert np.allclose(Index(model, pics, progress=False).e, e, atol=1e-4)

def test_every_flipped_bit_of_an_index_is_noticed(model, pics):
    Index(model, pics, progress=False)
    file = index_file(pics, model.key)
    whole,rng = file.read_bytes(),np.random.default_rng(4)
    assert len(read_index(file, 128)['paths'])==24
    for i in [*range(0, 64), *rng.integers(0, len(whole), 400)]: # the beginning, and anywhere
        file.write_bytes(whole[:i]+bytes([whole[i]^1<<rng.integers(8)])+whole[i+1:])
        assert len(read_index(file, 128)['paths'])==0, i

def test_failures_are_tried_again(model, pics, monkeypatch):
    "F4, fault 12: a picture that could not be read once, for want of memory"
    import siamese_nb.apps.search as search
    really,bad = search.read_image,files(pics)[3]
    def short(items, i, size): 
        if items.file(i)==bad: raise MemoryError
        return really(items, i, size)
    monkeypatch.setattr(search, 'read_image', short)
    first = Index(model, pics, progress=False)
    assert len(first)==23 and first.unread==[('1/01.png' if bad.name=='01.png' else str(bad.relative_to(pics)), 'not enough memory')]
    monkeypatch.undo()
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(pics.parent/'cache'))
    assert len(Index(model, pics, progress=False))==24

def test_odd_errors_leave_out_one_image(model, pics, monkeypatch):
    "F6: whatever one file raises, the others are embedded"
    import siamese_nb.apps.search as search
    really = search.read_image
    def odd(items, i, size):
        if i==2: raise TypeError('a damaged EXIF')
        return really(items, i, size)
    monkeypatch.setattr(search, 'read_image', odd)
    e,errors = model.embed_some(files(pics), progress=False)
    assert list(errors)==[2] and isinstance(errors[2], Unreadable) and np.isfinite(np.delete(e, 2, 0)).all()

def test_stop_keeps_what_was_done(model, pics, monkeypatch):
    "Fault 13"
    import siamese_nb.apps.index as index
    monkeypatch.setattr(index, 'STEP', 8)
    really,asked = model.embed_some,[]
    def stop(images, **kw):
        if len(asked)==2: raise KeyboardInterrupt
        asked.append(len(images))
        return really(images, **kw)
    model.embed_some = stop
    try:
        with pytest.raises(KeyboardInterrupt): Index(model, pics, progress=False)
    finally: del model.embed_some
    assert len(read_index(index_file(pics, model.key), 128)['paths'])==16

def test_cache_that_cannot_be_written_is_said(model, pics, monkeypatch, tmp_path):
    "Fault 15"
    (tmp_path/'file').write_text('')
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'file'))
    ix = Index(model, pics, progress=False)
    assert len(ix)==24 and 'could not be kept' in ix.note and ix.note in repr(ix)

def test_new_threshold_old_error_rate(model):
    "Fault 6"
    assert (model.error_rate, model.measured_on)==(.1, 'test pairs of noise')
    model.threshold = .4
    said = model.compare(Image.new('L', (9, 9)), Image.new('L', (9, 9)))
    assert said['error_rate'] is None and said['measured_on'] is None and '%' not in repr(said)
    model.threshold = .5
    assert model.error_rate==.1

@pytest.mark.parametrize('n,least', [(20, 1/22), (10_000, 1/10_002), (None, 1/1002)])
def test_probability_within_the_evidence(model, n, least):
    "Fault 2"
    meta = dict(META) | ({} if n is None else dict(calibration_pairs=n))
    m = Matcher(model.net, meta, 'cpu')
    assert np.allclose([m.p_same(0), m.p_same(2)], [1-least, least])
    assert '1.000' not in repr(m.compare(Image.new('L', (9, 9)), Image.new('L', (9, 9))))

@pytest.mark.parametrize('x', [np.zeros((3, 64, 64)), torch.zeros(64, 64, 3), np.zeros((64, 64, 2)), np.zeros((64, 64, 5))])
def test_layouts_refused(model, pics, x):
    "Fault 9"
    for f in (model.embed, lambda x: Gallery(model).enrol('a', x), lambda x: model.search(x, pics)):
        with pytest.raises(ValueError, match='could be several|several images'): f(x)

def test_search_in_a_small_folder(model, pics):
    found = model.search(files(pics)[0], pics, k=99)
    assert len(found)==23 and [o['distance'] for o in found]==sorted(o['distance'] for o in found)

def test_names_are_text(model, pics):
    "F14: dollars, braces, newlines and escapes in names; a picture that has gone"
    odd = pics/'$x_{$ \x1b[31m\n.png'
    files(pics)[0].rename(odd)
    found = model.search(files(pics)[1], pics, k=30)
    assert model.compare(odd, odd)._repr_png_()[:4]==b'\x89PNG' and '\x1b' not in repr(found)
    odd.unlink()
    assert found._repr_png_()[:4]==b'\x89PNG'

def test_targets(model, pics, tmp_path, monkeypatch):
    "F11: nothing but a file of ours is made or replaced"
    (tmp_path/'link.npz').symlink_to(files(pics)[0])
    os.mkfifo(tmp_path/'pipe.npz')
    for out in ('/dev/null', tmp_path/'link.npz', tmp_path/'pipe.npz', files(pics)[0], tmp_path/'out.csv', tmp_path, tmp_path/'no'/'out.npz'):
        with pytest.raises((ValueError, OSError)): check_out(out)

def test_parquet(model, pics, tmp_path, monkeypatch):
    pq = pytest.importorskip('pyarrow.parquet')
    (pics/'0'/'cut.png').write_bytes(b'\x89PNG')
    monkeypatch.setattr('siamese_nb.apps.matcher.load', lambda *a, **k: model)
    siamese_embed('m', str(pics), str(tmp_path/'v.parquet'))
    t = pq.read_table(tmp_path/'v.parquet')
    assert t.column_names==['path', 'digest', 'why', 'label', 'vector'] and t.num_rows==25
    assert t['why'].null_count==24 and t['vector'].null_count==1 and str(t.schema.field('vector').type)=='fixed_size_list<element: float>[128]'
    assert t.schema.metadata[b'dim']==b'128' and float(t.schema.metadata[b'threshold'])==.5

def test_lance(model, pics, tmp_path, monkeypatch):
    "The same table as Parquet; replaced whole, and only what is a Lance data set"
    lance,pq = pytest.importorskip('lance'),pytest.importorskip('pyarrow.parquet')
    (pics/'0'/'cut.png').write_bytes(b'\x89PNG')
    monkeypatch.setattr('siamese_nb.apps.matcher.load', lambda *a, **k: model)
    for ending in ('parquet', 'lance', 'lance'): siamese_embed('m', str(pics), str(tmp_path/f'v.{ending}'))
    t = lance.dataset(tmp_path/'v.lance').to_table()
    assert t.equals(pq.read_table(tmp_path/'v.parquet')) and t.num_rows==25 and t.schema.metadata[b'dim']==b'128'
    def full(*a, **k): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(lance, 'write_dataset', full)
    with pytest.raises(OSError, match='No space'): write_table(t.slice(0, 3), tmp_path/'v.lance')
    assert lance.dataset(tmp_path/'v.lance').count_rows()==25 and sorted(o.name for o in tmp_path.glob('*v.*'))==['v.lance', 'v.parquet']
    (tmp_path/'link.lance').symlink_to(tmp_path/'v.lance')
    (tmp_path/'photos.lance').mkdir()
    for name in ('link.lance', 'photos.lance'):
        with pytest.raises(OSError, match=name): check_out(tmp_path/name)

def test_vectors_of_a_table(model):
    "A row of not-a-number is a null, not a zero; names that are no text are spelled out"
    pytest.importorskip('pyarrow')
    e = np.ones((3, 128), np.float32)
    e[1] = np.nan
    t = vector_table(['a/1.png', 'a/2.png', '\udce9.png'], e, vector_facts(model), ['x', '', 'y'], [None, 'too large', None])
    assert [v is None for v in t['vector'].to_pylist()]==[False, True, False] and t['digest'].to_pylist()==['x', None, 'y']
    assert t['label'].to_pylist()==['a', 'a', None] and t['path'].to_pylist()[2].isprintable()

def test_missing_extras_are_one_line(model, monkeypatch, tmp_path):
    "Fault 25"
    import siamese_nb.apps.export as export,siamese_nb.apps.matcher as matcher,siamese_nb.apps.vectors as vectors
    for m in (export, matcher, vectors): monkeypatch.setattr(m, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'siamese_nb\[onnx\]'"): export.export_onnx(model, tmp_path/'m.onnx')
    for ending in ('parquet', 'lance'):
        with pytest.raises(ImportError, match=rf"pip install 'siamese_nb\[{ending}\]'"): check_out(tmp_path/f'v.{ending}')
    with pytest.raises(ImportError, match='huggingface_hub'): load('hf://a/b')

def test_gallery_file(model, tmp_path, pics):
    "Fault 25"
    g = Gallery(model, 'nearest').enrol('Ann', files(pics)[:2]).enrol('Bob', files(pics)[2])
    file = g.save(tmp_path/'g.npz')
    assert load_gallery(file, model).identify(files(pics)[2])==g.identify(files(pics)[2])
    with np.load(file) as z: t = dict(z)
    for k,v in dict(counts=np.array([1, 9]), embeddings=np.full((3, 128), np.nan, np.float32), how=np.array('sum'), names=np.array(['a'])).items():
        np.savez(file, **t | {k:v})
        with pytest.raises(ValueError, match='no gallery'): load_gallery(file, model)

def test_saved_again(model, tmp_path):
    m = Matcher(model.net, dict(model.meta), 'cpu')
    m.threshold = .7
    again = load(m.save(tmp_path/'m').parent, device='cpu')
    assert again.threshold==.7 and again.error_rate is None and json.dumps(again.meta)

def test_audit(model, pics, monkeypatch, tmp_path, capsys):
    "DESIGN's keys; a copy under another label; nothing of a name reaches the page raw"
    import siamese_nb.apps.audit as audit
    monkeypatch.setattr(audit, 'load', lambda *a, **k: model)
    (pics/'1'/'<img onerror=x>.png').write_bytes(files(pics)[0].read_bytes())
    audit.siamese_audit(str(pics), out=str(tmp_path/'out'), json=True)
    out = json.loads(capsys.readouterr().out)
    assert list(out)==['labels', 'outliers', 'copies', 'two_labels', 'confusable']
    assert out['two_labels']==[['0/00.png', '1/<img onerror=x>.png']]
    page = (tmp_path/'out'/'audit.html').read_text()
    assert '<img onerror' not in page and 'data:image/jpeg' in page and (tmp_path/'out'/'audit.csv').is_file()
    with pytest.raises(OSError, match='no folder'): audit.siamese_audit(str(tmp_path/'nowhere'))

def test_audit_agrees_with_cleanlab():
    filt = pytest.importorskip('cleanlab.filter')
    from siamese_nb.apps.audit import doubtful_labels,neighbour_votes
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 60)
    e = (np.eye(6)[y]+.2*rng.normal(size=(360, 6))).astype(np.float32)
    z = np.where(rng.random(360)<.06, (y+1)%6, y)
    p = neighbour_votes(e, z)[0]
    ours,theirs = set(doubtful_labels(p, z)),set(np.flatnonzero(filt.find_label_issues(z, p, filter_by='low_self_confidence', n_jobs=1)))
    assert len(ours^theirs)<=.2*len(ours) and len(ours&set(np.flatnonzero(y!=z)))>=.9*(y!=z).sum()

def test_what_a_calibration_could_not_read(model, pics, tmp_path, monkeypatch, capsys):
    "Images left out of a calibration are named, with their reason"
    from siamese_nb.apps import calibrate
    monkeypatch.setattr(calibrate, 'load', lambda *a, **k: model)
    monkeypatch.setattr(model, 'meta', dict(model.meta))
    monkeypatch.setattr(model, 'threshold', model.threshold)
    for c in 'xy':
        for f in sorted((pics/'0').iterdir()): (pics/c).mkdir(exist_ok=True), Image.open(f).rotate(90*'xy'.index(c)+90).save(pics/c/f.name)
    (pics/'1'/'cut.png').write_bytes((pics/'1'/'01.png').read_bytes()[:70])
    calibrate.siamese_calibrate('m', str(pics), out=str(tmp_path/'out'))
    said = capsys.readouterr().err
    assert '1/cut.png' in said and said.count('\n')==1

def test_gallery_of_another_model(model, tmp_path, pics):
    g = Gallery(model).enrol('Ann', files(pics)[:2])
    with pytest.raises(ValueError, match='not enrolled'): g.verify('nobody', files(pics)[0])
    with pytest.raises(ValueError, match="can be 'mean' or 'nearest'"): Gallery(model, 'median')
    file = g.save(tmp_path/'g.npz')
    with pytest.raises(ValueError, match='another model'): load_gallery(file, Matcher(model.net, dict(META), 'cpu', 'another'))
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match='damaged'): load_gallery(file, model)

def test_in_a_pipeline(model, tmp_path):
    import pandas as pd
    from sklearn.base import clone
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from siamese_nb.apps.export import SiameseEmbedder
    from siamese_nb.data_split import get_digits
    digits,folder = get_digits(),Matcher(model.net, dict(META), 'cpu').save(tmp_path/'m').parent
    few,rest = np.arange(20),np.arange(100, 120)
    pipe = make_pipeline(SiameseEmbedder(str(folder)), KNeighborsClassifier(1)).fit(digits.arrays[few], digits.y[few])
    again = clone(pipe).fit(digits.arrays[few], digits.y[few])
    assert (again.predict(digits.arrays[rest])==pipe.predict(digits.arrays[rest])).all()
    assert pipe[:-1].get_feature_names_out()[:2].tolist()==['e0', 'e1']
    digits.open(0).save(tmp_path/'zero.png')
    paths = [str(tmp_path/'zero.png')]*2
    for X in (paths, np.array(paths), pd.Series(paths), pd.DataFrame(dict(path=paths))): assert pipe[:-1].transform(X).shape==(2, 128)
    with pytest.raises(ValueError, match='a table of 2 columns'): pipe[:-1].transform(pd.DataFrame(dict(a=paths, b=paths)))

def test_too_little_to_calibrate_on(model):
    from siamese_nb.apps import calibrate # noqa: F401, Matcher.calibrate
    from siamese_nb.data_split import get_digits
    digits = get_digits()
    some = digits.take(np.concatenate([np.flatnonzero(digits.y==c)[:6] for c in range(10)]))
    m = Matcher(model.net, dict(META), 'cpu')
    with pytest.raises(ValueError, match='give 2 more classes with two images'): m.calibrate(some.take(some.y<2))
    with pytest.raises(ValueError, match='between 0 and 1'): m.calibrate(some, false_matches=0)
    assert m.meta==META
