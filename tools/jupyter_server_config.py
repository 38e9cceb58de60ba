"JupyterLab as `make lab` starts it: it opens on the index, and a notebook is cleaned as it is saved, so that its diff shows what changed."
import re
from nbdev.clean import clean_jupyter

def no_bar(o):
    "Is this output anything but a progress bar that has run?"
    data = o.get('data', {})
    return 'application/vnd.jupyter.widget-view+json' not in data or not re.search(r'\d%\|', ''.join(data.get('text/plain', '')))

def clean(path, model, **kwargs):
    "What nbdev cleans, and progress bars"
    if model['type']!='notebook': return
    for c in model['content']['cells']:
        if 'outputs' in c: c['outputs'] = [o for o in c['outputs'] if no_bar(o)]
    clean_jupyter(path, model, **kwargs)

c = get_config() # noqa: F821
c.ContentsManager.pre_save_hook = clean
c.LabApp.default_url = '/lab/tree/nbs/index.ipynb'
