"Tables as people have them"
import json,os,unicodedata
import numpy as np
import pytest
from PIL import Image
from siamese_nb.core import csv_cells,read_csv
from siamese_nb.data.datasets import get_items
from siamese_nb.data.folders import any_folder,get_folder,list_images
from siamese_nb.data.labelled import find_pairs,given_pairs,named_images,verdict
from siamese_nb.data.tables import get_imagefolder,get_table
from siamese_nb.data_split import Items,make_split

def image(file, k=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (9,7), (k%256,k//256,9)).save(file)

@pytest.fixture
def photos(tmp_path):
    for c in range(3):
        for k in range(8): image(tmp_path/'photos'/f'c{c}'/f'{k}.png', 9*(8*c+k))
    return tmp_path/'photos'

def table(photos, name, sep=',', end='\n', encoding='utf-8', head='path,label', row=lambda p: f'{p},{p[:2]}'):
    lines = [head,*(row(p) for p in list_images(photos)[0])]
    file = photos.parent/name
    file.write_bytes(''.join(o.replace(',', sep)+end for o in lines).encode(encoding))
    return file

@pytest.mark.parametrize('sep', [',',';','\t','|'])
@pytest.mark.parametrize('encoding', ['utf-8','utf-8-sig','utf-16','utf-16-le','utf-16-be'])
def test_spreadsheets(photos, sep, encoding):
    file = table(photos, 'x.csv', sep, '\r\n', encoding, row=lambda p: f'photos\\{p},{p[:2]}'.replace('/', '\\'))
    items = get_table(file)
    assert len(items)==24 and items.classes==['c0','c1','c2'] and items.paths[0]=='photos/c0/0.png'

def test_parquet_and_json_lines(photos):
    pq = pytest.importorskip('pyarrow.parquet'); import pyarrow
    paths = list_images(photos)[0]
    rows = [dict(path=p, label=int(p[1]), split=('train','train','test','val')[int(p[3])%4]) for p in paths]
    pq.write_table(pyarrow.Table.from_pylist(rows), photos/'x.parquet')
    (photos/'x.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    for f in ('x.parquet','x.jsonl'):
        items = get_items(str(photos/f))
        assert items.classes==['0','1','2'] and list(make_split(items))==[r['split'].replace('val', 'valid') for r in rows]

@pytest.mark.parametrize('content,words', [(b'', 'is empty'), (b'path,label\n', 'no rows'), (b'a,b\n1,2\n', 'path or file_name'), (b'path,label\n"a,b\n', 'label is missing'),
    (b'path,label\nx.png\n', 'row 2: label is missing'), (b'path,label\n\n\nc0/0.png,a,b\n', 'row 4: 3 cells below 2 names'), (b'path,label\n'+b'x'*140_000+b',1\n', 'row 2: field larger'),
    (b'path,label\nnone.png,a\n', 'row 2: no image none.png'), (b'PAR1', 'columns par1')])
def test_one_line_for_what_is_wrong(photos, content, words):
    (photos/'x.csv').write_bytes(content)
    with pytest.raises(ValueError) as e: get_table(photos/'x.csv')
    assert words in str(e.value) and '\n' not in str(e.value)

@pytest.mark.parametrize('name,content', [('x.jsonl', b'[1]'), ('x.jsonl', b'{"path":'), ('x.jsonl', b'['*100_000), ('x.parquet', b'PAR1'), ('x.parquet', b'')])
def test_damaged_tables(photos, name, content):
    if name.endswith('parquet'): pytest.importorskip('pyarrow')
    (photos/name).write_bytes(content)
    with pytest.raises(ValueError) as e: get_table(photos/name)
    assert '\n' not in str(e.value)

def test_random_bytes_are_one_line(photos):
    rng = np.random.default_rng(0)
    whole = table(photos, 'x.csv').read_bytes()
    for k in range(150):
        b = bytearray(whole)
        for i in rng.integers(len(b), size=rng.integers(1, 6)): b[i] = rng.integers(256)
        if k%3==0: b = b[:rng.integers(1, len(b))]
        (photos/'y.csv').write_bytes(b)
        try: get_table(photos/'y.csv', photos)
        except (ValueError, OSError) as e: assert '\n' not in str(e)

def test_blank_rows_count(tmp_path):
    (tmp_path/'x.csv').write_text('a,b\n\n\n1,2\n,\n3,4\n')
    assert list(csv_cells(tmp_path/'x.csv', ['a'])[1])==[(4, dict(a='1', b='2')), (6, dict(a='3', b='4'))]
    assert read_csv(tmp_path/'x.csv', ['b'])==[('2',),('4',)]

def test_both_forms_of_an_umlaut(tmp_path):
    forms = [unicodedata.normalize(f, 'Müller') for f in ('NFC','NFD')]
    for c,k in ((forms[1],0),('b',50)):
        for i in range(6): image(tmp_path/'p'/c/f'{i}.png', k+i)
    (tmp_path/'t.csv').write_text('path,label\n'+''.join(f'p/{c}/{i}.png,{c}\n' for c in (forms[0],'b') for i in range(6)))
    assert len(get_table(tmp_path/'t.csv'))==12 and get_folder(tmp_path/'p').classes==['Müller','b']
    (tmp_path/'pairs.csv').write_text(f'a,b,y\n{forms[0]}/0.png,b/1.png,1\n')
    rows,_ = find_pairs(tmp_path/'pairs.csv', any_folder(tmp_path/'p'))
    assert len(rows)==1

def test_names_in_excels_own_encoding(tmp_path):
    for c,k in (('Müller',0),('b',50)):
        for i in range(6): image(tmp_path/c/f'{i}.png', k+i)
    (tmp_path/'t.csv').write_bytes(('path;label\n'+''.join(f'{c}/{i}.png;{c[0]}\n' for c in ('Müller','b') for i in range(6))).encode('cp1252'))
    assert len(get_table(tmp_path/'t.csv'))==12

@pytest.mark.parametrize('junk', ['@eaDir','#recycle','__MACOSX','$RECYCLE.BIN','System Volume Information','lost+found','@Recycle'])
def test_folders_of_systems_are_left_out_and_named(photos, junk):
    image(photos/'c0'/junk/'0.png'); image(photos/junk/'c1'/'1.png')
    (photos/'c0'/'Thumbs.db').write_bytes(b'x')
    items = get_folder(photos)
    assert len(items)==24 and items.classes==['c0','c1','c2']
    assert {(f'c0/{junk}','a folder of the system'),(junk,'a folder of the system'),('c0/Thumbs.db','no image by its name')}<=set(items.skipped)

def test_ones_own_folder_called_digits(photos, monkeypatch):
    os.rename(photos, photos.parent/'digits')
    monkeypatch.chdir(photos.parent)
    for name in ('./digits','digits/',photos.parent/'digits'): assert len(get_items(name))==24 and get_items(name).name=='digits_folder'
    assert 'give ./digits' in get_items('digits').notes[0]

def test_split_that_came_as_folders(photos):
    for part,ks in (('train',range(6)),('test',range(6,8))):
        for c in ('c0','c1','c2'):
            for k in ks: image(photos.parent/'d'/part/c/f'{k}.png', 9*(8*int(c[1])+k))
    image(photos.parent/'d/test/c0/copy.png', 0) # of train/c0/0.png
    items = get_folder(photos.parent/'d')
    assert items.classes==['c0','c1','c2'] and 'copy of training' in ' '.join(items.notes).replace('copies', 'copy')
    assert (make_split(items)=='test').sum()==7

def test_imagefolder_with_metadata(photos):
    (photos/'metadata.csv').write_text('file_name,label\n'+''.join(f'{p},class {p[1]}\n' for p in list_images(photos)[0]))
    assert Items.from_folder(photos).classes==['class 0','class 1','class 2']
    (photos/'metadata.csv').write_text('file_name,text\n'+''.join(f'{p},a picture\n' for p in list_images(photos)[0]))
    assert get_imagefolder(photos) is None and Items.from_folder(photos).classes==['c0','c1','c2'] # captions are no classes

def test_load_dataset(photos, tmp_path, monkeypatch):
    datasets = pytest.importorskip('datasets')
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    ds = datasets.load_dataset('imagefolder', data_dir=str(photos), cache_dir=str(tmp_path/'hf'))
    items = Items.from_dataset(ds, 'photos')
    assert len(items)==24 and items.classes==['c0','c1','c2'] and items.open(0).size==(9,7)
    monkeypatch.setattr(datasets, 'load_dataset', lambda name: ds)
    assert len(get_items('hf://somebody/photos'))==24
    def gone(name): raise RuntimeError('no\nnetwork')
    monkeypatch.setattr(datasets, 'load_dataset', gone)
    with pytest.raises(OSError, match='hf://a/b could not be loaded: no network'): get_items('hf://a/b')

# --- pairs

def pairs_table(photos, rows, name='pairs.csv'):
    (photos.parent/name).write_text('a,b,y,split\n'+''.join(','.join(map(str, r))+'\n' for r in rows))
    return photos.parent/name

def some_rows(): # each part its own images
    return [(f'c{c}/{k}.png', f'c{d}/{k+1}.png', int(c!=d), p) for p,k in (('train',0),('valid',2),('test',4)) for c,d in ((0,0),(0,1))]

def test_polarity_is_never_guessed(photos):
    rows = [(a, b, 1-y, p) for a,b,y,p in some_rows()]
    mine,theirs = given_pairs(pairs_table(photos, some_rows()), any_folder(photos))[1],given_pairs(pairs_table(photos, rows), any_folder(photos), same_is=1)[1]
    for p in mine: assert all((m==t).all() for m,t in zip(mine[p], theirs[p]))
    for bad in ('yes','true','2','','-1','nan'): assert verdict(bad) is None
    with pytest.raises(ValueError, match='same_is'): verdict('0', same_is='same')

def test_only_named_images_are_kept(photos):
    file = pairs_table(photos, some_rows())
    assert len(named_images(file, any_folder(photos)))==len({o for r in some_rows() for o in r[:2]})

def test_copies_across_parts_are_said(photos):
    (photos/'c2/5.png').write_bytes((photos/'c0/0.png').read_bytes()) # test shows a training picture
    (photos/'c2/4.png').write_bytes((photos/'c0/4.png').read_bytes())
    rows = [*some_rows(), ('c0/5.png','c2/5.png',1,'test'), ('c0/4.png','c2/4.png',1,'test')]
    items = any_folder(photos)
    given_pairs(pairs_table(photos, rows), items)
    assert len(items.notes)==2 and 'c2/5.png = c0/0.png' in items.notes[0] and 'c0/4.png = c2/4.png' in items.notes[1]

def test_a_bad_image_takes_its_pair_with_it(photos):
    (photos/'c1/7.png').write_bytes(b'')
    items = any_folder(photos)
    pairs = given_pairs(pairs_table(photos, [*some_rows(), ('c0/0.png','c1/7.png',1,'train')]), items)[1]
    assert len(pairs['train'][2])==2 and 'c1/7.png (empty, zero bytes)' in items.notes[0]

def test_row_numbers_count_blank_rows(photos):
    (photos.parent/'p.csv').write_text('a,b,y,split\n\n\nc0/0.png,none.png,0,train\n')
    with pytest.raises(ValueError, match='row 4: no image none.png'): given_pairs(photos.parent/'p.csv', any_folder(photos))

def test_a_column_given_twice_is_not_guessed(tmp_path):
    "The later one won in silence; blank names of a spreadsheet's empty columns may come twice"
    from siamese_nb.core import read_csv
    (tmp_path/'t.csv').write_text('a,b,y,Y,,\n1,2,0,1,,\n')
    with pytest.raises(ValueError, match='two columns y'): read_csv(tmp_path/'t.csv', ['a', 'y'])
    assert read_csv(tmp_path/'t.csv', ['a', 'b'])==[('1', '2')]
