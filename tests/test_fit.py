"Training in two processes, and the corners of `fit` that make dull reading"
import os,subprocess,sys
import numpy as np
import pytest
import torch
from siamese_nb.training.checkpoint import odd_moments,read_checkpoint,unlike,write_checkpoint
from siamese_nb.training.fit import Callback, loss_name
from siamese_nb.training.all_pairs import AllPairsContrastive
from siamese_nb.model import Head
from siamese_nb.training.recipes import train_head

def features(n_classes=8, n=20, dim=12, views=2):
    "Noisy points round a centre for each class, two noisy views of each"
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, dim))
    x = (centres[:,None] + rng.normal(size=(n_classes, n, dim))).reshape(-1, 1, dim) + .1*rng.normal(size=(n_classes*n, views, dim))
    return torch.tensor(x, dtype=torch.float32),np.repeat(np.arange(n_classes), n),np.resize(['train']*7+['valid']*2+['test'], n_classes*n)

def train(out, epochs=3, **kwargs):
    torch.manual_seed(0)
    head = Head(12, 8, 16)
    return head,train_head(head, *features(), epochs=epochs, p=5, k=3, out=out, **dict(amp=False) | kwargs) # bfloat16 would round the slopes of each process's share by itself

def test_two_processes_equal_one(tmp_path):
    "15 images a batch are 8 for one process and 7 for the other; the weights end up as with one, and a tracker does not part them"
    script = tmp_path/'two.py'
    script.write_text(f"""
import atexit,os,sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from glob import glob
def left(): # asked last: a thread of gloo that outlives the interpreter can abort it
    names = [open(o).read().strip() for o in glob('/proc/self/task/*/comm')]
    if any('gloo' in o for o in names): os._exit(9)
atexit.register(left)
from test_fit import train
from siamese_nb.training.steps import of_the_first
train({str(tmp_path/"two")!r}, device="cpu", log_with="tensorboard")
assert of_the_first(7) == 7
""")
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES':'', 'OMP_NUM_THREADS':'1', 'TQDM_DISABLE':'1', 'ACCELERATE_USE_CPU':'true'}
    cmd = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_addr=127.0.0.1', '--master_port=0', '--rdzv_backend=c10d', '--rdzv_endpoint=127.0.0.1:0', str(script)]
    done = subprocess.run(cmd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr # what ended a process stands before torchrun's long words on it
    _,h = train(tmp_path/'one', device='cpu')
    one,two = (read_checkpoint(tmp_path/k/'last.ckpt') for k in ('one', 'two'))
    for k,w in one['model'].items(): assert torch.allclose(w, two['model'][k], atol=1e-4), k
    for a,b in zip(one['history'], two['history']): assert a['batch_loss'] == pytest.approx(b['batch_loss'], abs=1e-5)
    assert sorted(f.name for f in (tmp_path/'two').iterdir() ) == ['best.ckpt', 'history.csv', 'last.ckpt', 'siamese_nb']

def test_best_weights_are_left_behind(tmp_path):
    head,h = train(tmp_path)
    best = read_checkpoint(tmp_path/'best.ckpt')
    assert len(best['history']) == h.best+1
    for k,w in best['model'].items(): assert torch.equal(w, head.state_dict()[k])

def test_patience_and_a_finished_run(tmp_path):
    _,h = train(tmp_path, epochs=30, patience=1, lr=0., keep='best')
    assert len(h) == 2 and h.best == 0
    _,again = train(tmp_path, epochs=30, patience=1, lr=0., keep='best', resume=True)
    assert list(again) == list(h)

def test_errors_are_one_line(tmp_path):
    with pytest.raises(ValueError, match='use a smaller lr'): train(None, lr=1e30, clip=None, loss=Exploding())
    with pytest.raises(ValueError, match='resume without out'): train(None, resume=True)
    torch.save({'something':'else'}, tmp_path/'last.ckpt')
    with pytest.raises(ValueError, match='no checkpoint of this version'): train(tmp_path, resume=True)

def test_nothing_half_written(tmp_path, monkeypatch):
    train(tmp_path)
    before = (tmp_path/'last.ckpt').read_bytes()
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space'): train(tmp_path, epochs=4)
    assert (tmp_path/'last.ckpt').read_bytes() == before and len(list(tmp_path.iterdir())) == 3

@pytest.mark.parametrize('moment', [torch.zeros(1), torch.zeros(0), torch.zeros(16, 12, dtype=torch.float16)])
def test_forged_moments(tmp_path, moment):
    "Fused AdamW writes beyond the end of moments that are too short: exit 139 in the first version"
    train(tmp_path, epochs=3)
    s = read_checkpoint(tmp_path/'last.ckpt')
    s['history'] = s['history'][:2] # there is more to train
    s['opt']['state'][0]['exp_avg'] = moment
    write_checkpoint(tmp_path/'last.ckpt', s)
    with pytest.raises(ValueError, match='does not fit this training .exp_avg of parameter 0') as e: train(tmp_path, epochs=3, resume=True)
    assert '\n' not in str(e.value)

@pytest.mark.parametrize('change', [dict(sched={}), dict(sched=None), dict(opt=None), dict(opt={}), dict(best={}), dict(model={}), dict(loss=dict(x=1)), dict(history=[3]), dict(settings=None)])
def test_forged_states(tmp_path, change):
    train(tmp_path)
    write_checkpoint(tmp_path/'last.ckpt', read_checkpoint(tmp_path/'last.ckpt') | change)
    with pytest.raises(ValueError, match='train anew') as e: train(tmp_path, resume=True)
    assert '\n' not in str(e.value)

def test_flips_in_a_checkpoint(tmp_path):
    train(tmp_path)
    data,rng = bytearray((tmp_path/'last.ckpt').read_bytes()),np.random.default_rng(0)
    for i in rng.integers(0, 8*len(data), 500):
        data[i//8] ^= 1 << i%8
        (tmp_path/'last.ckpt').write_bytes(data)
        with pytest.raises(ValueError, match='last.ckpt .*train anew'): read_checkpoint(tmp_path/'last.ckpt')
        data[i//8] ^= 1 << i%8

class Exploding(AllPairsContrastive):
    def forward(self, e, y): return super().forward(e, y)*float('inf')

class Heard(Callback):
    "Writes down what it is told, and has enough after two epochs"
    def __init__(self): self.said = []
    def begin(self, run): self.said.append('begin')
    def epoch(self, run):
        self.said.append(run.epoch)
        run.stop = run.epoch >= 2
    def end(self, run): self.said.append('end')

def test_a_callback_hears_everything_and_may_stop():
    heard = Heard()
    _,h = train(None, epochs=9, callbacks=[heard])
    assert heard.said == ['begin', 1, 2, 'end'] and len(h) == 2

def test_history_file_marks_the_kept_epoch(tmp_path):
    import pandas as pd
    for keep,patience in (('last', None), ('best', 2)):
        _,h = train(tmp_path/keep, epochs=4, keep=keep, patience=patience)
        t = pd.read_csv(tmp_path/keep/'history.csv')
        assert t.index[t.kept].tolist() == [h.best] and (keep=='best' or h.best == len(h)-1)

def test_a_loss_given_as_partial():
    from functools import partial
    assert loss_name(partial(torch.nn.functional.mse_loss, reduction='sum')) == "mse_loss(reduction='sum')"

def test_tensorboard_gets_every_row(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    _,h = train(tmp_path, epochs=3, log_with='tensorboard')
    seen = EventAccumulator(str(next(tmp_path.glob('siamese_nb/events*')).parent)).Reload().Scalars('valid_auc')
    assert [o.step for o in seen]==list(range(1, len(h)+1))
    assert np.allclose([o.value for o in seen], [r['valid_auc'] for r in h], atol=1e-6)

def test_tracker_that_is_not_installed():
    with pytest.raises(ValueError, match='log_with'): train(None, epochs=1, log_with='no_such_tracker')

def test_where_states_differ():
    layer = torch.nn.Linear(3, 2)
    opt = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(1, 3)).sum().backward()
    opt.step()
    good = opt.state_dict()
    assert odd_moments(opt, good) == ''
    assert odd_moments(opt, dict(good, param_groups=[dict(good['param_groups'][0], lr='x')])) == 'optimiser all.0.lr'
    assert odd_moments(opt, dict(good, state={9:{}})) == 'optimiser state 9'
    assert unlike(dict(a=1), dict(a=2.5)) == ''
    assert [unlike(dict(a=1), dict(b=1)), unlike([1, 2], [1]), unlike(dict(a=[None, True]), dict(a=[None, False]))] == ['all', 'all', 'all.a.1']

def test_a_checkpoint_that_was_cut_off(tmp_path):
    train(tmp_path, epochs=2)
    (tmp_path/'last.ckpt').write_bytes((tmp_path/'last.ckpt').read_bytes()[:1000])
    with pytest.raises(ValueError, match='truncated') as e: train(tmp_path, epochs=2, resume=True)
    assert '\n' not in str(e.value)
