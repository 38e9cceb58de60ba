"Duller checks of siamese_nb.data.images than a lesson has room for"
import struct,zlib

import numpy as np
import pytest
import torch
from PIL import Image,ImageOps

from siamese_nb.data import images
from siamese_nb.data_split import Items
from siamese_nb.data.images import *

XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')

@pytest.fixture
def picture(): return Image.fromarray(np.kron(np.random.default_rng(0).integers(0, 256, (6,9,3)), np.ones((20,20,1))).astype(np.uint8))

def png(w, h, depth, colour, rows):
    def chunk(t, d): return struct.pack('>I', len(d))+t+d+struct.pack('>I', zlib.crc32(t+d))
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, depth, colour, 0, 0, 0))+chunk(b'IDAT', zlib.compress(rows))+chunk(b'IEND', b'')

def same_pixels(file): return torch.equal(read_file(file), as_tensor(open_image(file)))

@pytest.mark.parametrize('o', range(1,9))
@pytest.mark.parametrize('ext', ['jpg','png'])
def test_orientation(picture, tmp_path, o, ext):
    exif = Image.Exif()
    exif[0x0112] = o
    picture.save(tmp_path/f'x.{ext}', exif=exif)
    assert same_pixels(tmp_path/f'x.{ext}')
    assert np.abs(read_file(tmp_path/f'x.{ext}').permute(1,2,0).numpy().astype(int)-np.asarray(ImageOps.exif_transpose(Image.open(tmp_path/f'x.{ext}')))).max()==0

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

def test_too_many_pixels(picture, tmp_path, monkeypatch):
    picture.save(tmp_path/'x.png')
    monkeypatch.setattr(images, 'MAX_PIXELS', 1000)
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
