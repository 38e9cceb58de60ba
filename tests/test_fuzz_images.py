"Damaged files of six formats: through `read_file`, a folder's table and a search. The long way is `python tools/fuzz.py images --minutes 60`."
import subprocess,sys
from pathlib import Path
import numpy as np
import pytest
from siamese_nb.data_split import Items
from siamese_nb.data.images import Transform,view_loader

tools = Path(__file__).parents[1]/'tools'
sys.path.insert(0, str(tools))
from fuzz_images import SIX,Cases,good # noqa: E402

def test_read_file_in_a_worker(tmp_path):
    "900 damaged files: never a signal, a hang or a traceback"
    p = subprocess.run([sys.executable, tools/'fuzz.py', 'images', '--cases', '900', '--seed', '12', '--formats', *SIX, 'exif', '--out', tmp_path],
                       capture_output=True, text=True)
    assert p.returncode==0 and ' 0 faults' in p.stdout, p.stdout+p.stderr

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Good pictures, and five times as many damaged ones"
    root,cases = tmp_path_factory.mktemp('damaged'),Cases(seed=5, formats=SIX)
    good(root)
    n = len(list(root.iterdir()))
    for i in range(5*n):
        name,b = cases(i)
        (root/f'damaged{i:04d}.{name}').write_bytes(b)
    return root

def test_folder(folder):
    paths = sorted(o.name for o in folder.iterdir())
    items = Items('damaged', paths, ['a']*len(paths), root=folder)
    read = {paths[i] for idx,x in view_loader(items, Transform(16, ('squash','crop','pad'))) for i in idx.tolist()}
    sound = {p for p in paths if not p.startswith('damaged')}
    assert sound<=read<set(paths)

class Mean:
    "What a search needs of a model: here an embedding is the mean colour"
    dim,threshold,key,scale = 3,.1,'',None
    def embed(self, x, progress=False): return self.embed_some([x])[0][0]
    def embed_some(self, files, progress=False):
        from siamese_nb.apps.search import Pictures
        views = Pictures(files, Transform(8))
        e = np.full((len(files), 3), np.nan, np.float32)
        for i in range(len(files)):
            x = views[i][1]
            if x is not None: e[i] = x.float().mean((0,2,3))/255
        return e,views.errors

def test_search(folder):
    from siamese_nb.apps.search import Index
    index = Index(Mean(), folder, progress=False)
    found = index.search(folder/'png0.png', k=3)
    sound = [p for p in index.paths if not p.startswith('damaged')]
    assert len(found)==3 and len(sound)==len([o for o in folder.iterdir() if not o.name.startswith('damaged')])
    assert index.skipped and all('\n' not in why for _,why in index.skipped)

def test_run(tmp_path, monkeypatch, capsys):
    "Two classes, half of whose files are damaged: the run ends, and says which were left out"
    from PIL import Image
    from siamese_nb.run import siamese_run
    monkeypatch.chdir(tmp_path)
    rng,cases = np.random.default_rng(0),Cases(seed=6, formats=SIX)
    for i in range(32):
        (at := tmp_path/'kinds'/'ab'[i%2]).mkdir(parents=True, exist_ok=True)
        name,b = cases(i)
        if i%4<2: (at/f'damaged{i:02d}.{name}').write_bytes(b)
        else: Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(at/f'{i:02d}.png')
    results = siamese_run('kinds', backbone='tiny', epochs=1)
    said = capsys.readouterr().out
    assert 16<=sum(results['n_images'].values())<32
    assert 'left out' in said and 'damaged' in said and '00.png (' not in said

