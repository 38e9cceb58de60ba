"What a newcomer types first: importing costs nothing, a few names stand there, six lines go from a folder to a saved model"
import ast,importlib,pkgutil,re,subprocess,sys
from pathlib import Path
import numpy as np
import pytest
import siamese_nb
from siamese_nb import Recipe,fit,load
from siamese_nb.data_split import get_digits

def imported(*args):
    "What `python -X importtime` lists: the modules that this command brings, and microseconds of each with all that it brings"
    err = subprocess.run([sys.executable, '-X', 'importtime', *args], capture_output=True, text=True, check=True).stderr
    return {m[2].strip():int(m[1]) for m in re.finditer(r'^import time:\s+\d+ \|\s+(\d+) \| (.*)$', err, re.M)}

def test_import_brings_nothing():
    own = set(imported('-c', 'import siamese_nb')) - set(imported('-c', 'pass'))
    assert own=={'siamese_nb'}
    assert min(imported('-c', 'import siamese_nb')['siamese_nb'] for _ in range(3)) < 50_000 # 50 ms; it is under one
    assert 'torch' in imported('-c', 'from siamese_nb import fit') # the control: what is asked for is fetched

def test_few_names():
    assert siamese_nb.__all__==['fit', 'load', 'Items', 'Recipe', 'siamese_run']
    assert dir(siamese_nb)==sorted([*siamese_nb.__all__, '__version__'])
    with pytest.raises(AttributeError, match="fitt"): getattr(siamese_nb, "fitt") # noqa: B009
    names = [n for m in pkgutil.walk_packages(siamese_nb.__path__, 'siamese_nb.') if m.name!='siamese_nb.__main__' for n in getattr(importlib.import_module(m.name), '__all__', [])]
    assert len(names)<=167 # half of what the first version had

def test_rooms_say_what_they_hold():
    for f in Path(siamese_nb.__file__).parent.rglob('*.py'):
        if f.name not in ('_modidx.py', '__init__.py'): assert ast.get_docstring(ast.parse(f.read_text(encoding='utf-8'))), f'{f.name} has no sentence'

def test_six_lines(tmp_path):
    items = get_digits()
    for c in '0123':
        for i in np.flatnonzero(np.array(items.labels)==c)[:10]:
            file = tmp_path/'photos'/c/f'{i}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            items.open(i).resize((48, 48)).save(file)
    a,b = sorted((tmp_path/'photos'/'0').iterdir())[:2]
    model = fit(tmp_path/'photos', backbone='tiny', epochs=2, say=lambda line: None)
    found = model.compare(a, b)
    assert found['same'] in (True, False) and isinstance(model.recipe, Recipe) and 0<=model.evaluation.test['accuracy']<=1
    model.save(tmp_path/'weights')
    again = load(tmp_path/'weights')
    assert abs(again.compare(a, b)['distance'] - found['distance'])<1e-5
    hits = again.search(a, tmp_path/'photos', k=3)
    assert len(hits)==3 and all(Path(h['path']).suffix=='.png' for h in hits)
    cal = again.calibrate(tmp_path/'photos')
    assert cal['n_classes']==4 and 0<=cal['error_rate']<=1
