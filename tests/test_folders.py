"Edge cases of folders that are too dull for the notebook."
import io,os,sys
import numpy as np
import pytest
from PIL import Image
from siamese_nb.data.tables import read_split, save_split
from siamese_nb.data_split import make_split
from siamese_nb.core import printable
from siamese_nb.data.copies import same_bytes
from siamese_nb.data.folders import *
from siamese_nb.data.images import *
from siamese_nb.data.images import open_image,scale_grey

def image(path, color='red', mode='RGB', **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9,7), color).save(path, **kwargs)

def classes(root, n=3, k=6):
    for c in range(n):
        for i in range(k): image(root/f'c{c}'/f'{i}.png', (c*40,i*10,9))

@pytest.mark.skipif(sys.platform!='linux', reason='file systems elsewhere refuse such names')
def test_names_that_are_not_utf8(tmp_path):
    classes(tmp_path/'d')
    odd = tmp_path/'d'/os.fsdecode(b'caf\xe9')/os.fsdecode(b'\xff\n".png')
    odd.parent.mkdir()
    Image.new('RGB', (9,7)).save(buf:=io.BytesIO(), 'png')
    odd.write_bytes(buf.getvalue())
    items = get_folder(tmp_path/'d')
    split = make_split(items)
    save_split(items, split, tmp_path/'split.csv')
    paths,labels,parts = read_split(tmp_path/'split.csv')
    assert list(paths)==items.paths and list(labels)==items.labels and list(parts)==list(split)
    assert items.open(items.paths.index(os.fsdecode(b'caf\xe9/\xff\n".png'))).size==(9,7)
    printable(items.paths[0]).encode() # can be printed

def test_links_never_lead_in_circles(tmp_path):
    classes(tmp_path/'d')
    d = tmp_path/'d'
    (d/'c0/up').symlink_to(d); (d/'c0/self').symlink_to(d/'c0'); (d/'c1/mutual').symlink_to(d/'c2'); (d/'c2/mutual').symlink_to(d/'c1')
    (d/'c0/eternal.png').symlink_to(d/'c0/eternal.png')
    items = get_folder(d)
    assert len(items)==18+12 # each of the mutual links brings the other class's six, once
    assert items.notes and '12 pictures lie under two labels' in items.notes[0]
    assert {p for p,_ in items.skipped}=={'c0/up','c0/self','c0/eternal.png','c1/mutual/mutual','c2/mutual/mutual'}

def test_linked_class_folders_are_fine(tmp_path):
    classes(tmp_path/'real')
    (tmp_path/'d').mkdir()
    for c in ('c0','c1'): (tmp_path/'d'/c).symlink_to(tmp_path/'real'/c)
    assert len(get_folder(tmp_path/'d'))==12

def test_deep_nesting_and_many_files(tmp_path):
    d = tmp_path/'c0'
    for _ in range(60): d = d/'x'
    image(d/'deep.png'); image(tmp_path/'c0/a.png', 'blue'); image(tmp_path/'c1/a.png', 'green')
    for i in range(3000): (tmp_path/f'c1/{i}.jpg').write_bytes(i.to_bytes(2,'big'))
    assert len(get_folder(tmp_path))==3003

def test_large_equal_beginnings_are_told_apart(tmp_path):
    for name,tail in (('a',b'1'), ('b',b'2'), ('c',b'1')): (tmp_path/name).write_bytes(bytes(50_000)+tail)
    a,b,c = same_bytes([tmp_path/n for n in 'abc'])
    assert a==c!=b

@pytest.mark.parametrize('mode,ext,color', [('1','png',1), ('L','png',200), ('LA','png',(9,255)), ('P','gif',3), ('I','tif',70_000), ('F','tif',.5),
    ('I;16','png',40_000), ('HSV','tif' ,(9,9,9)), ('YCbCr','jpg',(9,9,9)), ('LAB','tif',(200,128,128)), ('CMYK','tif',(0,0,0,0)), ('RGBA','webp',(9,9,9,9))])
def test_every_mode_becomes_rgb(tmp_path, mode, ext, color):
    img = Image.new(mode, (9,7), color)
    try: img.save(tmp_path/f'x.{ext}')
    except OSError: img.convert('RGB').save(tmp_path/f'x.{ext}')
    got = open_image(tmp_path/f'x.{ext}')
    assert (got.mode,got.size)==('RGB',(9,7))

def test_scale_grey():
    ramp = np.linspace(0, 1, 11)
    for white in (1., 255, 1023, 4095, 65535): assert list(scale_grey(ramp*white)[[0,5,10]]) in ([0,128,255],[0,127,255])
    assert list(scale_grey(30_000+ramp*1000)[[0,10]])==[0,255]     # faint: stretched
    assert list(scale_grey(-5+ramp*10)[[0,10]])==[0,255]           # signed: stretched
    assert list(scale_grey(np.array([np.nan,0,np.inf,1])))==[0,0,0,255]
    assert set(scale_grey(np.full(4, 40_000)))=={156}              # even: nothing to stretch

