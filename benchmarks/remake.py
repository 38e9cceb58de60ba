"Results, pictures and report of a run made again from its model, split and pairs, without training: after a change of what is said about a run"
import json,shutil,time
import numpy as np
import pandas as pd
from fastcore.script import call_parse
from siamese_nb import run
from siamese_nb.core import read_csv
from siamese_nb.data.datasets import get_items
from siamese_nb.pairs import draw_pairs
from siamese_nb.nets.backbones import make_backbone
from siamese_nb.nets.features import extract
from siamese_nb.nets.model_file import load_model
from siamese_nb.report.files import RunFiles,begin,data_identity
from siamese_nb.report.page import repeat_command
from siamese_nb.run import Job,describe,frozen_embeddings,measure,run_id
from siamese_nb.train import History
from siamese_nb.training.inputs import Inputs
from siamese_nb.training.recipe import suitable,to_dict

class Kept(dict):
    "Times are those of the training"
    def __setitem__(self, k, v): pass

def features(net, items):
    "What the head reads; the cache may hold the wider features of a run on new classes, of which the first half are these"
    bb = net.backbone
    if bb.dim > bb.plain: return extract(bb, items, net.transform)
    wide = make_backbone(bb.name, pool='both')
    x,ok = extract(wide, items, net.transform)
    return x[..., :wide.plain],ok

@call_parse
def main(name:str, # of the run
         root:str=None, # where caltech101 lies
         out:str='.', # holds weights/ and graphs/
         keep:str='last', # which epoch the run kept: 'last' or 'best'
         collapse:float=None): # loss of a network that gives one distance to all pairs
    "Make results.json, the pictures and report.html of a finished run again"
    files = RunFiles(out, name)
    old,start = json.loads((files.graphs/'results.json').read_text()),time.perf_counter()
    if old.get('tuned') or old['recipe'].get('prototypes'): raise SystemExit(f'{name}: its backbone was fine-tuned, or its head has prototypes: run siamese_run again')
    net,_ = load_model(files.weights/'model.safetensors')
    items = get_items(old['data'], root, old['classes'])
    part = {p:s for p,s in read_csv(files.weights/'split.csv', ['path','split'])}
    split = np.array([part[p] for p in items.paths])
    pairs = draw_pairs(items, split, seed=old['seed'])
    at = {p:i for i,p in enumerate(items.paths)}
    for p in ('valid','test'): pairs[p] = tuple(np.array([(at[a], at[b], int(y)) for a,b,y in read_csv(files.weights/f'pairs_{p}.csv', ['a','b','y'])]).T)
    x,ok = features(net, items)
    assert ok.all()
    inputs = Inputs(items, x, net, [], old['seconds']['embed'])
    history = History(pd.read_csv(files.weights/'history.csv').drop(columns='kept', errors='ignore').to_dict('records'), tolerance=.002, keep=keep, collapse=collapse)
    job = Job(old['data'], files, old['protocol'], old['classes'], old['seed'])
    both = measure(job, inputs, split, pairs, frozen_embeddings(inputs))
    recipe = suitable(True, job.new)
    about = dict(identity=data_identity(items.name, None if old['data'] in ('digits','caltech101') else items.root, zip(items.paths, items.labels)))
    results = describe(job, inputs, split, *both, history, run=run_id(job, inputs, split, pairs, recipe), early=[], recipe=to_dict(recipe), seconds=Kept(old['seconds']), **about)
    begin(files, dict(data=job.data, **about))
    run.save_model = lambda file, *args, **kwargs: shutil.copyfile(files.weights/'model.safetensors', file) # it has not changed
    run.write_run(job, inputs, split, both, history, results, repeat_command(results), start)
    print({k:(old['test'][k], results['test'][k]) for k in ('accuracy','roc_auc','eer')}, results['warnings'], f'{time.perf_counter()-start:.0f} s')
