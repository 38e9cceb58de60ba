"""JupyterLab as `make lab` starts it: it opens on the index, and a notebook is cleaned as it is saved, so that its diff shows what changed.

Reading and running leave the file alone: nothing is saved until the reader saves, and a notebook is not marked as changed because its kernel has started."""
import os,warnings
from pathlib import Path
from ipykernel.ipkernel import IPythonKernel
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from nbdev.clean import clean_jupyter

def shows(o):
    "Does this output show anything once the kernel is gone? Progress bars and other widgets do not, nor the word that a cell was left out"
    return 'application/vnd.jupyter.widget-view+json' not in o.get('data', {}) and not ''.join(o.get('text', '')).startswith('left out: this cell needs')

def clean(path, model, **kwargs):
    "What nbdev cleans, and widgets"
    if model['type']!='notebook': return
    cells = model['content']['cells']
    trusted = [c['metadata'].get('trusted') for c in cells]
    for c in cells:
        if 'outputs' in c: c['outputs'] = [o for o in c['outputs'] if shows(o)]
    clean_jupyter(path, model, **kwargs)
    for c,t in zip(cells, trusted): # is not written to the file: the server signs what has been run here, and shows its HTML again
        if t: c['metadata']['trusted'] = t

class Notebooks(AsyncLargeFileManager):
    "Hands a notebook out with what JupyterLab is about to write into it (its kernel's name and language), so that nothing changes; `clean` takes it out again"
    async def get(self, path, content=True, **kwargs):
        model = await super().get(path, content, **kwargs)
        if model['type']=='notebook' and content: self.describe_kernel(model['content']['metadata'])
        return model

    def describe_kernel(self, meta):
        kernel = meta.get('kernelspec', {}).get('name')
        if not kernel or 'language_info' in meta: return
        try: spec = self.parent.kernel_spec_manager.get_kernel_spec(kernel)
        except NoSuchKernel: return # JupyterLab will ask for one
        meta['kernelspec'] = dict(name=kernel, display_name=spec.display_name, language=spec.language)
        if spec.language=='python': meta['language_info'] = IPythonKernel.language_info

c = get_config() # noqa: F821
warnings.filterwarnings('ignore', 'Overriding existing pre_save_hook') # each extension of the server reads this file
c.ContentsManager.pre_save_hook = clean
c.ServerApp.contents_manager_class = Notebooks
lab = str(Path(__file__).with_name('lab').resolve()) # JupyterLab's settings: no autosave, no news, no check for updates
if lab not in os.environ.get('JUPYTER_CONFIG_PATH', ''): os.environ['JUPYTER_CONFIG_PATH'] = os.pathsep.join(filter(None, [lab, os.environ.get('JUPYTER_CONFIG_PATH')]))
c.ServerApp.allow_root = getattr(os, 'geteuid', lambda: 1)()==0 # in a container there is nobody else
c.LabApp.default_url = '/lab/tree/nbs/index.ipynb'
