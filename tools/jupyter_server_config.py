"JupyterLab as `make lab` starts it: it opens on the index, and a notebook is cleaned as it is saved, so that its diff shows what changed."
from nbdev.clean import clean_jupyter

def shows(o):
    "Does this output show anything once the kernel is gone? Progress bars and other widgets do not"
    return 'application/vnd.jupyter.widget-view+json' not in o.get('data', {})

def clean(path, model, **kwargs):
    "What nbdev cleans, and widgets"
    if model['type']!='notebook': return
    for c in model['content']['cells']:
        if 'outputs' in c: c['outputs'] = [o for o in c['outputs'] if shows(o)]
    clean_jupyter(path, model, **kwargs)

c = get_config() # noqa: F821
c.ContentsManager.pre_save_hook = clean
c.LabApp.default_url = '/lab/tree/nbs/index.ipynb'
