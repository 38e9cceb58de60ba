"Duller checks of siamese_nb.pairs than a lesson has room for"
import struct,zlib
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from siamese_nb import pairs
from siamese_nb.data_split import Items,open_image
from siamese_nb.pairs import *

XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')

@pytest.fixture
def picture(): return Image.fromarray(np.kron(np.random.default_rng(0).integers(0, 256, (6,9,3)), np.ones((20,20,1))).astype(np.uint8))

def png(w, h, depth, colour, rows):
    def chunk(t, d): return struct.pack('>I', len(d))+t+d+struct.pack('>I', zlib.crc32(t+d))
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, depth, colour, 0, 0, 0))+chunk(b'IDAT', zlib.compress(rows))+chunk(b'IEND', b'')

def same_pixels(file): return read_file(file).shape==(want:=as_tensor(open_image(file))).shape and (read_file(file).int()-want.int()).abs().max()<=2

@pytest.mark.parametrize('o', range(1,9))
@pytest.mark.parametrize('ext', ['jpg','png'])
def test_orientation(picture, tmp_path, o, ext):
    exif = Image.Exif()
    exif[0x0112] = o
    picture.save(tmp_path/f'x.{ext}', exif=exif)
    assert plain_size(tmp_path/f'x.{ext}') and same_pixels(tmp_path/f'x.{ext}')

def test_orientation_in_xmp(picture, tmp_path):
    picture.save(tmp_path/'x.jpg', xmp=XMP)
    assert same_pixels(tmp_path/'x.jpg') and read_file(tmp_path/'x.jpg').shape==(3,180,120)

def test_odd_png(picture, tmp_path):
    g,rng = np.array(picture),np.random.default_rng(0)
    files = {'rgb16':png(180, 120, 16, 2, b''.join(b'\0'+(r.astype('>u2')*257).tobytes() for r in g)),
             'grey2':png(180, 120, 2, 0, b''.join(b'\0'+rng.bytes(45) for _ in g)), 'grey4':png(180, 120, 4, 0, b''.join(b'\0'+rng.bytes(90) for _ in g))}
    for n,b in files.items():
        (tmp_path/f'{n}.png').write_bytes(b)
        assert same_pixels(tmp_path/f'{n}.png'), n

def test_several_in_one_file(picture, tmp_path):
    picture.save(tmp_path/'x.mpo.jpg', 'MPO', save_all=True, append_images=[picture.rotate(180)])
    assert same_pixels(tmp_path/'x.mpo.jpg')

