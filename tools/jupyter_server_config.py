"JupyterLab as `make lab` starts it: it opens on the index, and a notebook is cleaned as it is saved, so that its diff shows what changed."
from nbdev.clean import clean_jupyter

c = get_config() # noqa: F821
c.ContentsManager.pre_save_hook = clean_jupyter
c.LabApp.default_url = '/lab/tree/nbs/index.ipynb'
