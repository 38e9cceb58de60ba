"What the site's builder, and a reader without Caltech-101, ask of a notebook."
import ast,json
from pathlib import Path
import pytest

notebooks = sorted(o for o in (Path(__file__).parents[1]/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts)

def cells(fn, kind): return [''.join(c['source']) for c in json.loads(fn.read_text(encoding='utf-8'))['cells'] if c['cell_type']==kind]

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_imports_stand_alone(fn):
    for src in cells(fn, 'code'): # the builder runs again, without the cells above it, any cell that holds an import
        if '#| hide' in src or '#| export' in src: continue
        kinds = {isinstance(o, (ast.Import, ast.ImportFrom)) for o in ast.parse(src).body}
        assert kinds != {True, False}, f'imports belong into a cell of their own:\n{src}'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_title_stands_alone(fn):
    lines = cells(fn, 'markdown')[0].strip().splitlines()
    assert lines[0].startswith('# ') and all(not o or o.startswith('>') for o in lines[1:]), 'the first cell holds the title and the `>` line'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_caltech_cells_can_be_left_out(fn):
    before = [src for src in cells(fn, 'code') if '#| export' not in src]
    first = next((i for i,src in enumerate(before) if src.startswith('#| caltech')), None)
    if first is not None: assert any('caltech_cells()' in o for o in before[:first]), 'caltech_cells() has to run before the first cell that needs Caltech-101'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_figures_are_described(fn):
    for c in json.loads(fn.read_text(encoding='utf-8'))['cells']:
        drawn = any('image/png' in o.get('data', {}) for o in c.get('outputs', []))
        assert not drawn or '#| fig-alt:' in ''.join(c['source']), f"give this figure a `#| fig-alt`:\n{''.join(c['source'])}"

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_runs_without_the_project(fn): # on Colab and Kaggle there is the notebook and what pip installs
    if fn.stem=='index': return
    for src in cells(fn, 'code'):
        if '../graphs' in src and '#| caltech' not in src: assert 'is_dir()' in src, f'what if there is no such folder?\n{src}'
        assert 'nbdev_export' not in src or fn.stem=='speed', 'running a notebook must not rewrite the package'

def test_every_notebook_is_in_the_sidebar():
    import yaml
    nbs = Path(__file__).parents[1]/'nbs'
    side = yaml.safe_load((nbs/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    named = [c['href'] for o in side for c in o.get('contents', [o]) if c['href'].endswith('.ipynb')]
    assert sorted(named)==sorted(o.relative_to(nbs).as_posix() for o in notebooks)
