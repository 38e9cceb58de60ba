"The frozen backbone on a processor: PyTorch in several ways, ONNX Runtime and OpenVINO, on the same pictures in one run. Writes graphs/bench/runtimes.csv; its rows `fused` are of the private mkldnn operations that the first version had, measured in the same run before they were removed."
import copy,io,time,warnings
from pathlib import Path
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from torch.fx.experimental.optimization import fuse
from siamese_nb.data.images import open_image
from siamese_nb.data.images import as_tensor,squash
from siamese_nb.nets.backbones import make_backbone

def exported(net, pixels):
    "The network as ONNX bytes, any number of pictures"
    out = io.BytesIO()
    with torch.no_grad(),warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(net, (pixels,), out, input_names=['pixels'], output_names=['features'], dynamo=False, dynamic_axes={'pixels':{0:'n'}, 'features':{0:'n'}})
    return out.getvalue()

def in_torch(net, bf16=False, fold=False):
    "PyTorch as published, or with batch norms folded, in float32 or bfloat16"
    net = copy.deepcopy(net).eval()
    if fold: net.net = fuse(net.net)
    net = net.to(memory_format=torch.channels_last)
    if bf16: net.net = net.net.to(torch.bfloat16)
    def run(x):
        with torch.inference_mode(): return net(x).float().numpy()
    return run

def in_onnxruntime(onnx):
    "ONNX Runtime, one thread"
    import onnxruntime as ort
    how = ort.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    session = ort.InferenceSession(onnx, how, providers=['CPUExecutionProvider'])
    return lambda x: session.run(None, dict(pixels=x.numpy()))[0]

def in_openvino(onnx, kind):
    "OpenVINO, one thread, in a kind of number"
    import openvino as ov
    core = ov.Core()
    core.set_property('CPU', dict(INFERENCE_NUM_THREADS=1))
    net = core.compile_model(core.read_model(io.BytesIO(onnx)), 'CPU', dict(INFERENCE_PRECISION_HINT=kind, INFERENCE_NUM_THREADS=1, NUM_STREAMS=1))
    request = net.create_infer_request()
    return lambda x: request.infer([x.numpy()])[0].copy()

def ways(bb, size):
    "Name -> function from uint8 pixels to features"
    onnx = exported(bb, torch.zeros(2, 3, size, size, dtype=torch.uint8))
    found = {'PyTorch, as published':in_torch(bb), 'PyTorch, batch norms folded':in_torch(bb, fold=True)}
    if torch.cpu._is_avx512_bf16_supported(): found['PyTorch, folded, bfloat16'] = in_torch(bb, True, True)
    for name,make in {'ONNX Runtime':lambda: in_onnxruntime(onnx), 'OpenVINO':lambda: in_openvino(onnx, 'f32'), 'OpenVINO, bfloat16':lambda: in_openvino(onnx, 'bf16')}.items():
        try: found[name] = make()
        except ImportError as e: print(f'{name} left out: {e}')
    return found

@call_parse
def main(folder:str, # any photographs
         backbone:str='efficientnet_lite0', # its name
         n:int=64, # photographs
         rounds:int=8, # of which the best counts
         batch:int=8, # photographs a step
         out:str='graphs/bench/runtimes.csv'): # the table
    "CPU seconds are counted, of all threads: on a busy machine they lie less than a clock"
    torch.set_num_threads(1)
    files = sorted(f for f in Path(folder).rglob('*') if f.suffix.lower() in ('.jpg','.jpeg','.png'))
    bb = make_backbone(backbone).eval()
    x = torch.stack([squash(as_tensor(open_image(f)), bb.size) for f in files[::max(1, len(files)//n)][:n]])
    all_ways,best,e = ways(bb, bb.size),{},{}
    for _ in range(rounds+1):
        for name,run in all_ways.items():
            cpu,wall = time.process_time(),time.perf_counter()
            f = np.concatenate([run(part) for part in x.split(batch)])
            cpu,wall = time.process_time()-cpu,time.perf_counter()-wall
            best[name] = tuple(map(min, best.get(name, (9e9, 9e9)), (cpu, wall)))
            e[name] = f/np.linalg.norm(f, axis=1, keepdims=True)
    base,rows = e['PyTorch, as published'],[]
    for name,(cpu,wall) in best.items():
        one = np.concatenate([all_ways[name](x[i:i+1]) for i in range(16)])
        one /= np.linalg.norm(one, axis=1, keepdims=True)
        rows.append({'way':name, 'images per CPU second':len(x)/cpu, 'images per second':len(x)/wall, 'times as published':best['PyTorch, as published'][0]/cpu,
                     'lowest cosine to float32':(e[name]*base).sum(1).min(), 'distance, alone and in a batch':np.linalg.norm(one - e[name][:16], axis=1).max()})
    table = pd.DataFrame(rows).round({'images per CPU second':1, 'images per second':1, 'times as published':2, 'lowest cosine to float32':6, 'distance, alone and in a batch':7})
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    print(table.to_string(index=False))
