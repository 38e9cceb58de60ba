"The picture that a link to a page of the site shows in a chat or a social network: title, first line and first figure."
import base64,io,json,re
from functools import lru_cache
from pathlib import Path
import matplotlib
from PIL import Image,ImageDraw,ImageFont
import yaml

size,edge = (1200, 630),74
site_card = '/images/card.png' # of the pages without a figure

def plain(s): return re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', str(s)).replace('*', '').replace('`', '')

@lru_cache
def font(px, bold=False): return ImageFont.truetype(str(Path(matplotlib.get_data_path())/f'fonts/ttf/DejaVuSans{"-Bold" if bold else ""}.ttf'), px)

def wrapped(text, face, width):
    "The text in lines that are no wider than `width`"
    lines = ['']
    for word in text.split():
        longer = f'{lines[-1]} {word}'.strip()
        if face.getlength(longer) <= width: lines[-1] = longer
        else: lines.append(word)
    return '\n'.join(lines).strip()

def first_figure(nb, widest=4):
    "The first picture that a notebook shows, rather none that is a narrow strip; None: it shows none"
    shown = [o['data']['image/png'] for c in nb['cells'] for o in c.get('outputs', []) if 'image/png' in o.get('data', {})]
    figs = [Image.open(io.BytesIO(base64.b64decode(''.join(o)))).convert('RGBA') for o in shown]
    return next((o for o in figs if o.width < widest*o.height), figs[0] if figs else None)

def draw(title, text, fig):
    "Title, text and figure, one below the other"
    card = Image.new('RGB', size, 'white')
    pen,width,y = ImageDraw.Draw(card),size[0]-2*edge,50
    for words,face,color in ((title, font(54, True), '#222222'), (text, font(30), '#444444')):
        words = wrapped(plain(words), face, width)
        pen.multiline_text((edge, y), words, color, face, spacing=10)
        y = pen.multiline_textbbox((edge, y), words, face, spacing=10)[3]+22
    pen.text((edge, size[1]-54), 'siamese_nb', '#0072B2', font(26, True))
    room = width,size[1]-70-y
    k = min(room[0]/fig.width, room[1]/fig.height)
    fig = fig.resize((max(round(fig.width*k), 1), max(round(fig.height*k), 1)), Image.Resampling.LANCZOS)
    card.paste(fig, ((size[0]-fig.width)//2, y), fig)
    return card.quantize(256)

def front_matter(lines):
    "What stands between the two `---` of a page's first lines, and the rest; {} where there is none"
    m = re.match(r'---\n(.*?)\n---[ \t]*(?:\n|$)', ''.join(lines), re.S)
    return (yaml.safe_load(m[1]), ''.join(lines)[m.end():]) if m else ({}, ''.join(lines))

def written(front, rest): return f'---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{rest}'

def add_card(fn, proc):
    "Give a processed page a description and a picture of its own, in its front matter"
    if fn.suffix=='.md':
        front,rest = front_matter(fn.read_text(encoding='utf-8'))
        first = next((o for o in re.split(r'\n\s*\n', rest) if re.match(r'\w', o)), '')
        fn.write_text(written(dict(description=plain(first).split(': ')[0].replace('\n', ' '), image=site_card)|front, rest), encoding='utf-8')
        return
    nb = json.loads(fn.read_text(encoding='utf-8'))
    head = nb['cells'][0]
    front,rest = front_matter(head['source'])
    fig = first_figure(nb)
    if head['cell_type']!='raw' or not front: return
    front['description'] = plain(front.get('description', ''))
    if fig and fn.stem!='index':
        to = proc/'images'/'cards'/f"{'-'.join(fn.relative_to(proc).with_suffix('').parts)}.png"
        to.parent.mkdir(parents=True, exist_ok=True)
        draw(front['title'], front['description'], fig).save(to, optimize=True)
        front['image'] = f'/{to.relative_to(proc).as_posix()}'
    else: front['image'] = site_card
    head['source'] = written(front, rest).splitlines(True)
    fn.write_text(json.dumps(nb, indent=1, ensure_ascii=False), encoding='utf-8')
