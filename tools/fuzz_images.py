"Damaged image files of every format, and what reading one may do: give bytes of a picture or raise one line."
import io,struct,zlib
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from siamese_nb.core import Unreadable
from siamese_nb.data.images import Transform,image_extensions,read_file

SIX = ('jpeg','png','webp','gif','tiff','bmp')

def picture(mode='RGB', size=(61,43), seed=0):
    "Patches of colour"
    x = np.random.default_rng(seed).integers(0, 256, (size[1]//8+1,size[0]//8+1,3))
    return Image.fromarray(np.kron(x, np.ones((8,8,1)))[:size[1],:size[0]].astype(np.uint8)).convert(mode)

def saved(img, fmt, append_images=(), **kwargs):
    "The bytes of a file"
    more = {'append_images':[o.copy() for o in append_images]} if append_images else {}
    img.copy().save(out := io.BytesIO(), fmt, **more, **kwargs)
    return out.getvalue()

def exif():
    "What cameras note: a turn, a maker, an exposure, a place"
    e = Image.Exif()
    e[0x0112],e[0x010f],e[0x0132] = 6,'maker','2026:01:01 00:00:00'
    e.get_ifd(0x8769).update({0x829a:(1,60), 0x9003:'2026:01:01 00:00:00', 0x927c:b'maker note'*5})
    e.get_ifd(0x8825).update({1:'N', 2:(1.,2.,3.)})
    return e

def chunk(t, d): return struct.pack('>I', len(d))+t+d+struct.pack('>I', zlib.crc32(t+d))

def adam7(img):
    "An interlaced PNG, which Pillow reads but does not write"
    x,rows = np.asarray(img),b''
    for top,left,down,right in ((0,0,8,8),(0,4,8,8),(4,0,8,4),(0,2,4,4),(2,0,4,2),(0,1,2,2),(1,0,2,1)):
        rows += b''.join(b'\0'+r.tobytes() for r in x[top::down,left::right])
    head = struct.pack('>IIBBBBB', x.shape[1], x.shape[0], 8, 2, 0, 0, 1)
    return b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', head)+chunk(b'IDAT', zlib.compress(rows))+chunk(b'IEND', b'')

def run_length_bmp():
    "A BMP in runs, which Pillow reads but does not write"
    body = b''.join(bytes([16,y,0,4,1,2,3,4,12,y,0,0]) for y in range(24))+b'\0\1'
    head = struct.pack('<IiiHHIIiiII', 40, 32, 24, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b'BM'+struct.pack('<IHHI', 1078+len(body), 0, 0, 1078)+head+bytes(1024)+body

def six_formats():
    "Good files of the six formats that matter most"
    p,g,x,more = picture(),picture('L'),exif(),[picture(seed=s) for s in (1,2)]
    a = picture('RGBA'); a.putalpha(g)
    deep,real = Image.fromarray(np.asarray(g).astype(np.uint16)*257),Image.fromarray(np.asarray(g).astype(np.float32))
    film,tiff = dict(save_all=True, append_images=more),lambda img, c=None, **kw: saved(img, 'TIFF', compression=c, **kw)
    return dict(
        jpeg=[saved(p, 'JPEG', exif=x), saved(p, 'JPEG', progressive=True), saved(g, 'JPEG'), saved(p.convert('CMYK'), 'JPEG'),
              saved(p, 'JPEG', subsampling=0, restart_marker_blocks=2), saved(p, 'MPO', **film), saved(picture(size=(400,300)), 'JPEG', exif=x)],
        png=[saved(p, 'PNG', exif=x), saved(g, 'PNG'), saved(a, 'PNG'), saved(deep, 'PNG'), saved(p.convert('P'), 'PNG', transparency=3),
             saved(p.convert('1'), 'PNG'), adam7(p), saved(p, 'PNG', **film)],
        webp=[saved(p, 'WEBP', exif=x.tobytes()), saved(p, 'WEBP', lossless=True), saved(a, 'WEBP'), saved(p, 'WEBP', **film)],
        gif=[saved(p, 'GIF'), saved(p, 'GIF', duration=20, loop=0, **film), saved(p.convert('P'), 'GIF', transparency=2), saved(g, 'GIF', interlace=1)],
        tiff=[tiff(p, exif=x), *(tiff(p, c) for c in ('tiff_lzw','tiff_adobe_deflate','jpeg','packbits')), *(tiff(p.convert('1'), c) for c in ('group3','group4')),
              tiff(deep, 'tiff_lzw'), tiff(real), tiff(a, 'tiff_lzw'), tiff(p, **film), tiff(p.convert('CMYK')), tiff(p.convert('P'), 'zstd'), tiff(p.convert('YCbCr'), 'tiff_lzw')],
        bmp=[*(saved(o, 'BMP') for o in (p, g, p.convert('P'), a, p.convert('1'))), run_length_bmp()])

def other_formats():
    "Good files of what else Pillow writes and reads here"
    p,out = picture(),{}
    a = picture('RGBA'); a.putalpha(picture('L'))
    icon,bits = picture(size=(64,64)),p.convert('1')
    for name,img,kwargs in (('JPEG2000',p,{}), ('JPEG2000',a,dict(tile_size=(32,32))), ('AVIF',p,dict(exif=exif().tobytes())), ('ICO',icon,{}), ('ICO',icon,dict(bitmap_format='bmp')),
                            ('TGA',p,{}), ('TGA',p,dict(compression='tga_rle')), ('PPM',p,{}), ('DDS',a,{}), ('SGI',p,{}), ('PCX',p,{}), ('ICNS',icon,{}), ('IM',p,{}),
                            ('QOI',p,{}), ('MSP',bits,{}), ('XBM',bits,{}), ('HEIF',p,dict(quality=50)), ('HEIF',p,dict(exif=exif().tobytes()))):
        try: out.setdefault(name.lower(), []).append(saved(img, name, **kwargs))
        except (KeyError, OSError): pass # this Pillow does not write it
    return out

def sound_checksums(b):
    "A PNG whose chunks have right checksums, so that the damage reaches the decoder"
    out,i = bytearray(b),8
    while i+12<=len(b):
        n, = struct.unpack('>I', b[i:i+4])
        if i+12+n>len(b): break
        out[i+8+n:i+12+n] = struct.pack('>I', zlib.crc32(b[i+4:i+8+n]))
        i += 12+n
    return bytes(out)

ODD = (0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff)

def damaged(b, rng, first=0, last=None):
    "Flip, set, cut, remove, repeat or fill a few bytes, or put an odd number there"
    b,fix = bytearray(b),b[:4]==b'\x89PNG' and rng.random()<.7
    last = last or (min(256, len(b)) if rng.random()<.5 else len(b)) # half of the time the beginning, where the sizes are
    for _ in range(rng.integers(1, 5)):
        if len(b)<2: break
        k,way,n = int(rng.integers(min(first, len(b)-1), max(min(last, len(b)), first+1))),int(rng.integers(7)),int(rng.integers(1, 33))
        if way==0: b[k%len(b)] ^= 1<<int(rng.integers(8))
        elif way==1: b[k%len(b)] = int(rng.integers(256))
        elif way==2: del b[max(1, int(rng.integers(len(b)))):]
        elif way==3: b[k:k+4] = int(rng.choice(ODD)).to_bytes(4, ('big','little')[int(rng.integers(2))])
        elif way==4: b[k:k+n] = rng.bytes(n)
        elif way==5: del b[k:k+n]
        else: b[k:k] = b[k:k+n]
    return sound_checksums(bytes(b)) if fix else bytes(b)

class Cases:
    "Damaged files by number: the same seed and number give the same bytes"
    def __init__(self, seed=0, formats=None):
        image_extensions() # registers plugins
        files = {**six_formats(), **other_formats()}
        self.seed,self.files = seed,{k:v for k,v in files.items() if not formats or k in formats}
        self.names = [*self.files, *(['exif'] if not formats or 'exif' in formats else [])]

    def __call__(self, i):
        rng,name = np.random.default_rng([self.seed, i]),self.names[i%len(self.names)]
        if name=='exif': # only the note is damaged
            b = six_formats_once()['jpeg'][0]
            at = b.index(b'Exif')
            return name,damaged(b, rng, at, at+300)
        b = self.files[name]
        return name,damaged(b[int(rng.integers(len(b)))], rng)

def six_formats_once(_kept={}): # noqa: B006
    if not _kept: _kept.update(six_formats())
    return _kept

views = Transform(24, ('squash','crop','pad'))

def check(file, i):
    "Read a damaged file. '' if that went as it should, else what was wrong; 'memory' if the reader ran short of it"
    try: x = read_file(file, 24 if i%2 else None)
    except Unreadable as e:
        if '\n' in str(e) or not str(e).isprintable(): return f'a message of several lines: {e!r}'
        return 'memory' if e.passing else ''
    if x.dtype!=torch.uint8 or x.ndim!=3 or x.shape[0]!=3: return f'{x.shape} {x.dtype}'
    if views(x).shape!=(3,3,24,24): return 'views of another shape'
    return ''

def good(folder):
    "Write the good files, for those who search among damaged ones"
    for k,files in six_formats_once().items():
        for n,b in enumerate(files): (Path(folder)/f'{k}{n}.{k}').write_bytes(b)
