"How the site shows a function or class: its signature, its docstring, and a table of its parameters."
import re
from functools import reduce
from importlib import import_module
from inspect import Parameter,formatannotation,getsource,isfunction
from fastcore.docments import docments,qual_name
from nbdev.doclinks import NbdevLookup
from nbdev.showdoc import BasicMarkdownRenderer

def exported(sym, name):
    "The package's own copy of what a notebook defined: comments beside a dataclass's fields can be read only there"
    found = NbdevLookup()[name]
    if not isinstance(found, tuple): return sym
    try: return reduce(getattr, name.split('.'), import_module(found[1].removesuffix('.py').replace('/', '.')))
    except (ImportError, AttributeError): return sym

def type_name(o):
    "An annotation as one writes it: `list[str]`, `Path|None`"
    if o in (Parameter.empty, None, type(None)) or isinstance(o, type) and issubclass(o, type): return '' # a default that is a class says nothing
    if isinstance(o, str): return o
    return re.sub(r'\b[\w.]+\.(?=\w)', '', formatannotation(o)).replace(' | ', '|')

def cell(s): return str(s).replace('|', r'\|').replace('\n', ' ')
def code(s):
    "A type or a default; a span for each side of a pipe, since pandoc shows the backslash of one that is inside"
    return r' \| '.join(f'`{cell(o)}`' for o in str(s).split('|')) if s else ''
def default(o): return '' if o is Parameter.empty else '…' if repr(o)=='<factory>' else getattr(o, '__name__', None) or repr(o)

def untyped_return(o):
    "What a comment after `):` says of a result that has no annotation"
    if not isfunction(o): return ''
    m = re.search(r'^[ \t]*\): # (.+)$', getsource(o).partition('"')[0], re.M)
    return m[1] if m else ''

class Entry(BasicMarkdownRenderer):
    "The renderer of `show_doc` cells while the site is built"
    def __init__(self, sym, name=None, title_level=3):
        self.is_property = isinstance(sym, property)
        super().__init__(sym, name=name or qual_name(getattr(sym, 'fget', sym)), title_level=title_level) # what a decorator wraps does not know its class
        self.fn = self.nm

    def _repr_markdown_(self):
        head,_,tail = super()._repr_markdown_().partition('```python\n')
        head = re.sub('^#.*', lambda m: m[0].replace('_', r'\_'), head, flags=re.M)
        found = exported(self.sym, self.nm)
        found = getattr(found, 'fget', found)
        dm = docments(found, full=True, args_kwargs=True)
        ret = dm.pop('return', None)
        params = {k:o for k,o in dm.items() if k not in ('self', 'cls')}
        stars = {Parameter.VAR_POSITIONAL:'*', Parameter.VAR_KEYWORD:'**'}
        args = [stars.get(o.kind, '')+k+(f'={default(o.default)}' if default(o.default) else '') for k,o in params.items()]
        short = self.nm if self.is_property else f"{self.nm}({', '.join(args)})"
        sig = short if len(short)<84 else f'{self.nm}(\n    '+',\n    '.join(args)+')'
        rows = [[f'`` {k} ``', code(type_name(o.anno)), code(default(o.default)), cell(o.docment or '')] for k,o in params.items()]
        said = (ret and ret.docment) or untyped_return(found)
        if ret and (said or type_name(ret.anno)): rows.append(['**returns**', code(type_name(ret.anno)), '', cell(said)])
        keep = [0,1,2,3] if any(o[2] for o in rows) else [0,1,3]
        table = '\n'.join('| '+' | '.join(o[i] for i in keep)+' |' for o in [['', 'type', 'default', ''], ['---']*4, *rows]) if rows else ''
        return f"{head}```python\n{sig}\n```{tail.partition('```')[2].replace('?.', '?')}\n\n{table}\n"
