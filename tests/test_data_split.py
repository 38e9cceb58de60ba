"Edge cases of data_split that are too dull for the notebook."
from dataclasses import replace
import numpy as np
import pytest
from siamese_nb.data.tables import read_split
from siamese_nb.data_split import *
from siamese_nb.data_split import joined,linked,own_split

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

digits = get_digits()

def first(n, classes=10): return digits.take(np.concatenate([np.flatnonzero(digits.y==c)[:n] for c in range(classes)]))

def test_table_of_digits():
    assert digits.paths==sorted(digits.paths) and [digits.classes[i] for i in digits.y]==digits.labels
    assert digits.file(0) is None and Items('one', ['a/b.png'], ['a'], root='c').file(0).as_posix()=='c/a/b.png'

def test_part_sizes_of_every_class():
    for n in range(3, 900):
        sizes = part_sizes(n)
        assert sum(sizes)==n and min(sizes)>=(2 if n>=6 else 1)
    assert part_sizes(50, (.5,.25,.25))==[26,12,12]
    with pytest.raises(ValueError, match='add up to 1'): part_sizes(10, (.7,.2,.2))

def test_linked_by_hand():
    assert list(linked(4, [(0,3),(3,1)]))==[0,0,1,0] and list(linked(3, []))==[0,1,2]

def test_groups_stay_together_and_shares_hold():
    groups = np.arange(1797)//3
    split = stratified_split(digits.labels, groups=groups)
    assert max(len(set(split[groups==g])) for g in set(groups))==1
    for c in range(10): assert abs((split[digits.y==c]=='test').mean()-.2)<.02
    one = joined(np.arange(1797)//300, np.arange(1797)%4) # a day and a room link everything
    assert set(stratified_split(digits.labels, groups=one))=={'train'}
    with pytest.raises(ValueError, match='6 or more'): make_split(replace(digits, groups=one))

def test_classes_that_share_a_picture_go_together():
    split = disjoint_split(digits.labels, groups=np.where(digits.y<4, 0, np.arange(1797)))
    assert len(set(split[digits.y<4]))==1
    five = disjoint_split(first(200, 5).labels)
    assert set(five)=={'train','valid','test'} # images of the training classes validate
    with pytest.raises(ValueError, match='unseen classes need 4'): disjoint_split(first(200, 3).labels)

def test_own_split():
    given = replace(digits, split=np.where(np.arange(1797)%5==0, 'test', 'train'))
    assert set(own_split(given, 'seen')[given.split=='test'])=={'test'}
    with pytest.raises(ValueError, match='class 0 is in train and in test'): own_split(given, 'unseen')
    given = replace(digits, split=np.where(digits.y<7, 'train', 'test'))
    with pytest.raises(ValueError, match='take the protocol unseen'): own_split(given, 'seen')
    split = own_split(given, 'unseen')
    assert set(split)==set(PARTS) and not set(digits.y[split=='valid'])&set(digits.y[split=='train'])

def test_too_few_images():
    with pytest.raises(ValueError, match='digits: the valid part has no two images of one class'): make_split(first(4))
    with pytest.raises(ValueError, match='0 classes'): make_split(Items('none', [], []), 'unseen')
    with pytest.raises(ValueError, match='unseen'): make_split(digits, 'random')
    for protocol in ('seen','unseen'): assert set(make_split(first(10, 5), protocol))==set(PARTS)

def test_few_images_a_class_are_enough_for_new_classes():
    "Fault 20: the line names the protocol that works, and only where it does"
    with pytest.raises(ValueError, match='--protocol unseen') as e: make_split(first(5))
    assert '\n' not in str(e.value) and set(make_split(first(5), 'unseen'))==set(PARTS)
    with pytest.raises(ValueError) as e: make_split(first(4).take(np.arange(8)))
    assert 'unseen' not in str(e.value)
