"Give every notebook the line that says where in the book it stands and, once the repository has an address, badges that open it on Colab and Kaggle. The order is that of nbs/sidebar.yml."
import json,os,re
import yaml
from nbdev.config import get_config

cfg = get_config()
placeholder = '/example/' in cfg.git_url+'/' # no address yet: a badge would lead nowhere
own = re.compile(r'colab-badge|^#\| hide\n#\| eval: false\n# Colab and Kaggle')

def parts():
    "The parts of the book, as (title, [(name of a notebook, path)])"
    side = yaml.safe_load((cfg.nbs_path/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    return [(o['section'], [(c['text'], c['href']) for c in o['contents'] if c['href'].endswith('.ipynb')]) for o in side if 'section' in o]

def where(path):
    "One line: the part of the book, the notebook before and the notebook after"
    for title,chapters in parts():
        hrefs = [h for _,h in chapters]
        if path not in hrefs: continue
        k = hrefs.index(path)
        at = os.path.dirname(path) or '.'
        steps = [f'{word} [{chapters[i][0]}]({os.path.relpath(hrefs[i], at)})' for i,word in ((k-1, 'before:'), (k+1, 'next:')) if 0 <= i < len(hrefs)]
        return ' · '.join([f'**{title}**, {k+1} of {len(hrefs)}', *steps])

def owner(): return cfg.git_url.rstrip('/').removeprefix('https://github.com/') # and name

def badges(path):
    at = f'{owner()}/blob/{cfg.branch}/{cfg.nbs_path.name}/{path}'
    return (f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/{at}) '
            f'[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)](https://kaggle.com/kernels/welcome?src=https://github.com/{at})')

install = f'''#| hide
#| eval: false
# Colab and Kaggle start with an empty machine; elsewhere this does nothing
from importlib.util import find_spec
if not find_spec('{cfg.lib_name}'):
    %pip install -q git+{cfg.git_url} pytorch-metric-learning timm onnx onnxruntime''' # and what some notebooks compare with

def cell(kind, cid, src):
    new = dict(cell_type=kind, id=cid, metadata={}, source=src.splitlines(True))
    return new if kind=='markdown' else {**new, 'execution_count':None, 'outputs':[]}

def addressed(text):
    "The repository's address where a text has it: the measured tables that a notebook reads from there on Colab, the site's link"
    text = re.sub(r'(https://raw\.githubusercontent\.com/)[\w.-]+/[\w.-]+/[\w.-]+(/graphs)', rf'\g<1>{owner()}/{cfg.branch}\2', text)
    return re.sub(r'(text: GitHub, href: ")[^"]*', rf'\g<1>{cfg.git_url}', text)

def write(fn):
    "Write the cells, or write them anew"
    path = fn.relative_to(cfg.nbs_path).as_posix()
    if not (line := where(path)): return print(f'{path} is not in sidebar.yml')
    text = fn.read_text(encoding='utf-8')
    nb = json.loads(text)
    keep = []
    for c in nb['cells']:
        src = ''.join(c['source'])
        if own.search(src) or c['id'].startswith('where-'): continue
        if c['cell_type']=='markdown' and src.startswith('images → '): # the line of an earlier layout
            src = src.partition('\n')[2].lstrip('\n')
            if not src: continue
            c['source'] = src.splitlines(True)
        keep.append(c)
    stem = re.sub(r'\W', '-', path[:-6])
    new = [cell('markdown', 'where-'+stem, line)]
    if not placeholder: new += [cell('markdown', 'badges', badges(path)), cell('code', 'install', install)]
    nb['cells'] = [keep[0], *new, *keep[1:]]
    for c in nb['cells']: c['source'] = [addressed(o) for o in c['source']]
    out = json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True)+'\n'
    if out!=text: fn.write_text(out, encoding='utf-8')

if __name__=='__main__':
    site = cfg.nbs_path/'_quarto.yml'
    site.write_text(addressed(site.read_text(encoding='utf-8')), encoding='utf-8')
    for fn in sorted(o for o in cfg.nbs_path.rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts and o.name!='index.ipynb'): write(fn)
