"Our reader beside torchvision's decoder, in one process, taking turns: how fast, how far apart the pixels, how far apart the embeddings. Writes reading.csv."
import tempfile
from pathlib import Path
from time import process_time
import numpy as np
import pandas as pd
import torch
from fastcore.script import call_parse
from PIL import Image
from torch.nn.functional import cosine_similarity
from torchvision.io import ImageReadMode,decode_image
from siamese_nb.data.datasets import get_caltech101
from siamese_nb.data.images import Transform,as_tensor,read_file
from siamese_nb.nets.backbones import make_backbone

FORMATS = {'JPEG':('jpg', dict(quality=90)), 'PNG':('png', {}), 'WebP':('webp', dict(quality=90))}

def theirs(file): return decode_image(torch.from_numpy(np.fromfile(file, np.uint8)), ImageReadMode.RGB)

def in_turn(files, readers, rounds):
    "Processor seconds of each reader for all files, the best of some rounds, file by file in turn"
    best = [float('inf')]*len(readers)
    for _ in range(rounds):
        spent = [0.]*len(readers)
        for f in files:
            for k,r in enumerate(readers):
                start = process_time()
                r(f)
                spent[k] += process_time()-start
        best = list(map(min, best, spent))
    return best

@call_parse
def main(root:str=None, # where Caltech-101 lies
         n:int=48, # photographs
         rounds:int=3, # of which the best counts
         out:str='graphs/bench'): # folder for the table
    "Measure, print, write"
    torch.set_num_threads(1)
    items,t,bb,rows = get_caltech101(root),Transform(224),make_backbone('efficientnet_lite0').eval(),[]
    some = np.linspace(0, len(items)-1, n).astype(int)
    with tempfile.TemporaryDirectory() as tmp:
        for name,(ext,kwargs) in FORMATS.items():
            files = [Path(tmp)/f'{i}.{ext}' for i in some]
            for i,f in zip(some, files): items.open(i).save(f, **kwargs)
            ours,other = in_turn(files, (lambda f: t(read_file(f, 224)), lambda f: t(theirs(f))), rounds)
            gap = max(int((as_tensor(Image.open(f)).int()-theirs(f).int()).abs().max()) for f in files)
            with torch.inference_mode(): a,b = (torch.cat([bb(t(r(f))) for f in files[::4]]) for r in (lambda f: read_file(f, 224), theirs))
            rows.append({'format':name, 'photographs':n, 'images a second, times torchvision':round(other/ours, 2), 'largest difference, levels':gap,
                         'least cosine of embeddings':round(float(cosine_similarity(a, b).min()), 5)})
    table = pd.DataFrame(rows)
    table.to_csv(Path(out)/'reading.csv', index=False)
    print(table.to_string(index=False))
