"What the site shows of every public name: a docstring, and a word for each parameter."
import importlib,inspect,pkgutil,re
from collections import Counter
import pytest
from fastcore.docments import docments
import siamese_nb

modules = [m for m in (importlib.import_module(m.name) for m in pkgutil.walk_packages(siamese_nb.__path__, 'siamese_nb.') if not m.name.rpartition('.')[2].startswith('_')) if hasattr(m, '__all__')]

def public(mod):
    "Functions, classes, and the methods that notebooks patch into classes"
    for name in mod.__all__:
        o = getattr(mod, name)
        if inspect.isfunction(o) or inspect.isclass(o) and o.__module__==mod.__name__: yield name,o
        if inspect.isclass(o):
            own = {k:v for k,v in vars(o).items() if inspect.isfunction(v) and (k[0]!='_' or k=='__call__') and f'@patch\ndef {k}(self:{name}' in inspect.getsource(mod)}
            yield from ((f'{name}.{k}',v) for k,v in own.items())

@pytest.mark.parametrize('mod', modules, ids=lambda m: m.__name__)
def test_described(mod):
    own = lambda o: not inspect.isclass(o) or '__init__' in vars(o) # what a class inherits is described elsewhere
    def at_once(o, k): # docments passes over a parameter that is positional only
        return inspect.isfunction(o) and inspect.signature(o).parameters.get(k) is not None and inspect.signature(o).parameters[k].kind==inspect.Parameter.POSITIONAL_ONLY and re.search(rf'^\s+{k}\b[^#\n]*# \S', inspect.getsource(o), re.M)
    silent = {name:[k for k,v in (docments(o, full=True, args_kwargs=True) if own(o) else {}).items() if k not in ('self', 'cls', 'return') and not v.docment and not at_once(o, k)] for name,o in public(mod)}
    assert not {k:v for k,v in silent.items() if v}, 'parameters without a comment'
    assert not [name for name,o in public(mod) if not o.__doc__], 'no docstring'

def test_one_name_one_thing():
    assert not [name for name,n in Counter(name for m in modules for name in m.__all__).items() if n>1], 'two modules export the same name'
