"The general model in ONNX with 8 bits: what is lost on groceries, in size and in milliseconds, beside float32. Kinds that calibrate are not those that judge. Writes graphs/bench/int8.csv."
import logging,tempfile,time
from pathlib import Path
import numpy as np
import onnxruntime as ort
import pandas as pd
from fastcore.script import call_parse
from onnxruntime.quantization import CalibrationDataReader,QuantFormat,QuantType,quantize_dynamic,quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from siamese_nb.apps.export import export_onnx
from siamese_nb.apps.matcher import load
from siamese_nb.data.folders import get_folder
from siamese_nb.data.images import read_image
from siamese_nb.eval import pair_distances
from siamese_nb.evaluation.evaluate import metrics
from siamese_nb.evaluation.intervals import paired_intervals
from siamese_nb.evaluation.retrieval import retrieval
from siamese_nb.pairs import fixed_pairs

class Pixels(CalibrationDataReader):
    "Pictures, one at a time, for the ranges of the activations"
    def __init__(self, x): self.x = iter(x)
    def get_next(self):
        x = next(self.x, None)
        return None if x is None else dict(pixels=x[None])

def eight_bits(file, folder, x):
    "Name -> file: weights alone; weights and activations of the convolutions; of everything"
    ready = folder/'ready.onnx'
    quant_pre_process(str(file), str(ready), skip_symbolic_shape=True) # the number of pictures stays open
    out = {o:folder/f'{o}.onnx' for o in ('dynamic', 'static, convolutions', 'static, all')}
    quantize_dynamic(str(ready), str(out['dynamic']), weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=['MatMul', 'Gemm'])
    how = dict(quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    quantize_static(str(ready), str(out['static, convolutions']), Pixels(x), op_types_to_quantize=['Conv'], **how)
    quantize_static(str(ready), str(out['static, all']), Pixels(x), **how)
    return {'float32':file, **out}

def session(file):
    how = ort.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    return ort.InferenceSession(str(file), how, providers=['CPUExecutionProvider'])

def embed_in_turn(sessions, x, step=4):
    "Embeddings, and the CPU milliseconds a picture, of each; a batch goes through all of them before the next one"
    e,took = {k:[] for k in sessions},{k:[] for k in sessions}
    for i in range(0, len(x), step):
        for k,s in sessions.items():
            t = time.process_time()
            e[k].append(s.run(None, dict(pixels=x[i:i+step]))[0])
            took[k].append((time.process_time()-t)*1000/len(x[i:i+step]))
    return {k:np.concatenate(v) for k,v in e.items()},{k:np.array(v) for k,v in took.items()}

@call_parse
def main(grocery:str='../shared/grocery', # a folder of grocery kinds
         each:int=6, # pictures of a kind that judge
         calibrate:int=40, # pictures of other kinds that calibrate
         seed:int=42, # of the pairs
         out:str='graphs/bench'): # folder for the table
    "Measure, print, write"
    logging.getLogger().setLevel(logging.ERROR)
    items,model = get_folder(grocery),load('general', 'cpu')
    size = model.net.transform.size
    rows = [np.flatnonzero(items.y==c)[:each] for c in range(1, int(items.y.max())+1, 2)]
    others = np.flatnonzero(items.y%2==0)[::max(1, int((items.y%2==0).sum())//calibrate)][:calibrate]
    def pixels(some): return np.stack([model.net.transform(read_image(items, int(i), size)).numpy() for i in some])
    judged = np.concatenate(rows)
    labels = np.unique(items.y[judged], return_inverse=True)[1]
    a,b,y = fixed_pairs(labels, seed=seed)
    with tempfile.TemporaryDirectory() as d:
        files = eight_bits(export_onnx(model, Path(d)/'general.onnx'), Path(d), pixels(others))
        e,took = embed_in_turn({k:session(f) for k,f in files.items()}, pixels(judged))
        table,d0 = [],pair_distances(e['float32'], a, b)
        for k in files:
            dist = pair_distances(e[k], a, b)
            m,r = metrics(dist, y, model.threshold),retrieval(e[k], labels)
            row = dict(kind=k, MB=files[k].stat().st_size/1e6, ms=float(np.median(took[k])), times=float(np.median(took['float32']/took[k])), auc=m['roc_auc'], eer=m['eer'],
                       accuracy=m['accuracy'], **{'recall@1':r['recall@1']}, largest_change=float(np.abs(dist-d0).max()))
            if k!='float32': row |= {f'{n}, interval':tuple(np.round(v, 4).tolist()) for n,v in paired_intervals((dist, model.threshold), (d0, model.threshold), y, np.stack([labels[a], labels[b]], 1)).items()}
            table.append(row)
    t = pd.DataFrame(table).assign(kinds=len(rows), pictures=len(judged), pairs=len(y), calibrated_on=len(others), seed=seed)
    Path(out).mkdir(parents=True, exist_ok=True)
    t.round(5).to_csv(Path(out)/'int8.csv', index=False)
    print(t.T.to_string())
