"Give every numbered notebook, after its title, badges that open it on Colab and Kaggle, the cell that installs the package there, and the line that says where in the whole it stands."
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
    %pip install -q git+{cfg.git_url} pytorch-metric-learning timm onnx onnxruntime''' # and what some notebooks compare with

STAGES = {'00':'data', '01':'pairs', '02':'model', '03':'loss', '04':'training', '05':'evaluation', '06':'compare', '07':'report', '08':'run'}
BESIDE = {'09':'who is this?', '10':'explain', '11':'speed', '12':'the road'}

def where(name, names):
    "The data flow, with the stage of one notebook opened and marked"
    def stage(number, title):
        inside = [n for n in names if n.startswith(number)]
        if not name.startswith(number): return f'[{title}]({inside[0]})'
        if len(inside)==1: return f'**{title}**'
        part = lambda n: n[:-6].split('_', 1)[1].replace('_', ' ')
        return f'{title} (' + ' · '.join(f'**{part(n)}**' if n==name else f'[{part(n)}]({n})' for n in inside) + ')'
    flow = 'images → ' + ' → '.join(stage(k, v) for k,v in STAGES.items())
    return flow + '<br>beside it: ' + ' · '.join(stage(k, v) for k,v in BESIDE.items() if any(n.startswith(k) for n in names))

def cell(kind, cid, src):
    new = dict(cell_type=kind, id=cid, metadata={}, source=src.splitlines(True))
    return new if kind=='markdown' else {**new, 'execution_count':None, 'outputs':[]}

def add(fn, names):
    "Write the cells, or write them anew"
    nb = json.loads(fn.read_text(encoding='utf-8'))
    cells = [c for c in nb['cells'] if not own.search(''.join(c['source']))]
    title,_,rest = re.match(r'(# [^\n]+(\n+> [^\n]+)?)\s*(.*)', ''.join(cells[0]['source']), re.S).groups()
    if rest: # the site keeps nothing of the first cell but the title and the line below it
        cells[0]['source'] = title.splitlines(True)
        cells.insert(1, cell('markdown', 'where', rest))
    nb['cells'] = [cells[0], cell('markdown', 'badges', badges(fn.name)), cell('code', 'install', install), *cells[1:]]
    for c in nb['cells']:
        src = ''.join(c['source'])
        if c['cell_type']=='markdown' and src.startswith('images → '): c['source'] = (where(fn.name, names)+src[src.find('\n'):] if '\n' in src else where(fn.name, names)).splitlines(True)
    fn.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True)+'\n', encoding='utf-8')

if __name__=='__main__':
    notebooks = sorted(cfg.nbs_path.glob('[0-9]*.ipynb'), key=lambda f: f.name.replace('_', ' '))
    for fn in notebooks: add(fn, [f.name for f in notebooks])
