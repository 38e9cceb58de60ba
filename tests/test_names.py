"Every name that a notebook, a module, a test or a benchmark uses is defined or imported there: star imports hide what is missing until the cell runs"
import ast,builtins,importlib.util,json,re
from pathlib import Path
import pytest

root = Path(__file__).parent.parent
always = set(dir(builtins)) | {'display', 'get_ipython', '__file__', '_', 'get_config'} # the last is JupyterLab's, in its configuration

def text(f):
    if f.suffix=='.py': return f.read_text(encoding='utf-8')
    cells = [''.join(c['source']) for c in json.loads(f.read_text(encoding='utf-8'))['cells'] if c['cell_type']=='code']
    return re.sub(r'^\s*[%!].*$', '', '\n'.join(cells), flags=re.M)

def starred(module):
    m = importlib.import_module(module)
    return set(m.__all__ if hasattr(m, '__all__') else [o for o in dir(m) if o[0]!='_'])

def names(n, package=None):
    "What a node of the syntax tree defines"
    if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)): return {n.name}
    if isinstance(n, ast.arg): return {n.arg}
    if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load): return {n.id}
    if isinstance(n, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)): return {n.name} - {None}
    if isinstance(n, ast.Import): return {(a.asname or a.name).split('.')[0] for a in n.names}
    if not isinstance(n, ast.ImportFrom): return set()
    at = importlib.util.resolve_name('.'*n.level+(n.module or ''), package) if n.level else n.module
    return {o for a in n.names for o in (starred(at) if a.name=='*' else [a.asname or a.name])}

def undefined(source, package=None):
    tree = list(ast.walk(ast.parse(source)))
    have = always.union(*(names(n, package) for n in tree))
    return sorted({n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)} - have)

files = [f for d,ext in (('nbs', 'ipynb'), ('siamese_nb', 'py'), ('tests', 'py'), ('benchmarks', 'py'), ('tools', 'py')) for f in sorted((root/d).rglob(f'*.{ext}')) if '.ipynb_checkpoints' not in str(f)]

@pytest.mark.parametrize('f', files, ids=lambda f: str(f.relative_to(root)))
def test_defined(f, monkeypatch):
    for o in ('tools', 'tests', 'benchmarks'): monkeypatch.syspath_prepend(str(root/o))
    assert not undefined(text(f), '.'.join(f.relative_to(root).parent.parts))

def test_can_fail():
    assert undefined('from siamese_nb.eval import *\nroc, rocket, pair_distances')==['rocket']
    assert undefined('def f(a): return [b for b in a if c]')==['c']
