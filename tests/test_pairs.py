"Duller checks of siamese_nb.pairs than a lesson has room for"
from collections import Counter

import numpy as np
import pytest

from siamese_nb.data.labelled import read_labelled_pairs, read_pairs, save_pairs
from siamese_nb.data_split import Items
from siamese_nb.pairs import *
from siamese_nb.pairs import caption,sample_other,unique_pairs

def race(y, k, same, rng):
    "All pairs of one kind, each with an exponential time at the rate at which it is drawn; the first k (Efraimidis and Spirakis 2006)"
    a,b = np.triu_indices(len(y), 1)
    keep = (y[a]==y[b])==same
    a,b,size = a[keep],b[keep],np.bincount(y)[y]
    rate = 1/(size[a]-1) if same else 1/(len(y)-size[a])+1/(len(y)-size[b])
    first = np.argsort(rng.exponential(size=len(a))/rate)[:k]
    return a[first],b[first]

def test_unique_pairs_have_the_law_of_a_race():
    y,rng,n,k = np.array([0,0,0,0,1,1,2,2,2]),np.random.default_rng(0),4000,5
    for same in (True,False):
        seen = [Counter(),Counter()]
        for _ in range(n):
            for c,f in zip(seen, (unique_pairs, race)): c.update(zip(*(o.tolist() for o in f(y, k, same, rng))))
        for p in seen[0]|seen[1]: assert abs(seen[0][p]-seen[1][p]) < 5*np.sqrt(2*n*.25), (p, seen)

def test_every_pair_there_is():
    for y in (np.r_[np.zeros(141, int), np.arange(1, 131).repeat(2)], np.r_[np.zeros(4999, int), 1, 2]): # a large class beside small ones
        a,b,t = fixed_pairs(y)
        same,different = count_pairs(y)
        assert len(t)==2*min(10_000, same, different)==2*len(set(zip(a[t==0], b[t==0])))

def test_rejection_matches_weights():
    y = np.repeat(np.arange(4), [400,200,100,100])
    a,b,t = fixed_pairs(y, 2000)
    assert np.abs(np.bincount(y[a][t==0])/1000-np.array([.5,.25,.125,.125])).max()<.06

def test_many_images_are_quick():
    y = np.random.default_rng(0).integers(0, 5000, 200_000)
    a,b,t = fixed_pairs(y, 20_000)
    assert len(t)==20_000 and ((y[a]!=y[b])==t).all() and len(set(zip(a, b)))==20_000

def test_odd_names_in_pair_files(tmp_path):
    items = Items('odd', ['a/new\nline.jpg','a/caf\udce9.jpg','b/"quoted", comma.jpg'], ['a','a','b'], root=tmp_path)
    save_pairs(tmp_path/'p.csv', items, [0,1], [1,2], [0,1])
    assert [o.tolist() for o in read_pairs(tmp_path/'p.csv', items)]==[[0,1],[1,2],[0,1]]

def test_missing_column(tmp_path):
    (tmp_path/'p.csv').write_text('a,b,label,split\n')
    with pytest.raises(ValueError, match='a, b, label, split: a, b, y, split are expected'): read_labelled_pairs(tmp_path/'p.csv', Items('x', [], []))

@pytest.mark.parametrize('again', [('a/0','a/1',0), ('a/1','a/0',1)])
def test_labelled_pair_given_twice(tmp_path, again):
    items = Items('x', [f'{c}/{i}' for c in 'ab' for i in range(6)], ['a']*6+['b']*6)
    rows = [(f'{c}/{2*k}', f'{d}/{2*k+1}', int(c!=d), part) for k,part in enumerate(('train','valid','test')) for c,d in ('aa','ab')]
    (tmp_path/'p.csv').write_text('a,b,y,split\n'+''.join('{},{},{},{}\n'.format(*r) for r in [*rows, (*again, 'train')]))
    with pytest.raises(ValueError, match='row 8: the same two images as in row 2'): read_labelled_pairs(tmp_path/'p.csv', items)

def test_what_a_pair_is_called():
    assert caption(0)=='same' and caption(1, .25, .5)=='different\nd = 0.25, called same'

def test_fixed_pairs_of_any_classes():
    for y in (np.array([0,0,1]), np.repeat(np.arange(300), 2), np.arange(500)//499, np.random.default_rng(0).integers(10, size=180)):
        a,b,t = fixed_pairs(y, 2000)
        assert len(t)==2*min(1000, *count_pairs(y))==2*t.sum()==len(set(zip(a, b)))
        assert (a<b).all() and ((y[a]!=y[b])==t).all()
    assert not np.array_equal(fixed_pairs(y, seed=1)[0], fixed_pairs(y, seed=2)[0])
    with pytest.raises(ValueError, match='two images'): fixed_pairs(np.arange(5))
    with pytest.raises(ValueError, match='second class'): fixed_pairs(np.zeros(5))

def test_partners_are_equally_likely():
    y,rng = np.array([5,3,5,3,5]),np.random.default_rng(0)
    for same in (True,False):
        hits = np.array([np.bincount(sample_other(y, np.full(3000, i), same, rng), minlength=5) for i in range(5)])
        fits = ((y[:,None]==y)==same) & ~np.eye(5, dtype=bool)
        want = (3000/fits.sum(1))[:,None].repeat(5, 1)
        assert not hits[~fits].any() and (np.abs(hits-want)[fits]<5*np.sqrt(want[fits])).all()
    with pytest.raises(ValueError, match='no partner'): sample_other(np.array([0,1]), np.array([0]), True, rng)
