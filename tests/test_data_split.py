"Edge cases of data_split that are too dull for the notebook."
import numpy as np
from siamese_nb.data_split import *

def test_joined_is_what_walking_the_links_gives():
    rng = np.random.default_rng(0)
    for n in (1,2,30):
        pairs = rng.integers(n, size=(n//2,2)).tolist()
        group = list(range(n))
        for _ in range(n):
            for i,j in pairs: group[i] = group[j] = min(group[i], group[j])
        assert list(linked(n, pairs))==[sorted(set(group)).index(g) for g in group]

def test_stratified_split_of_odd_groups():
    labels = list('aaaaaaaaaabbbbbbbbbbcc')
    groups = [0]*10+list(range(1,13)) # class a is one picture ten times
    split = stratified_split(labels, groups=groups)
    assert len(set(split[:10]))==1 and sorted(split[10:20]).count('train')==6
    assert set(split[20:])=={'train'}
    assert list(stratified_split([]))==[]
    assert set(stratified_split(list('aaaaaaaa'), (0,0,1)))<={'train','test'}

def test_disjoint_split_keeps_single_images_in_train():
    labels = [c for c in 'abcdefgh' for _ in range(6)]+['x','y','z']
    for seed in range(20):
        split = disjoint_split(labels, seed=seed)
        assert set(split[-3:])=={'train'}
        assert {p:len({c for c,q in zip(labels, split) if q==p and c<'x'}) for p in ('train','valid','test')}=={'train':4,'valid':2,'test':2}

def test_read_csv_from_a_spreadsheet(tmp_path):
    (tmp_path/'s.csv').write_bytes('\ufefflabel,split,path\r\na,train,a/1.png\r\n'.encode())
    assert [list(o) for o in read_split(tmp_path/'s.csv')]==[['a/1.png'],['a'],['train']]
