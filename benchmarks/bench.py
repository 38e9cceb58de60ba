"Everything measured side by side in one run, a few minutes on two cores. Writes tables and pictures to graphs/bench."
import os
from pathlib import Path
import pandas as pd
import torch
from fastcore.script import call_parse
from siamese_nb.data_split import *
from siamese_nb.plots import *
from siamese_nb.data.folders import *
from siamese_nb.data.datasets import *
from siamese_nb.nets.devices import fast_bf16
import growth,original
from ratios import ratios

def picture(table, file):
    "Ratios as bars"
    import matplotlib.pyplot as plt
    fig,ax = plt.subplots(figsize=(7,.45*len(table)+1), layout='constrained')
    names = [f'{a}: {b.split(",")[0]}' if n>1 else a for a,b,n in zip(table['what'], table['other'], table.groupby('what')['what'].transform('size'))]
    ax.barh(names, table['ratio'], color=['#0072B2' if r>=1.005 else '#999999' for r in table['ratio']])
    ax.axvline(1, color='black', lw=1, ls='--')
    ax.invert_yaxis()
    ax.set(xscale='log', xlabel='times as fast as the other (dashed: equal)', xlim=(.4, 8))
    ax.set_xticks([.5, 1, 2, 4, 8], ['0.5', '1', '2', '4', '8'])
    ax.minorticks_off()
    fig.savefig(file, dpi=100)
    plt.close(fig)

def keep(rows, out, name, digits=3):
    "A table as CSV, shown too"
    table = pd.DataFrame(rows)
    numbers = table.select_dtypes('float').columns
    table[numbers] = table[numbers].map(lambda v: round(v) if v>=10**digits else float(f'{v:.{digits}g}'))
    table.to_csv(out/f'{name}.csv', index=False)
    print(f'\n{name}', table.to_string(index=False), sep='\n', flush=True)
    return table

@call_parse
def main(root:str=None, # where Caltech-101 lies; without it, whatever needs images is left out
         n:int=1024, # images in the ratios of reading and embedding
         quick:bool=False, # small sizes: does everything run?
         out:str='graphs/bench'): # folder for tables and pictures
    "Measure, print, write"
    found,out = find_caltech101(root),Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keep(growth.memory(str(found or ''), quick), out, 'memory')
    use_style()
    items,n = get_caltech101(root) if found else None,n//8 if quick else n
    picture(keep(ratios(items and growth.some(items, n), n, quick), out, 'bench'), out/'bench.png')
    table = growth.with_slopes(pd.DataFrame(growth.rows(items, quick)))
    growth.picture(keep(table, out, 'growth'), out/'growth.png')
    if items:
        epoch = table.loc[table['what']=='an epoch of training'].iloc[-1]
        table = keep(original.original(items, n, epoch['seconds']*len(items)/epoch['n'], quick), out, 'original')
        original.picture(table, out/'original.png')
    print(f'{os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads, bf16 {"used" if fast_bf16("cpu") else "not used"}')
