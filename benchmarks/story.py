"Numbers that story quotes, made with the code that story shows: its third exercise (train on two, four or eight digits, judge on two others), and, where Caltech-101 is at hand, its new classes of photographs split by whether ImageNet has them"
import json
from pathlib import Path
import numpy as np
import pandas as pd
import torch

def story():
    "What the notebook's code defines, up to and with `judge`; pictures and cells that need Caltech-101 left out"
    nb = json.loads((Path(__file__).parent.parent/'nbs'/'story.ipynb').read_text(encoding='utf-8'))
    cells = [''.join(c['source']) for c in nb['cells'] if c['cell_type']=='code']
    names,last = dict(random_net=None, display=lambda *_: None),next(i for i,s in enumerate(cells) if 'def judge(' in s)
    for s in cells[:last]:
        if '#| caltech' not in s and ('fig-alt' not in s or 'get_digits' in s): exec(s, names)
    exec(cells[last].split('\njudged')[0], names)
    return names,[s.replace('caltech_cells()', '') for s in cells[last+1:]]

def photographs(s, cells):
    "Accuracy on story's new classes of photographs, those that ImageNet has and those that it has not"
    s = s | dict(random_net=None)
    wanted = ('import get_caltech101', 'get_caltech101(classes', 'extract(freeze', 'def trained_head')
    for c in cells:
        if any(w in c for w in wanted): exec(c, s)
    photos,f,part = s['photos'],s['f'],s['parts']['new classes']
    met = pd.read_csv(Path(__file__).parent.parent/'graphs'/'strangers'/'imagenet.csv', keep_default_na=False).set_index('class')['imagenet']!=''
    known,test = np.array([met[o] for o in photos.labels]),part=='test'
    a,b,_ = s['fixed_pairs'](photos.y[test], 4000)
    rows = []
    for name,net in {'backbone alone':torch.nn.Identity(), 'with a head':s['heads']['new classes']}.items():
        d,t = s['distances'](net, f[part=='valid'], photos.y[part=='valid'])
        h = s['grid'][np.argmax([((d>=h)==t).mean() for h in s['grid']])]
        d,t = s['distances'](net, f[test], photos.y[test])
        for kind,of in (('ImageNet has them', known[test]), ('ImageNet has not', ~known[test])):
            keep = of[a] & of[b]
            rows.append((kind, name, len(set(photos.y[test][of])), keep.sum(), ((d>=h)==t)[keep].mean()))
    print(pd.DataFrame(rows, columns=['classes', 'network', 'n', 'pairs', 'accuracy']).round(3).to_string(index=False))

def main():
    (s,later),rows = story(),[]
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
    print(f"pixels on 1 and 8, the digits that story tests: {best(torch.nn.Flatten(), np.isin(y, (1, 8))):.3f}")
    try: photographs(s, later)
    except OSError as e: print(f'photographs left out: {e}')

if __name__=='__main__': main()
