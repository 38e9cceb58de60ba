"Fair clocks: what is compared takes turns, and growth is a slope."
import gc,subprocess,sys,time
import numpy as np

def seconds(*fs, rounds=5):
    "Best time of each function; they take turns, so that a busy machine troubles all of them alike"
    best = [float('inf')]*len(fs)
    for _ in range(rounds+1): # the first round warms up and is beaten later
        for i,f in enumerate(fs):
            gc.collect()
            start = time.perf_counter()
            f()
            best[i] = min(best[i], time.perf_counter()-start)
    return best

def python(*args):
    "A fresh process; what it prints"
    return subprocess.run([sys.executable, *map(str, args)], check=True, stdout=subprocess.PIPE, text=True).stdout

def row(what, n, unit, ours, other, t, u):
    "A line of the table of ratios: n units in t seconds, against u seconds the other way"
    return dict(what=what, n=n, unit=unit, ours=ours, other=other, **{'ours/s':n/t, 'other/s':n/u, 'ratio':u/t})

def slope(n, t):
    "Exponent k of t ~ n^k, by least squares on logarithms: 1 is linear"
    return np.polyfit(np.log(n), np.log(t), 1)[0]