def test_open_image_one_line_errors(tmp_path):
    Image.effect_noise((99,99), 60).save(tmp_path/'x.png')
    whole = (tmp_path/'x.png').read_bytes()
    for n in (0, 10, 60, len(whole)//2):
        (tmp_path/'cut.png').write_bytes(whole[:n])
        with pytest.raises(ValueError) as e: open_image(tmp_path/'cut.png')
        assert 'cut.png' in str(e.value) and '\n' not in str(e.value)
    (tmp_path/'prog.png').write_text('%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n') # a program under a picture's name
    with pytest.raises(ValueError): open_image(tmp_path/'prog.png')

def test_draft_reads_less_of_a_jpeg(tmp_path):
    Image.effect_noise((800,600), 60).save(tmp_path/'x.jpg')
    assert open_image(tmp_path/'x.jpg', draft=64).size==(100,75)
    assert open_image(tmp_path/'x.jpg').size==(800,600)

def test_notes_when_parts_are_taken_for_classes(tmp_path):
    for c in ('train','test'):
        for i in range(6): image(tmp_path/c/f'{i}.png', (len(c),i*9,0))
    assert 'parts of a split' in get_folder(tmp_path).notes[0]

def test_caltech101_arrives_whole_or_not_at_all(tmp_path, monkeypatch):
    "An archive that is not the real one fails torchvision's checksum and leaves nothing behind; with the check satisfied it is where the next call looks"
    import shutil,tarfile,zipfile
    from pathlib import Path
    from torchvision.datasets import utils
    from siamese_nb.data.datasets import download_caltech101,find_caltech101
    small = tmp_path/'101_ObjectCategories'
    for name in ('BACKGROUND_Google', 'Faces', 'accordion'):
        (small/name).mkdir(parents=True)
        Image.new('L', (8, 8)).save(small/name/'image_0001.jpg')
    with tarfile.open(tmp_path/'101.tar.gz', 'w:gz') as t: t.add(small, small.name)
    with zipfile.ZipFile(tmp_path/'archive.zip', 'w') as z: z.write(tmp_path/'101.tar.gz', 'caltech-101/101_ObjectCategories.tar.gz')
    monkeypatch.setattr(utils, '_urlretrieve', lambda url, file, **kwargs: shutil.copy(tmp_path/'archive.zip', file))
    monkeypatch.setattr(utils, '_get_redirect_url', lambda url, **kwargs: url)
    data = tmp_path/'data'
    with pytest.raises(OSError, match='could not be downloaded to .*unpack https') as e: download_caltech101(data)
    assert '\n' not in str(e.value) and not list(data.iterdir())
    monkeypatch.setattr(utils, 'check_integrity', lambda file, md5=None: Path(file).is_file())
    got = download_caltech101(data)
    assert got==data/'caltech101/101_ObjectCategories' and sorted(p.name for p in got.iterdir())==['BACKGROUND_Google', 'Faces', 'accordion']
    assert find_caltech101(data)==find_caltech101(got)==got
    assert [p.name for p in data.iterdir()]==['caltech101'] # nothing else is left behind

def test_disk_order_changes_nothing(tmp_path, monkeypatch):
    classes(tmp_path/'d')
    image(tmp_path/'d/lost.png'); (tmp_path/'d/c0/notes.txt').write_text('the first batch')
    listed,found = list_images(tmp_path/'d'),get_folder(tmp_path/'d')
    seen = []
    def other_order(folder, scan=os.scandir):
        seen.append(folder)
        return reversed(list(scan(folder)))
    monkeypatch.setattr('os.scandir', other_order)
    other = get_folder(tmp_path/'d')
    assert list_images(tmp_path/'d')==listed and len(listed[0])==19 and len(seen)==8
    assert other.paths==found.paths and list(other.groups)==list(found.groups) and list(make_split(other))==list(make_split(found))

def test_folders_that_are_no_data_set(tmp_path):
    (tmp_path/'nothing').mkdir()
    for c in 'ab': image(tmp_path/f'singles/{c}/1.png')
    for i in range(8): image(tmp_path/f'lonely/zero/{i}.png', (i*9,0,0))
    for name,error,said in (('missing', OSError, 'no folder'), ('nothing', ValueError, 'no images'),
                            ('lonely', ValueError, 'only one class'), ('singles', ValueError, 'no class with two images')):
        with pytest.raises(error, match=said) as e: get_folder(tmp_path/name)
        assert '\n' not in str(e.value)

def test_data_sets_by_name(tmp_path, monkeypatch):
    from siamese_nb.data.datasets import get_caltech101,get_items
    with pytest.raises(ValueError, match="'clean'"): get_caltech101(classes='tidy')
    with pytest.raises(ValueError, match='only caltech101 has a choice'): get_items('digits', classes='clean')
    classes(tmp_path/'small'); classes(tmp_path/'digits')
    assert get_items(tmp_path/'small').paths==get_folder(tmp_path/'small').paths
    mine = get_items(tmp_path/'digits') # a folder called digits is meant when it is given as a folder
    assert (len(mine), mine.name)==(18, 'digits_folder')
    monkeypatch.setattr('siamese_nb.data.datasets.find_caltech101', lambda root: None)
    with pytest.raises(FileNotFoundError, match='no copy'): get_caltech101(tmp_path, download=False)
