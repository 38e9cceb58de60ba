"Give every numbered notebook, after its title, badges that open it on Colab and Kaggle, and the cell that installs the package there."
import json,re
from nbdev.config import get_config

cfg = get_config()
own = re.compile(r'colab-badge|^#\| hide\n#\| eval: false\n# Colab and Kaggle')

def badges(name):
    "The badges of one notebook"
    at = f'{cfg.user}/{cfg.repo}/blob/{cfg.branch}/{cfg.nbs_path.name}/{name}'
    return (f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/{at}) '
            f'[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)](https://kaggle.com/kernels/welcome?src=https://github.com/{at})')

install = f'''#| hide
#| eval: false
# Colab and Kaggle start with an empty machine; elsewhere this does nothing
from importlib.util import find_spec
if not find_spec('{cfg.lib_name}'):
    %pip install -q git+{cfg.git_url}'''

def cell(kind, cid, src):
    new = dict(cell_type=kind, id=cid, metadata={}, source=src.splitlines(True))
    return new if kind=='markdown' else {**new, 'execution_count':None, 'outputs':[]}

def add(fn):
    "Write the cells, or write them anew"
    nb = json.loads(fn.read_text(encoding='utf-8'))
    cells = [c for c in nb['cells'] if not own.search(''.join(c['source']))]
    title,_,rest = re.match(r'(# [^\n]+(\n+> [^\n]+)?)\s*(.*)', ''.join(cells[0]['source']), re.S).groups()
    if rest: # the site keeps nothing of the first cell but the title and the line below it
        cells[0]['source'] = title.splitlines(True)
        cells.insert(1, cell('markdown', 'where', rest))
    nb['cells'] = [cells[0], cell('markdown', 'badges', badges(fn.name)), cell('code', 'install', install), *cells[1:]]
    fn.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True)+'\n', encoding='utf-8')

if __name__=='__main__':
    for fn in sorted(cfg.nbs_path.glob('[0-9]*.ipynb')): add(fn)
