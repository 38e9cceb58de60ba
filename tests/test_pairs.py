"Duller checks of siamese_nb.pairs than a lesson has room for"
from collections import Counter

import numpy as np
import pytest

from siamese_nb.data_split import Items
from siamese_nb.pairs import *

def test_race_is_drawing_one_by_one():
    "Listing all pairs and racing them gives the law of drawing anchors and throwing repeats away"
    y,rng,n,k = np.array([0,0,0,0,1,1,2,2,2]),np.random.default_rng(0),4000,5
    for same in (True,False):
        race,draw = Counter(),Counter()
        able = np.flatnonzero(np.bincount(y)[y]>1) if same else np.arange(len(y))
        for _ in range(n):
            race.update(zip(*(o.tolist() for o in unique_pairs(y, k, same, rng))))
            a = rng.choice(able, 60)
            b = sample_other(y, a, same, rng)
            draw.update(list(dict.fromkeys(zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist())))[:k])
        for p in race|draw: assert abs(race[p]-draw[p]) < 5*np.sqrt(2*n*.25), (p, race[p], draw[p])

def test_rejection_matches_weights():
    y = np.repeat(np.arange(4), [400,200,100,100])
    a,b,t = frozen_pairs(y, 2000)
    assert np.abs(np.bincount(y[a][t==0])/1000-np.array([.5,.25,.125,.125])).max()<.06

def test_many_images_are_quick():
    y = np.random.default_rng(0).integers(0, 5000, 200_000)
    a,b,t = frozen_pairs(y, 20_000)
    assert len(t)==20_000 and ((y[a]!=y[b])==t).all() and len(set(zip(a, b)))==20_000

def test_odd_names_in_pair_files(tmp_path):
    items = Items('odd', ['a/new\nline.jpg','a/caf\udce9.jpg','b/"quoted", comma.jpg'], ['a','a','b'], root=tmp_path)
    save_pairs(tmp_path/'p.csv', items, [0,1], [1,2], [0,1])
    assert [o.tolist() for o in read_pairs(tmp_path/'p.csv', items)]==[[0,1],[1,2],[0,1]]

def test_missing_column(tmp_path):
    (tmp_path/'p.csv').write_text('a,b,label,split\n')
    with pytest.raises(ValueError, match='no column y'): read_labelled_pairs(tmp_path/'p.csv', Items('x', [], []))

@pytest.mark.parametrize('again', [('a/0','a/1',0), ('a/1','a/0',1)])
def test_labelled_pair_given_twice(tmp_path, again):
    items = Items('x', [f'{c}/{i}' for c in 'ab' for i in range(6)], ['a']*6+['b']*6)
    rows = [(f'{c}/{2*k}', f'{d}/{2*k+1}', int(c!=d), part) for k,part in enumerate(('train','valid','test')) for c,d in ('aa','ab')]
    (tmp_path/'p.csv').write_text('a,b,y,split\n'+''.join('{},{},{},{}\n'.format(*r) for r in [*rows, (*again, 'train')]))
    with pytest.raises(ValueError, match='row 8: the same two images as in row 2'): read_labelled_pairs(tmp_path/'p.csv', items)
