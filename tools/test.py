"Run every check of the project and count them: the last line is `N passed, M failed`."
import filecmp,os,re,shutil,subprocess,sys,tempfile,time
from pathlib import Path
from nbconvert.filters import strip_ansi
from nbdev.config import get_config

cfg = get_config()
root = cfg.config_path

FAILURE = re.compile(r'(?:FAILED|ERROR) tests/|\S+\.ipynb: FAILED|\s*(?:- *)?\S+\.ipynb\s*$|[\w.]*(?:Error|Exception|Interrupt)\b')
failures = [] # lines that say what failed, shown once more at the end, where a log that was cut still has them

def sh(*cmd, cwd=root, **env):
    "Run a command, show what it prints, and return its exit status and its output"
    p = subprocess.Popen(cmd, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **env})
    out = []
    for line in p.stdout: print(line, end='', flush=True); out.append(line)
    rc = p.wait()
    plain = strip_ansi(''.join(out)).splitlines()
    if rc: failures.extend(line.strip()[:200] for line in [o for o in plain if FAILURE.match(o)][-12:] or plain[-3:])
    return rc,''.join(out)

def counted(rc, out):
    "The `N passed, M failed` of another runner; a crash that printed no count is one failure"
    n = {k:sum(map(int, re.findall(rf'(\d+) {k}', out.strip().splitlines()[-1] if out.strip() else ''))) for k in ('passed', 'failed', 'error')}
    bad = n['failed']+n['error']
    return n['passed'], max(bad, 1) if rc else bad

def one(rc, _): return (1,0) if rc==0 else (0,1)

def notebooks(): return sorted(o for o in cfg.nbs_path.rglob('*.ipynb') if not re.search(r'(^|/)[._]', str(o.relative_to(cfg.nbs_path))))

def in_sync():
    "Notebooks are clean, and the package is what they export: nothing edited by hand, nothing left over"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for o in ('settings.ini', 'setup.py', 'pyproject.toml', 'README.md'): shutil.copy(root/o, tmp)
        shutil.copytree(cfg.nbs_path, tmp/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
        (tmp/'siamese_nb').mkdir()
        for o in ('__init__.py', '__main__.py'): shutil.copy(cfg.lib_path/o, tmp/'siamese_nb') # written by hand
        for cmd in ('nbdev_export', 'nbdev_clean'):
            rc,out = sh(cmd, cwd=tmp)
            if rc: return rc,out
        a = {str(o.relative_to(root)) for d in ('nbs', 'siamese_nb') for g in ('*.ipynb', '*.py') for o in (root/d).rglob(g) if '.ipynb_checkpoints' not in str(o)}
        b = {str(o.relative_to(tmp)) for d in ('nbs', 'siamese_nb') for g in ('*.ipynb', '*.py') for o in (tmp/d).rglob(g)}
        off = sorted((a^b) | {o for o in a&b if not filecmp.cmp(root/o, tmp/o, shallow=False)})
    if off:
        failures.append(' '.join(['Not what `make export` would write:', *off]))
        print(failures[-1])
    return int(bool(off)),''

def nbdev():
    "All notebooks through nbdev_test, counted by notebook"
    rc,out = sh('nbdev_test', '--n_workers', '2', OMP_NUM_THREADS='1') # two processes: more threads than cores would wait for each other
    n,bad = len(notebooks()),len(set(re.findall(r'^\s*(?:-\s*)?(\S+\.ipynb)\s*$', out, re.M)))
    bad = max(bad, 1) if rc else 0
    return n-bad,bad

def main():
    from siamese_nb.data.datasets import find_caltech101
    here = bool(find_caltech101())
    names = [str(o.relative_to(root)) for o in notebooks()]
    course = [o for o in names if o.count('/')==1 and o!='nbs/index.ipynb']
    short = '/engineering/',*(f'nbs/0{i}_' for i in range(5)) # whose Caltech-101 cells fit the time
    more = lambda o: re.search(r'#\s*\|\s*caltech\b', (root/o).read_text(encoding='utf-8'))
    fit = [o for o in names if here and any(s in o for s in short) and more(o)] # of all others, nbdev_test has run the same cells
    fit.sort(key=lambda o: o!='nbs/04_train.ipynb') # the longest first, while the other process does the rest
    rest = [o for o in course if o not in fit] # the course in a kernel all the same, as its readers run it
    def kernel(which, *flags): return lambda: counted(*sh('python', 'tools/run_nbs.py', *which, '--workers', '2', *flags))
    steps = {'package in sync with the notebooks': lambda: one(*in_sync()),
             'README in sync with the index notebook': lambda: one(*sh('python', 'tools/readme.py', '--check')),
             'ruff': lambda: one(*sh('ruff', 'check', '.')),
             'links between notebooks': lambda: one(*sh('python', 'tools/links.py')),
             'nbdev_test': nbdev,
             **({'notebooks in a Jupyter kernel, Caltech-101 cells included': kernel(fit, '--flags', 'caltech')} if fit else {}),
             'the course in a Jupyter kernel': kernel(rest),
             'pytest': lambda: counted(*sh('python', '-m', 'pytest', '-q', '-n', '2', '--dist', 'loadfile', 'tests', OMP_NUM_THREADS='1'))}
    ok = bad = 0
    rows = []
    for name,f in steps.items():
        t = time.time()
        print(f'\n== {name}', flush=True)
        p,m = f()
        ok,bad = ok+p,bad+m
        rows.append(f'{"ok    " if not m else "FAILED"} {name}: {p} passed, {m} failed, {time.time()-t:.0f} s')
    print('\n'+'\n'.join(rows + failures)+f'\n{ok} passed, {bad} failed', flush=True)
    sys.exit(bool(bad))

if __name__=='__main__': main()
