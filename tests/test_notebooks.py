"What the site's builder, and a reader without Caltech-101, ask of a notebook."
import ast,base64,copy,json,os,shutil,sys
from pathlib import Path
import nbformat
import pytest
from nbclient import NotebookClient

root = Path(__file__).parents[1]
notebooks = sorted(o for o in (root/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts)

def cells(fn, kind): return [''.join(c['source']) for c in json.loads(fn.read_text(encoding='utf-8'))['cells'] if c['cell_type']==kind]

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_imports_stand_alone(fn):
    for src in cells(fn, 'code'): # the builder runs again, without the cells above it, any cell that holds an import
        if '#| hide' in src or '#| export' in src: continue
        kinds = {isinstance(o, (ast.Import, ast.ImportFrom)) for o in ast.parse(src).body}
        assert kinds != {True, False}, f'imports belong into a cell of their own:\n{src}'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_title_stands_alone(fn):
    lines = cells(fn, 'markdown')[0].strip().splitlines()
    assert lines[0].startswith('# ') and all(not o or o.startswith('>') for o in lines[1:]), 'the first cell holds the title and the `>` line'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_caltech_cells_can_be_left_out(fn):
    before = [src for src in cells(fn, 'code') if '#| export' not in src]
    first = next((i for i,src in enumerate(before) if src.startswith('#| caltech')), None)
    if first is not None: assert any('caltech_cells()' in o for o in before[:first]), 'caltech_cells() has to run before the first cell that needs Caltech-101'

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_figures_are_described(fn):
    for c in json.loads(fn.read_text(encoding='utf-8'))['cells']:
        drawn = any('image/png' in o.get('data', {}) for o in c.get('outputs', []))
        assert not drawn or '#| fig-alt:' in ''.join(c['source']), f"give this figure a `#| fig-alt`:\n{''.join(c['source'])}"

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_runs_without_the_project(fn): # on Colab and Kaggle there is the notebook and what pip installs
    if fn.stem=='index': return
    for src in cells(fn, 'code'):
        if '../graphs' in src and '#| caltech' not in src: assert 'is_dir()' in src, f'what if there is no such folder?\n{src}'
        assert 'nbdev_export' not in src, 'running a notebook must not rewrite the package'

def test_every_notebook_is_in_the_sidebar():
    import yaml
    nbs = Path(__file__).parents[1]/'nbs'
    side = yaml.safe_load((nbs/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']
    named = [c['href'] for o in side for c in o.get('contents', [o]) if c['href'].endswith('.ipynb')]
    assert sorted(named)==sorted(o.relative_to(nbs).as_posix() for o in notebooks)

def opened(nb):
    "What JupyterLab has in memory after a notebook was opened and its kernel has started"
    nb.metadata.kernelspec.display_name = 'Python 3 (ipykernel)'
    nb.metadata.language_info = dict(name='python', version='3.14.1', mimetype='text/x-python', file_extension='.py')
    for c in nb.cells: c.metadata.trusted = True
    return nb

def lab_config():
    "As `make lab` has it"
    from traitlets.config import Config
    config,file = Config(),root/'tools'/'jupyter_server_config.py'
    exec(file.read_text(), dict(get_config=lambda: config, __file__=str(file)))
    return config

@pytest.mark.parametrize('who', [0, 1000])
def test_lab_as_root(who, monkeypatch):
    "Fault 22: in a container there is nobody else; elsewhere the server goes on asking"
    monkeypatch.setattr(os, 'geteuid', lambda: who, raising=False)
    assert lab_config().ServerApp.allow_root==(who==0)

@pytest.fixture(scope='module')
def server():
    "The part of a Jupyter server that reads and writes notebooks, configured as `make lab` has it"
    from jupyter_server.services.contents.filemanager import FileContentsManager
    config = lab_config()
    return FileContentsManager(root_dir=str(root), pre_save_hook=config.ContentsManager.pre_save_hook)

@pytest.mark.parametrize('fn', notebooks, ids=lambda fn: fn.stem)
def test_opening_and_saving_changes_nothing(fn, server, tmp_path):
    name = fn.relative_to(root).as_posix()
    model = server.get(name)
    assert len(model['content']['cells'])>1
    model['content'] = opened(model['content'])
    if code := [c for c in model['content']['cells'] if c['cell_type']=='code' and not c['outputs']]: # a cell that needs what is not there says so, for as long as the kernel lives
        code[0]['outputs'] = [dict(output_type='stream', name='stdout', text='left out: this cell needs Caltech-101, and nothing is stored to show instead\n')]
    server.run_pre_save_hooks(model=model, path=name)
    out = tmp_path/fn.name
    server._save_notebook(str(out), nbformat.from_dict(model['content'])) # as `save` does, beside the notebook instead of over it
    assert json.loads(out.read_text(encoding='utf-8'))==json.loads(fn.read_text(encoding='utf-8'))

def test_a_started_kernel_changes_nothing(tmp_path, monkeypatch):
    "JupyterLab writes the kernel's names into a notebook as soon as it has started, and marks the notebook as changed if they were not there"
    import asyncio
    from ipykernel.kernelspec import get_kernel_dict
    from ipykernel.ipkernel import IPythonKernel
    from jupyter_client.kernelspec import KernelSpec
    from traitlets.config import Configurable
    class App(Configurable):
        class kernel_spec_manager: get_kernel_spec = staticmethod(lambda name: KernelSpec(**get_kernel_dict()))
    monkeypatch.setenv('JUPYTER_CONFIG_PATH', str(tmp_path))
    config = lab_config()
    get = config.ServerApp.contents_manager_class(root_dir=str(root), parent=App()).get
    meta = asyncio.run(get('nbs/story.ipynb'))['content']['metadata']
    assert meta['language_info']==IPythonKernel.language_info
    assert meta['kernelspec']==dict(name='python3', display_name=get_kernel_dict()['display_name'], language='python')
    assert asyncio.run(get('nbs/story.ipynb', content=False))['content'] is None

def test_lab_saves_when_told_to():
    "Running a notebook to its end leaves the file alone"
    from jupyterlab_server.settings_utils import get_settings
    schemas = Path(sys.prefix)/'share/jupyter/lab/schemas'
    if not schemas.exists(): pytest.skip('JupyterLab keeps its settings elsewhere')
    overrides = json.loads((root/'tools/lab/labconfig/default_setting_overrides.json').read_text())
    for name,values in overrides.items():
        found,_ = get_settings('', str(schemas), str(root/'no-settings'), name, overrides)
        assert {k:found['schema']['properties'][k]['default'] for k in values}==values
        assert all('description' in found['schema']['properties'][k] for k in values) # JupyterLab knows it
    assert overrides['@jupyterlab/docmanager-extension:plugin']=={'autosave':False}

PIXEL = base64.b64encode(b'\x89PNG not really').decode()
SHOWN = [dict(output_type='stream', name='stdout', text='epoch 1\nepoch 2\n'),
         dict(output_type='display_data', data={'image/png':PIXEL, 'text/plain':'<Figure>'}, metadata={}),
         dict(output_type='execute_result', data={'text/html':'<b>.98</b>', 'text/plain':'.98'}, metadata={}, execution_count=3)]

def run_as_reader(file, **env):
    "Run All in a kernel that knows its notebook, as a Jupyter server starts it, and save"
    nb = nbformat.read(file, 4)
    old = dict(os.environ)
    os.environ.update(JPY_SESSION_NAME=str(file), PYTHONPATH=str(root), **env)
    try: NotebookClient(nb, kernel_name='python3', timeout=300, record_timing=False, resources={'metadata':{'path':str(file.parent)}}, extra_arguments=['--log-level=40']).execute()
    finally: os.environ.clear(); os.environ.update(old)
    nbformat.write(nb, file)
    return nb

def test_stored_outputs_survive_a_run_without_the_photographs(tmp_path):
    "Run All and save, twice: what a Caltech-101 cell once showed is what it still shows, and it did not run"
    code = nbformat.v4.new_code_cell
    sources = ['from siamese_nb.notebook import caltech_cells', 'caltech_cells()', "#| caltech\nopen('ran', 'w'); 1/0", "#| caltech\nopen('ran', 'w'); 2/0", '6*7']
    nb = nbformat.v4.new_notebook(cells=[code(o) for o in sources])
    nb.metadata.kernelspec = dict(name='python3', display_name='python3', language='python')
    nb.cells[2].outputs = [nbformat.from_dict(o) for o in copy.deepcopy(SHOWN)]
    nbformat.write(nb, tmp_path/'one.ipynb')
    for _ in range(2):
        got = run_as_reader(tmp_path/'one.ipynb', SIAMESE_NB_DATA=str(tmp_path/'nowhere'))
        now = [{k:v for k,v in o.items() if k!='execution_count'} for o in got.cells[2].outputs]
        shown = lambda o: (o['output_type'], o.get('text', ''), {k:v for k,v in o.get('data', {}).items() if k!='text/plain'})
        assert [shown(o) for o in now]==[shown(o) for o in SHOWN]
        assert got.cells[4].outputs[0].data['text/plain']=='42' and not (tmp_path/'ran').exists()
        assert 'left out' in got.cells[3].outputs[0].text # nothing was stored: said

def test_running_to_the_end_does_not_rewrite_the_package(tmp_path):
    "An experiment in an exported cell, saved and run to the end in a copy of the project, stays an experiment"
    for o in ('settings.ini', 'pyproject.toml', 'README.md'): shutil.copy(root/o, tmp_path)
    shutil.copytree(root/'siamese_nb', tmp_path/'siamese_nb', ignore=shutil.ignore_patterns('__pycache__', 'general'))
    (tmp_path/'nbs'/'engineering').mkdir(parents=True)
    file = tmp_path/'nbs'/'engineering'/'recipe.ipynb'
    nb = nbformat.read(root/'nbs'/'engineering'/file.name, 4)
    next(c for c in nb.cells if c.source.startswith('#| export\n')).source += '\nexperiment = 1'
    nbformat.write(nb, file)
    files = lambda: {o:o.read_bytes() for o in (tmp_path/'siamese_nb').rglob('*') if o.is_file() and '__pycache__' not in o.parts}
    before = files()
    run_as_reader(file)
    assert files()==before
