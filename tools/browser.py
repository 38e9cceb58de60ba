"A page that compares two pictures in the visitor's browser: python tools/browser.py FOLDER [MODEL]. tools/docs.py puts it on the site."
import json,re,subprocess,tarfile,tempfile
from pathlib import Path
from fastcore.script import call_parse

ort_version = '1.30.0'
here = Path(__file__).parent

def get_runtime(to):
    "Put onnxruntime-web into a folder; False, and a line, without npm or a network"
    wanted = r'package/dist/(ort\.wasm\.min\.mjs|ort-wasm-simd-threaded\.(mjs|wasm))$'
    with tempfile.TemporaryDirectory() as tmp:
        try: subprocess.run(['npm', 'pack', '--silent', '--prefer-offline', f'onnxruntime-web@{ort_version}'], cwd=tmp, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError): return bool(print('npm could not fetch onnxruntime-web: no page that compares in the browser'))
        with tarfile.open(Path(tmp)/f'onnxruntime-web-{ort_version}.tgz') as f:
            for m in f.getmembers():
                if re.search(wanted, m.name): (to/Path(m.name).name).write_bytes(f.extractfile(m).read())
    return True

def page_facts(model, file):
    "What the page has to know of a model"
    t,n = model.net.transform,model.meta.get('calibration_pairs', 1000)
    if set(t.views)-{'squash', 'crop'} or not model.meta.get('calibration'): raise ValueError('the page knows the views squash and crop, and needs a calibrated model')
    return dict(name=model.meta['name'], onnx=file.name, bytes=file.stat().st_size, size=t.size, views=list(t.views), threshold=model.threshold,
                calibration=list(model.meta['calibration']), least=1/(n+2), error_rate=model.error_rate, measured_on=model.measured_on)

def build(to, model='general', home=True):
    "Write the page and all that it loads; False where npm is missing"
    from siamese_nb import load
    from siamese_nb.apps.export import export_onnx
    to = Path(to)
    to.mkdir(parents=True, exist_ok=True)
    if not get_runtime(to): return False
    model = load(model) if isinstance(model, str) else model
    file = export_onnx(model, to/'compare.onnx')
    (to/'compare.json').write_text(json.dumps(page_facts(model, file), indent=1), encoding='utf-8')
    page = (here/'compare.html').read_text(encoding='utf-8')
    (to/'compare.html').write_text(page if home else re.sub('<p><a href="../index.html".*\n', '', page), encoding='utf-8')
    return True

@call_parse
def main(
    to:str, # folder of the page
    model:str='general' # as `load` takes it
):
    "Build the page; then: python -m http.server -d FOLDER"
    raise SystemExit(not build(to, model, home=False))