@pytest.mark.parametrize('name', ['x.jpg','x.png'])
def test_cut_off(picture, tmp_path, name):
    picture.save(tmp_path/name)
    b = (tmp_path/name).read_bytes()
    (tmp_path/name).write_bytes(b[:len(b)//2])
    with pytest.raises(ValueError, match='cannot be used as an image') as e: read_file(tmp_path/name)
    assert '\n' not in str(e.value)

def test_not_there(tmp_path):
    with pytest.raises(ValueError): read_file(tmp_path/'none.jpg')
    (tmp_path/'empty.png').touch()
    with pytest.raises(ValueError): read_file(tmp_path/'empty.png')

def test_without_torchvisions_decoder(picture, tmp_path, monkeypatch):
    picture.save(tmp_path/'x.png')
    want = read_file(tmp_path/'x.png')
    monkeypatch.setattr(pairs, 'decode_image', None)
    assert torch.equal(read_file(tmp_path/'x.png'), want)

def test_too_many_pixels(picture, tmp_path, monkeypatch):
    picture.save(tmp_path/'x.png')
    monkeypatch.setattr(pairs, 'MAX_PIXELS', 1000)
    with pytest.raises(ValueError, match='1,000 pixels'): read_file(tmp_path/'x.png')

def test_large_jpeg_upright_and_shrunk(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    big = Image.radial_gradient('L').convert('RGB').resize((1500,1200))
    big.save(tmp_path/'x.jpg', exif=exif)
    full,small = read_file(tmp_path/'x.jpg'),read_file(tmp_path/'x.jpg', 64)
    assert full.shape==(3,1500,1200) and small.shape==(3,375,300)
    assert (squash(full, 64).float()-squash(small, 64).float()).abs().mean()<1

@pytest.mark.parametrize('h,w', [(1,1),(1,5000),(5000,1),(3,7)])
def test_extreme_shapes(h, w): assert Transform(32, ('squash','crop','pad','crop+flip'))(torch.full((3,h,w), 9, dtype=torch.uint8)).shape==(4,3,32,32)

def test_nothing_readable(tmp_path):
    (tmp_path/'a.jpg').write_bytes(b'no')
    items = Items('bad', ['a.jpg'], ['a'], root=tmp_path)
    (i,x), = view_loader(items, Transform(8))
    assert len(i)==len(x)==0

def test_race_is_drawing_one_by_one():
    "Listing all pairs and racing them gives the law of drawing anchors and throwing repeats away"
    y,rng,n,k = np.array([0,0,0,0,1,1,2,2,2]),np.random.default_rng(0),4000,5
    for same in (True,False):
        race,draw = Counter(),Counter()
        able = np.flatnonzero(np.bincount(y)[y]>1) if same else np.arange(len(y))
        for _ in range(n):
            race.update(zip(*(o.tolist() for o in unique_pairs(y, k, same, rng))))
            a = rng.choice(able, 60)
            b = sample_other(y, a, same, rng)
            draw.update(list(dict.fromkeys(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist())))[:k])
        for p in race|draw: assert abs(race[p]-draw[p]) < 5*np.sqrt(2*n*.25), (p, race[p], draw[p])

def test_rejection_matches_weights():
    y = np.repeat(np.arange(4), [400,200,100,100])
    a,b,t = frozen_pairs(y, 2000)
    assert np.abs(np.bincount(y[a][t==0])/1000-np.array([.5,.25,.125,.125])).max()<.06

def test_many_images_are_quick():
    y = np.random.default_rng(0).integers(0, 5000, 200_000)
    a,b,t = frozen_pairs(y, 20_000)
    assert len(t)==20_000 and ((y[a]!=y[b])==t).all() and len(set(zip(a, b)))==20_000

def nudge(x, generator): return x+torch.randn(x.shape, generator=generator)

@pytest.mark.parametrize('method,n', [('spawn',1),('fork',2)])
def test_workers(method, n):
    "A process started in either way gives the batches that this one gives"
    if method not in torch.multiprocessing.get_all_start_methods(): pytest.skip(f'no {method} here')
    data = TensorViews(torch.randn(60, 2, 4), np.arange(60)%5, augment=nudge)
    batches = pk_batches(data, 3, 4, 3)
    there = DataLoader(data, batch_sampler=batches.batch_sampler, collate_fn=whole, num_workers=n, multiprocessing_context=method)
    for (x,t),(u,v) in zip(batches, there): assert torch.equal(x, u) and torch.equal(t, v)

def test_accelerate_keeps_epochs_and_batches():
    from accelerate.data_loader import BatchSamplerShard
    y = np.arange(60)%5
    whole_epoch = list(PKSampler(y, 3, 4, 4))
    got = [list(BatchSamplerShard(PKSampler(y, 3, 4, 4), 2, r)) for r in (0,1)]
    assert got==[whole_epoch[::2], whole_epoch[1::2]]

def test_odd_names_in_pair_files(tmp_path):
    items = Items('odd', ['a/new\nline.jpg','a/caf\udce9.jpg','b/"quoted", comma.jpg'], ['a','a','b'], root=tmp_path)
    save_pairs(tmp_path/'p.csv', items, [0,1], [1,2], [0,1])
    assert [o.tolist() for o in read_pairs(tmp_path/'p.csv', items)]==[[0,1],[1,2],[0,1]]

def test_missing_column(tmp_path):
    (tmp_path/'p.csv').write_text('a,b,label,split\n')
    with pytest.raises(ValueError, match='no column y'): read_labelled_pairs(tmp_path/'p.csv', Items('x', [], []))

@pytest.mark.parametrize('again', [('a/0','a/1',0), ('a/1','a/0',1)])
def test_labelled_pair_given_twice(tmp_path, again):
    items = Items('x', [f'{c}/{i}' for c in 'ab' for i in range(6)], ['a']*6+['b']*6)
    rows = [(f'{c}/{2*k}', f'{d}/{2*k+1}', int(c!=d), part) for k,part in enumerate(('train','valid','test')) for c,d in ('aa','ab')]
    (tmp_path/'p.csv').write_text('a,b,y,split\n'+''.join('{},{},{},{}\n'.format(*r) for r in [*rows, (*again, 'train')]))
    with pytest.raises(ValueError, match='row 8: the same two images as in row 2'): read_labelled_pairs(tmp_path/'p.csv', items)
