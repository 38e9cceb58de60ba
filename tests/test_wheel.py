"What `pip install` brings: a wheel with the general model, which works outside a clone"
import os,re,shutil,subprocess,sys,tarfile,zipfile
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from siamese_nb.core import content_hash

ROOT = Path(__file__).parents[1]

@pytest.fixture(scope='module')
def unpacked(tmp_path_factory):
    "The wheel, built from a copy of what a source distribution holds, and unpacked"
    pytest.importorskip('setuptools', '77')
    tmp = tmp_path_factory.mktemp('wheel')
    for name in ('setup.py', 'settings.ini', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md'): shutil.copy(ROOT/name, tmp)
    shutil.copytree(ROOT/'siamese_nb', tmp/'siamese_nb', ignore=shutil.ignore_patterns('__pycache__'))
    build = 'from setuptools import build_meta; print(build_meta.build_wheel("dist"))'
    r = subprocess.run([sys.executable, '-c', build], cwd=tmp, capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    wheel, = (tmp/'dist').glob('*.whl')
    with zipfile.ZipFile(wheel) as z: z.extractall(tmp/'site')
    return wheel,tmp/'site'

def test_contents(unpacked):
    wheel,site = unpacked
    model = site/'siamese_nb'/'general'/'model.safetensors'
    assert content_hash(model)==content_hash(ROOT/'siamese_nb'/'general'/'model.safetensors')
    assert model.stat().st_size < 10e6 and wheel.stat().st_size < 12e6
    modules = lambda at: {str(o.relative_to(at)) for o in at.rglob('*.py')}
    assert modules(site/'siamese_nb')==modules(ROOT/'siamese_nb')
    assert {o.name.split('-')[0] for o in site.iterdir()}=={'siamese_nb'}
    commands = next(site.glob('*.dist-info/entry_points.txt')).read_text()
    assert all(f'siamese_{o} = siamese_nb.cli:siamese_{o}' in commands for o in ('run', 'compare', 'search', 'embed', 'audit', 'calibrate'))
    said = next(site.glob('*.dist-info/METADATA')).read_text()
    assert 'general model' in said and not re.findall(r'\]\((?!https?://|#)[^)]*\)', said) # no link into a repository that is not there

def test_three_lines(unpacked, tmp_path):
    "Elsewhere, with nothing but the wheel on the path"
    rng = np.random.default_rng(0)
    for name in 'ab': Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(tmp_path/f'{name}.png')
    code = "from siamese_nb import load\nr = load().compare('a.png', 'b.png')\nprint(r)\nimport siamese_nb; print(siamese_nb.__file__)"
    env = {k:v for k,v in os.environ.items() if k!='PYTHONPATH'} | dict(PYTHONPATH=str(unpacked[1]))
    r = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    said,where = r.stdout.splitlines()
    assert "as Caltech-101's folders draw the line" in said and 'siamese_calibrate' in said and where.startswith(str(unpacked[1]))

def test_source_distribution(unpacked, tmp_path):
    "Holds the general model and all that a wheel is built from"
    for name in ('setup.py', 'settings.ini', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md'): shutil.copy(ROOT/name, tmp_path)
    shutil.copytree(ROOT/'siamese_nb', tmp_path/'siamese_nb', ignore=shutil.ignore_patterns('__pycache__'))
    r = subprocess.run([sys.executable, '-c', 'from setuptools import build_meta; build_meta.build_sdist("dist")'], cwd=tmp_path, capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    with tarfile.open(next((tmp_path/'dist').glob('*.tar.gz'))) as z: names = {n.split('/', 1)[1] for n in z.getnames() if '/' in n}
    assert {'setup.py', 'settings.ini', 'README.md', 'LICENSE', 'siamese_nb/general/model.safetensors', 'siamese_nb/__init__.py'} <= names
