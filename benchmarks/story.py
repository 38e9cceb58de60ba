"The numbers of story's third exercise, made with the functions that story shows: train on two, four or eight digits, judge on two others"
import json
from pathlib import Path
import numpy as np
import pandas as pd
import torch

def story():
    "What the notebook's code defines, up to and with `judge`; pictures and cells that need Caltech-101 left out"
    nb = json.loads((Path(__file__).parent.parent/'nbs'/'story.ipynb').read_text(encoding='utf-8'))
    cells = [''.join(c['source']) for c in nb['cells'] if c['cell_type']=='code']
    names,last = dict(random_net=None, caltech_cells=lambda: None),next(i for i,s in enumerate(cells) if 'def judge(' in s)
    for s in cells[:last]:
        if '#| caltech' not in s and 'fig-alt' not in s: exec(s.replace('caltech_cells()', ''), names)
    return names

def main():
    s,rows = story(),[]
    x,y = s['x'],s['y']
    def best(net, keep): # accuracy with the threshold that these very pairs would choose
        d,t = s['distances'](net, x[keep], y[keep])
        return max(((d>=h)==t).mean() for h in s['grid'])
    for draw in range(4):
        kinds = np.random.default_rng(draw).permutation(10)
        test = np.isin(y, kinds[:2])
        for n in (2, 4, 8):
            learn = np.isin(y, kinds[2:2+n])
            torch.manual_seed(draw)
            net = s['small_net']()
            s['train'](net, x[learn], y[learn])
            rows.append((draw, f'{n} digits', best(net, test)))
        rows.append((draw, 'pixels', best(torch.nn.Flatten(), test)))
    print(pd.DataFrame(rows, columns=['draw', 'learned from', 'accuracy']).groupby('learned from')['accuracy'].agg(['mean', 'min', 'max']).round(3))

if __name__=='__main__': main()
