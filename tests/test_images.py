"Duller checks of siamese_nb.data.images than a lesson has room for"
import errno,struct,subprocess,sys,threading,warnings,zlib

import numpy as np
import pytest
import torch
from PIL import Image,ImageOps

from siamese_nb.core import Unreadable
from siamese_nb.data import images
from siamese_nb.data_split import Items
from siamese_nb.data.images import *
from siamese_nb.data.images import (as_tensor,image_extensions,mean_colour,one_image,open_image,
    squash,to_pil,view_loader)

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

# --- what may go wrong

def test_damaged_png_is_one_line(tmp_path):
    "torchvision's decoder ended the interpreter here: bad adaptive filter value"
    x = np.random.default_rng(0).integers(0, 256, (348,348,3), dtype=np.uint8)
    Image.fromarray(x).save(tmp_path/'x.png')
    whole = (tmp_path/'x.png').read_bytes()
    for k in np.linspace(60, len(whole)-20, 24).astype(int):
        b = bytearray(whole); b[k] ^= 4
        (tmp_path/'x.png').write_bytes(b)
        try: assert read_file(tmp_path/'x.png', 24).shape==(3,348,348)
        except Unreadable as e: assert e.path==str(tmp_path/'x.png') and e.reason and not e.passing and '\n' not in str(e)

def test_70_bytes_of_png(tmp_path): # one flipped bit of IDAT, and a wrong checksum
    for rows in (b'\5'+bytes(3), b'\0'):
        (tmp_path/'x.png').write_bytes(png(1, 1, 8, 2, rows))
        try: read_file(tmp_path/'x.png')
        except Unreadable: pass

def test_damaged_exif_does_not_cost_the_picture(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112],exif[0x010f] = 6,'maker'
    exif.get_ifd(0x8769)[0x829a] = (1,60)
    picture.resize((1800,1200)).save(tmp_path/'x.jpg', exif=exif)
    whole = (tmp_path/'x.jpg').read_bytes()
    at,rng,read = whole.index(b'Exif')+6,np.random.default_rng(0),0
    for _ in range(60):
        b = bytearray(whole)
        for k in rng.integers(at, at+60, 3): b[k] = rng.integers(256)
        (tmp_path/'x.jpg').write_bytes(b)
        read += read_file(tmp_path/'x.jpg', 64).shape in ((3,450,300),(3,300,450))
    assert read==60

@pytest.mark.parametrize('w,h', [(1,100_000_000),(70_000,1)])
def test_extreme_sides_are_refused_by_the_header(tmp_path, w, h):
    (tmp_path/'x.png').write_bytes(png(w, h, 1, 0, b''))
    with pytest.raises(Unreadable, match='side of more than 65,535'): read_file(tmp_path/'x.png', 64)

def test_longest_side_stays_small_in_memory(tmp_path):
    Image.new('L', (65_535,1), 9).save(tmp_path/'x.png')
    assert Transform(24, ('squash','crop','pad'))(read_file(tmp_path/'x.png', 24)).shape==(3,3,24,24)

def giant(tmp_path, w, h, **kwargs):
    "A JPEG of any size from a small one: a grey picture whose header is changed, and whose blocks come often enough"
    Image.new('L', (w,h), 90).save(tmp_path/'x.jpg', quality=30, **kwargs)
    return tmp_path/'x.jpg'

def test_phone_photograph_of_108_megapixels(tmp_path):
    file = giant(tmp_path, 12_000, 9_000)
    with warnings.catch_warnings():
        warnings.simplefilter('error') # a DecompressionBombWarning would be raised
        assert read_file(file, 224).shape==(3,1125,1500)
        assert open_image(file).size==(6000,4500) # whole it is over the limit, half of it is not

