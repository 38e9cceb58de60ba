"Feed the project damaged files for as long as you like: `python tools/fuzz.py images --minutes 60`, or `files` for models, checkpoints and caches. A signal, a hang or a traceback is reported with the number of its case and its bytes are kept."
import argparse,importlib,os,resource,signal,subprocess,sys,tempfile,time,traceback
from pathlib import Path

TARGETS = {'images':'fuzz_images', 'files':'fuzz_files'} # a module with `Cases(seed, formats)`, which gives (name, bytes) for a number, and `check(file, number)`, which gives '' or a fault
BLOCK,PATIENCE,MEMORY = 500,20,8 # cases a worker, seconds of processor time a case, GB of addresses

def work(target, seed, first, n, folder, formats):
    "Run some cases in this process; write the number of each down first"
    cases,file,at = target.Cases(seed, formats),folder/'case.bin',folder/'at'
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY<<30, MEMORY<<30))
    for i in range(first, first+n):
        name,b = cases(i)
        file.write_bytes(b)
        at.write_text(f'{i} {name}')
        signal.setitimer(signal.ITIMER_PROF, PATIENCE) # ends the process
        try: fault = target.check(file, i)
        except Exception: fault = traceback.format_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        if fault: print(f'FAULT {i} {name} {" | ".join(fault.splitlines())[-600:]}', flush=True)
    at.write_text('')

def block(target, seed, first, n, folder, formats, out):
    "Run some cases in a worker. The faults, and how many cases were run"
    (folder/'at').write_text('')
    cmd = [sys.executable, __file__, target, '--seed', seed, '--worker', first, '--cases', n, '--folder', folder, *(['--formats', *formats] if formats else [])]
    p = subprocess.run([str(o) for o in cmd], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    faults,at = [o[6:] for o in p.stdout.splitlines() if o.startswith('FAULT')],(folder/'at').read_text()
    if p.returncode==0 and not at: return faults,n
    if not at: sys.exit(f'the worker did not begin: exit status {p.returncode}')
    how = f'more than {PATIENCE} s' if p.returncode==-signal.SIGPROF else f'signal {-p.returncode}' if p.returncode<0 else f'exit {p.returncode}'
    i,name = at.split()
    (out/f'{target}-{seed}-{i}.bin').write_bytes((folder/'case.bin').read_bytes())
    return [*faults, f'{i} {name} {how}'],int(i)+1-first

def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('target', choices=TARGETS)
    ap.add_argument('--minutes', type=float, default=1, help='of processor time')
    ap.add_argument('--cases', type=int, help='so many, whatever the time')
    ap.add_argument('--seed', type=int, default=0)
    ap.add_argument('--first', type=int, default=0, help='number of the first case')
    ap.add_argument('--formats', nargs='*', help='of these only')
    ap.add_argument('--out', default='.', help='folder for the files of faults')
    ap.add_argument('--worker', type=int, help=argparse.SUPPRESS)
    ap.add_argument('--folder', help=argparse.SUPPRESS)
    a = ap.parse_args()
    if a.worker is not None:
        sys.path.insert(0, str(Path(__file__).parent))
        return work(importlib.import_module(TARGETS[a.target]), a.seed, a.worker, a.cases, Path(a.folder), a.formats)
    done,faults,start,said = 0,[],time.time(),0
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    with tempfile.TemporaryDirectory(dir='/dev/shm' if os.path.isdir('/dev/shm') else None) as tmp:
        while done<a.cases if a.cases else spent()<60*a.minutes:
            n = min(BLOCK if a.cases else 10*BLOCK, a.cases-done if a.cases else 10**9)
            new,ran = block(a.target, a.seed, a.first+done, n, Path(tmp), a.formats, Path(a.out))
            done += ran
            faults += new
            for o in new: print('FAULT', o, flush=True)
            if spent()-said>60: said = spent(); print(f'{done:,} cases, {said/60:.0f} minutes of processor time, {len(faults)} faults', flush=True)
    print(f'{done:,} cases of {a.target}, seed {a.seed}: {len(faults)} faults, {spent()/60:.1f} minutes of processor time, {(time.time()-start)/60:.1f} by the clock')
    sys.exit(bool(faults))

if __name__=='__main__': main()
