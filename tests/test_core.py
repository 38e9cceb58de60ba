"Written whole, named by content, printed on one line: what the notebook has no room for"
import os,pickle,time
import pytest
from siamese_nb.core import *
from siamese_nb.core import read_bytes

def test_link_device_and_pipe_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path/'pipe')
    (tmp_path/'real').write_text('kept')
    (tmp_path/'link').symlink_to(tmp_path/'real')
    for name in ('pipe', 'link', '.'):
        with pytest.raises(OSError), atomic_write(tmp_path/name): pass
    assert (tmp_path/'real').read_text()=='kept'

def test_umask_is_respected(tmp_path):
    old = os.umask(0o077)
    try:
        with atomic_write(tmp_path/'a'): pass
    finally: os.umask(old)
    assert (tmp_path/'a').stat().st_mode & 0o777 == 0o600

def test_litter_of_killed_writes_goes(tmp_path):
    old,new,other = (tmp_path/n for n in ('.a.txt.111.part', '.a.txt.222.part', '.b.txt.333.part'))
    for f in (old, new, other): f.write_text('half')
    for f in (old, other): os.utime(f, (time.time()-7200,)*2)
    with atomic_write(tmp_path/'a.txt') as tmp, open(tmp, 'w') as f: f.write('whole')
    assert sorted(o.name for o in tmp_path.iterdir())==['.a.txt.222.part', '.b.txt.333.part', 'a.txt']

def test_only_regular_files_are_hashed(tmp_path):
    os.mkfifo(tmp_path/'pipe')
    with pytest.raises(OSError, match='regular'): content_hash(tmp_path/'pipe')
    (tmp_path/'a').write_bytes(b'x')
    assert content_hash(tmp_path/'a')==content_hash(b'x')

def test_unreadable_crosses_processes():
    e = pickle.loads(pickle.dumps(Unreadable('a\nb', 'torn', passing=True)))
    assert (e.path, e.reason, e.passing, str(e))==('a\nb', 'torn', True, 'a\\nb cannot be used as an image: torn')

def test_planted_link_beside_a_table_is_not_followed(tmp_path):
    (tmp_path/'victim').write_text('kept')
    (tmp_path/'t.csv.tmp').symlink_to(tmp_path/'victim')
    write_csv(tmp_path/'t.csv', ['a'], [['1']])
    assert (tmp_path/'victim').read_text()=='kept' and read_csv(tmp_path/'t.csv', ['a'])==[('1',)]

def test_no_cell_is_a_formula(tmp_path):
    "What a spreadsheet would run is text in the file, and the same name again when it is read"
    names = ['=1+1', '-a', '@b', "'=c", "'d", 'plain', '+', "''-e", '\tx', 'a"b']
    write_csv(tmp_path/'t.csv', ['n', '=x'], [(o, -1) for o in names])
    text = (tmp_path/'t.csv').read_text()
    assert not [o for o in text.splitlines() if o[:1] and o[0] in '=-+@\t'] and ',-1' in text and ",'=x" in text
    assert [o for o, in read_csv(tmp_path/'t.csv', ['n'])]==names

def test_neither_a_pipe_nor_a_device_is_read_for_ever(tmp_path):
    "Tables, recipes and results that somebody names, or that lie in somebody's folder"
    import os
    from siamese_nb.core import read_bytes,read_csv
    from siamese_nb.data.tables import table_rows
    from siamese_nb.report.page import read_results
    from siamese_nb.training.recipe import read_recipe
    pipe = tmp_path/'pipe.jsonl'
    os.mkfifo(pipe)
    for file in (pipe, '/dev/zero', tmp_path):
        for read in (read_bytes, lambda f: read_csv(f, ['path', 'label']), read_recipe, read_results):
            with pytest.raises((OSError, ValueError), match='not a regular file'): read(file)
    with pytest.raises((OSError, ValueError)): list(table_rows(pipe, ['path', 'label'])[1])
    large = tmp_path/'large'
    with open(large, 'wb') as f: f.truncate(5 << 30) # sparse: it takes no room
    with pytest.raises(ValueError, match='more than any file of ours'): read_bytes(large)

@pytest.mark.parametrize('name', [os.devnull, '.'])
def test_only_regular_files_are_read(name):
    with pytest.raises(OSError, match='not a regular file'): read_bytes(name)