def test_limits_of_large_jpegs(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(images, 'MAX_PIXELS', 10_000)
    picture.resize((190,190)).save(tmp_path/'x.jpg')
    assert read_file(tmp_path/'x.jpg').shape==(3,95,95)
    picture.resize((210,210)).save(tmp_path/'x.jpg')
    with pytest.raises(Unreadable, match='40,000 pixels'): read_file(tmp_path/'x.jpg', 8)
    picture.resize((190,190)).save(tmp_path/'x.jpg', progressive=True) # is kept whole while it is decoded
    with pytest.raises(Unreadable, match='10,000 pixels'): read_file(tmp_path/'x.jpg', 8)

@pytest.mark.parametrize('error,passing', [(MemoryError(), True), (OSError(errno.EIO, 'Input/output error'), True), (OSError('image file is truncated'), False),
                                           (OSError('out of memory error when reading image file'), True), (KeyError(7), False), (RecursionError('deep'), False)])
def test_passing_shortages_are_no_verdicts(picture, tmp_path, monkeypatch, error, passing):
    picture.save(tmp_path/'x.png')
    def fails(*_): raise error
    monkeypatch.setattr(images, 'find_format', fails)
    with pytest.raises(Unreadable) as e: read_file(tmp_path/'x.png')
    assert e.value.passing==passing and e.value.reason

SHORT = """
import resource,sys
import numpy as np
from siamese_nb.core import Unreadable
from siamese_nb.data.images import read_file
for f in sys.argv[1:]: read_file(f)
used = int(open('/proc/self/statm').read().split()[0])*4096
kinds = set()
for extra in (0,1,2,4,8,16,64):
    resource.setrlimit(resource.RLIMIT_AS, (used+(extra<<20), resource.RLIM_INFINITY))
    for f in sys.argv[1:]:
        try: read_file(f)
        except Unreadable as e: kinds.add((e.passing, e.reason))
        else: kinds.add('read')
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(kinds)
assert 'read' in kinds and any(k!='read' for k in kinds) and all(k=='read' or k[0] for k in kinds), kinds
"""

@pytest.mark.skipif(sys.platform!='linux', reason='limits the memory of a process as Linux does')
def test_short_of_memory_is_passing_in_every_format(tmp_path):
    x = Image.effect_noise((1100,900), 60).convert('RGB')
    files = []
    for ext,kw in (('jpg',{}),('jpg',dict(progressive=True)),('png',{}),('webp',dict(method=0)),('gif',{}),('tif',dict(compression='tiff_lzw')),('bmp',{})):
        files.append(tmp_path/f'{len(files)}.{ext}'); x.save(files[-1], **kw)
    p = subprocess.run([sys.executable, '-c', SHORT, *map(str, files)], capture_output=True, text=True)
    assert p.returncode==0, p.stdout+p.stderr[-1500:]

def test_threads_leave_the_warnings_as_they_were(picture, tmp_path):
    "`catch_warnings` in overlapping threads leaves the filters of the last that entered"
    picture.save(tmp_path/'x.png')
    before,gate = list(warnings.filters),threading.Barrier(2)
    def first(): # enters first, leaves first
        with images._quiet: gate.wait(); gate.wait()
        gate.wait()
    def second():
        gate.wait()
        with images._quiet: gate.wait(); gate.wait()
    both = [threading.Thread(target=f) for f in (first,second)]
    for t in both: t.start()
    for t in both: t.join()
    assert list(warnings.filters)==before

def test_heic_says_what_is_missing(tmp_path, monkeypatch):
    (tmp_path/'x.heic').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'+bytes(64))
    monkeypatch.setattr(images, 'plug_in', lambda: ['JPEG','PNG'])
    with pytest.raises(Unreadable, match=r"pip install 'siamese_nb\[heic\]'") as e: open_image(tmp_path/'x.heic')
    assert e.value.passing # whoever installs it can read the same bytes

def test_heic_where_its_plugin_is(picture, tmp_path):
    pytest.importorskip('pillow_heif')
    assert '.heic' in image_extensions()
    picture.save(tmp_path/'x.heic', quality=90)
    assert read_file(tmp_path/'x.heic').shape==(3,120,180)

# --- depths and layouts

@pytest.mark.parametrize('bits', [10,12,14,16])
def test_depths(tmp_path, bits):
    ramp = np.tile(np.linspace(0, 2**bits-1, 500).round().astype(np.uint16), (40,1))
    ramp[3,3] = 65_535 # one hot pixel
    Image.fromarray(ramp).save(tmp_path/'x.png'); Image.fromarray(ramp).save(tmp_path/'x.tif')
    want = np.linspace(0, 255, 500)
    for f in ('x.png','x.tif'): assert np.abs(np.asarray(open_image(tmp_path/f))[0,:,0]-want).max()<2

@pytest.mark.parametrize('bits', [10,12,14,16])
@pytest.mark.parametrize('kind', ['png','little','big'])
def test_deep_colours(tmp_path, bits, kind):
    x = np.linspace(0, 2**bits-1, 60*40*3).round().astype(np.uint16).reshape(40,60,3)
    if kind=='png': (tmp_path/'x.png').write_bytes(png(60, 40, 16, 2, b''.join(b'\0'+r.astype('>u2').tobytes() for r in x)))
    else: (tmp_path/'x.png').write_bytes(tiff16(x, '<' if kind=='little' else '>'))
    got = np.asarray(open_image(tmp_path/'x.png')).astype(float)
    assert np.abs(got-x/(2**bits-1)*255).max()<2, np.abs(got-x/(2**bits-1)*255).max()

def tiff16(x, order):
    "An uncompressed TIFF of three channels of 16 bits"
    h,w,_ = x.shape
    tags = [(256,3,1,w),(257,3,1,h),(258,3,3,8),(259,3,1,1),(262,3,1,2),(273,4,1,200),(277,3,1,3),(278,3,1,h),(279,4,1,x.size*2)]
    head = (b'II*\0' if order=='<' else b'MM\0*')+struct.pack(order+'I', 14)+struct.pack(order+'3H', 16, 16, 16)
    def entry(tag, kind, n, v): return struct.pack(order+'HHI', tag, kind, n)+(struct.pack(order+'HH', v, 0) if kind==3 and n==1 else struct.pack(order+'I', v))
    ifd = struct.pack(order+'H', len(tags))+b''.join(entry(*t) for t in tags)+bytes(4)
    return (head+ifd).ljust(200, b'\0')+x.astype(order+'u2').tobytes()

@pytest.mark.parametrize('odd', [np.zeros((3,50,40)), np.zeros((50,40,2)), np.zeros((50,40,5)), np.zeros((9,50,40)), torch.zeros(50,40,3), torch.zeros(5,50,40), np.zeros((3,50,3))])
def test_layouts_are_not_guessed(odd):
    with pytest.raises(ValueError, match='several images as a list'): one_image(odd)
    with pytest.raises(ValueError): to_pil(odd)

def test_what_is_no_picture():
    for x in (np.zeros((0,9)), np.zeros((9,9), complex), np.array([['a']*9]*9), np.zeros((70_000,2)), np.zeros((2,9,9,3))):
        with pytest.raises(ValueError): to_pil(x)

def test_pad_is_the_backbones_own_mean():
    t = Transform(16, ('pad',), fill=mean_colour(torch.tensor([127/255]*3)))
    assert t(torch.full((3,4,16), 9, dtype=torch.uint8))[0,:,0,0].tolist()==[127]*3
    assert Transform.from_dict(t.to_dict())==t and 'fill' not in Transform().to_dict() # models that are there keep their facts
    for bad in (dict(fill=(1,2)), dict(fill=(1,2,300)), dict(size=10**9), dict(size=True)):
        with pytest.raises(ValueError): Transform(**bad)

def test_never_turned_twice(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for f in ('x.jpg','x.png'):
        picture.save(tmp_path/f, exif=exif)
        once = open_image(tmp_path/f)
        assert (np.asarray(to_pil(Image.open(tmp_path/f)))==np.asarray(once)).all() and (np.asarray(to_pil(once))==np.asarray(once)).all()
        assert once.size==(120,180) and to_pil(once).size==to_pil(to_pil(once)).size==to_pil(Image.open(tmp_path/f)).size==(120,180)

def test_libraries_below_do_not_write_to_the_terminal(picture, tmp_path, capfd):
    "libtiff and Pillow's log say nothing beside the one line of `Unreadable`"
    import io
    for compression in ('tiff_lzw', 'tiff_adobe_deflate', 'group4'):
        picture.convert('1' if compression=='group4' else 'RGB').save(out := io.BytesIO(), 'TIFF', compression=compression)
        b = bytearray(out.getvalue())
        for i in range(20, len(b)//2, 7): b[i] ^= 1
        (tmp_path/'x.tif').write_bytes(b)
        try: read_file(tmp_path/'x.tif')
        except Unreadable: pass
    picture.save(out := io.BytesIO(), 'TIFF')
    b = bytearray(out.getvalue())
    at = b.index(struct.pack('<HHI', 277, 3, 1)) # samples a pixel
    b[at+8:at+10] = struct.pack('<H', 7869)
    (tmp_path/'many.tif').write_bytes(b)
    with pytest.raises(Unreadable): read_file(tmp_path/'many.tif')
    assert capfd.readouterr()==('', '')

def test_a_length_that_no_file_has_is_damage_not_shortage(tmp_path):
    "A box of JPEG 2000 without a size, cut off: Pillow asked for 4 exabytes. Found by the fuzzer, taken for a passing shortage"
    cut = bytes.fromhex('0000000c6a5020200d0a870a00000014667479706a703220000000006a703220000000016a70326800000016696864720000002b0000003d000407')
    (tmp_path/'a.jp2').write_bytes(cut)
    with pytest.raises(Unreadable) as e: read_file(tmp_path/'a.jp2')
    assert not e.value.passing and 'memory' not in str(e.value)

def test_a_transform_as_a_dict():
    small = Transform(48, ('squash','crop','pad','pad+flip'))
    assert Transform.from_dict(small.to_dict())==small
    with pytest.raises(ValueError, match='squash, crop or pad'): Transform(48, ('sqash',))
