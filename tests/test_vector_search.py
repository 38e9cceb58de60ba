"Tables that are searched where they lie: the right model, filters, rows that come and go, an index that says what it misses"
import numpy as np
import pytest
from siamese_nb.apps.vectors import vector_table,write_table

lance = pytest.importorskip('lance')
from siamese_nb.apps.vector_search import VectorTable,exact_rows,index_facts,make_index,measure_index,renew_index

FACTS = dict(model='stub', dim='16', distance='euclidean', threshold='0.8')
IMAGE = np.zeros((8, 8, 3), np.uint8)

class Stub: dim,threshold,meta = 16,.8,dict(name='stub')

def vectors(n, seed=0):
    rng = np.random.default_rng(seed)
    e = (rng.normal(size=(40, 16))[rng.integers(0, 40, n)]+.5*rng.normal(size=(n, 16))).astype(np.float32)
    return e/np.linalg.norm(e, axis=1, keepdims=True)

@pytest.fixture
def table(tmp_path):
    e = vectors(1500)
    e[::50] = np.nan # pictures that could not be read
    return write_table(vector_table([f"{'apples' if i%3 else 'pears'}/{i:04d}.jpg" for i in range(1500)], e, FACTS), tmp_path/'t.lance'),e

def test_exact(table):
    file,e = table
    ds,ok = lance.dataset(str(file)),np.isfinite(e).all(1)
    d,rows = exact_rows(ds, e[1:4], 7)
    true = np.linalg.norm(np.where(ok[:, None], e, 9)[None]-e[1:4, None], axis=2)
    assert np.array_equal(rows, np.argsort(true, axis=1)[:, :7]) and np.allclose(d, np.sort(true, axis=1)[:, :7], atol=1e-5)
    found = VectorTable(Stub(), file).search(IMAGE, 7, e=e[1])
    assert [o['path'][-8:-4] for o in found]==[f'{i:04d}' for i in rows[0]]
    assert np.allclose([o['distance'] for o in found], d[0], atol=1e-3) and [o['same'] for o in found]==[bool(o<.8) for o in d[0]]

def test_filters(table):
    file,e = table
    t = VectorTable(Stub(), file)
    assert all(o['path'].startswith('pears/') for o in t.search(IMAGE, 9, label='pears', e=e[1]))
    assert [o['path'] for o in t.search(IMAGE, 9, under='apples/000', e=e[1])][:1]==['apples/0001.jpg'] and len(t.search(IMAGE, 9, under='apples/000', e=e[1]))==6
    assert not len(t.search(IMAGE, 9, label="o'range", e=e[1]))

def test_index_says_what_it_misses(table):
    file,e = table
    ds = lance.dataset(str(file))
    assert make_index(ds) is None and index_facts(ds) is None # small: compared with all
    known = make_index(ds, least=1000, sample_rate=64)
    assert known['recall']>=.9 and index_facts(lance.dataset(str(file)))==known
    q = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32) # like no cluster: their neighbours lie in many
    true = exact_rows(ds, q, 10)[1]
    assert measure_index(ds, q, true, dict(probes=1, refine=1))<.9<.99<measure_index(ds, q, true, dict(probes=known['partitions'], refine=50))

def test_rows_come_and_go(table):
    file,e = table
    make_index(lance.dataset(str(file)), least=1000, sample_rate=64)
    lance.write_dataset(vector_table(['new/1.jpg'], -3*e[1:2], FACTS), file, mode='append')
    lance.dataset(str(file)).delete("path = 'apples/0001.jpg'")
    for _ in range(2): # before and after the index takes them in
        t = VectorTable(Stub(), file)
        assert t.search(IMAGE, 1, e=-3*e[1])[0]['path']=='new/1.jpg'
        assert 'apples/0001.jpg' not in [o['path'] for o in t.search(IMAGE, 5, e=e[1])]
        renew_index(t.ds)

def test_only_its_own_model(table, tmp_path):
    class Other(Stub): meta = dict(name='other')
    with pytest.raises(ValueError, match='another model'): VectorTable(Other(), table[0])
    with pytest.raises(FileNotFoundError, match='no table'): VectorTable(Stub(), tmp_path/'none.lance')

def test_directions_beside_a_table_are_sealed(tmp_path):
    "Whoever passes a table on might turn one bit, or forge the threshold"
    import torch
    from types import SimpleNamespace
    from siamese_nb.apps.small import KIND,Fewer,with_fewer
    from siamese_nb.nets.sealed import save_sealed
    model,w = SimpleNamespace(dim=6),np.eye(6, 3, dtype=np.float32)
    Fewer(model, w, .5).save(tmp_path)
    file = tmp_path/'fewer.safetensors'
    again = with_fewer(model, tmp_path)
    assert (again.w==w).all() and again.threshold==.5
    data = file.read_bytes()
    for i in range(0, 8*len(data), 7):
        bad = bytearray(data)
        bad[i//8] ^= 1 << i%8
        file.write_bytes(bad)
        with pytest.raises(ValueError): with_fewer(model, tmp_path)
    for odd,facts in ((dict(w=torch.full((6, 3), torch.nan)), dict(threshold=.5)), (dict(w=torch.eye(6, 3)), dict(threshold=-1.)), (dict(w=torch.eye(6, 3)), {}), ({}, dict(threshold=.5))):
        save_sealed(file, odd, facts, KIND)
        with pytest.raises(ValueError, match='make the table anew'): with_fewer(model, tmp_path)
    Fewer(SimpleNamespace(dim=5), w[:5], .5).save(tmp_path)
    with pytest.raises(ValueError, match='another model'): with_fewer(model, tmp_path)
