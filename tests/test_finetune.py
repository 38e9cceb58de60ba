"Fine-tuning: what moves, what is stored, and whether an interruption leaves a trace."
import errno
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from unittest import mock
import numpy as np
import pytest
import torch
from siamese_nb.data_split import get_digits
from siamese_nb.model import Head
from siamese_nb.nets.heads import Heads
from siamese_nb.nets.backbones import chain, freeze, last_step, make_backbone
from siamese_nb.nets.model_file import load_model, save_model
from siamese_nb.train import embed_rows
from siamese_nb.training.finetune import FoldedConv, _sealed_array, blend, fine_tune, fold_norms, learned, open_backbone, readers, source, stored_maps, train_views, train_with
from siamese_nb.training.fit import Callback
from siamese_nb.training.inputs import computed_head, make_head, read_inputs
from siamese_nb.training.recipe import KNOWN, NEW, suitable
from siamese_nb.data.batches import pk_batches
from siamese_nb.training.steps import InChunks, kept_bytes, one_cycle, param_groups
from torch import nn

digits = get_digits()
some = digits.take(np.concatenate([np.flatnonzero(digits.y==c)[:12] for c in range(6)]))
split = np.array((['train']*8+['valid']*2+['test']*2)*6)

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv('SIAMESE_NB_CACHE', str(tmp_path/'cache'))

def task(new=False, name='tiny', size=16):
    torch.manual_seed(0)
    bb = make_backbone(name, pretrained=False)
    bb.size = size
    freeze(bb)
    head = computed_head(bb) if new else Heads([Head(bb.plain, dropout=.3) for _ in range(2)])
    return read_inputs(some, bb, head)

class Interrupt(Callback):
    "Stops after an epoch is saved, as Ctrl-C would"
    def __init__(self, after): self.after = after
    def epoch(self, run):
        if run.epoch == self.after: raise KeyboardInterrupt

def run(inputs, out, recipe=KNOWN, what='last', **kw):
    return train_with(inputs, split, replace(recipe, finetune=what), epochs=3, seed=1, mirror=False, out=out, **dict(k=4) | kw)

new_split = np.array(['train']*48+['valid']*24) # classes of validation are new

@pytest.mark.parametrize('what', ['last', 'all'])
@pytest.mark.parametrize('recipe', [KNOWN, NEW])
def test_kill_and_resume_give_the_same_weights(tmp_path, monkeypatch, what, recipe):
    import siamese_nb.training.finetune as ft
    if recipe is NEW:
        monkeypatch.setattr('test_finetune.split', new_split)
        monkeypatch.setattr(ft, 'choose_share', lambda *args, **kwargs: (.5, {})) # so that something has moved
    whole,cut,again = (task(recipe is NEW) for _ in range(3))
    run(whole, tmp_path/'a', recipe, what)
    with pytest.raises(KeyboardInterrupt): run(cut, tmp_path/'b', recipe, what, callbacks=[Interrupt(2)])
    history = run(again, tmp_path/'b', recipe, what, resume=True)
    assert [r['epoch'] for r in history] == [0, 1, 2, 3]
    start = task(recipe is NEW).net.backbone.state_dict()
    assert any(not torch.equal(v, start[k]) for k,v in whole.net.backbone.state_dict().items())
    for part in ('backbone', 'head'):
        a,b = (getattr(i.net, part).state_dict() for i in (whole, again))
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert torch.equal(whole.x, again.x)
    assert {f.name for f in (tmp_path/'b').iterdir()} >= {'last.ckpt', 'best.ckpt', 'history.csv'}

@pytest.mark.parametrize('recipe', [KNOWN, NEW])
def test_how_every_backbone_is_trained(monkeypatch, recipe):
    "Clipped, in bfloat16 where that helps, warmed up, and looked at before it moves"
    import siamese_nb.training.finetune as ft
    asked,train = {},ft.train_model
    monkeypatch.setattr(ft, 'train_model', lambda *args, **kwargs: asked.update(kwargs) or train(*args, **kwargs))
    if recipe is NEW: monkeypatch.setattr('test_finetune.split', new_split)
    run(task(recipe is NEW), None, recipe)
    assert asked['clip'] == 1 and asked['amp'] and asked['check_start'] and asked.get('schedule', one_cycle) is one_cycle
    assert asked['keep'] == 'last'

def test_resume_refuses_another_training(tmp_path):
    run(task(), tmp_path)
    with pytest.raises(ValueError, match='finetune=last, now finetune=all'):
        train_with(task(), split, replace(KNOWN, finetune='all'), epochs=3, seed=1, mirror=False, out=tmp_path, resume=True, k=4)

def test_only_the_last_stage_moves_and_norms_stay(tmp_path):
    inputs = task()
    before = {k:v.clone() for k,v in inputs.net.backbone.state_dict().items()}
    run(inputs, tmp_path)
    moved = {k for k,v in inputs.net.backbone.state_dict().items() if not torch.equal(v, before[k])}
    steps = chain(inputs.net.backbone)
    at = last_step(inputs.net.backbone, steps)
    last = {id(p) for m in steps[at:] for p in m.parameters()}
    named = {n for n,p in inputs.net.backbone.named_parameters() if id(p) in last and p.ndim > 1}
    assert moved == named and inputs.net.backbone.frozen

def test_model_file_holds_what_was_measured(tmp_path):
    inputs = task()
    run(inputs, tmp_path)
    file = save_model(tmp_path/'m.safetensors', inputs.net, {})
    net,_ = load_model(file)
    pixels = torch.stack([inputs.net.transform(torch.from_numpy(np.asarray(some.open(i).convert('RGB')).copy()).permute(2,0,1)) for i in range(4)])
    assert torch.equal(net.embed(pixels), inputs.net.eval().embed(pixels))

def test_stored_maps_and_pictures_agree():
    inputs = task()
    last = open_backbone(inputs.net.backbone, 'last')
    a,b = source(inputs, 'last').features(),source(inputs, 'all').features()
    assert last and type(source(inputs, 'last')).__name__ == 'Maps' and type(source(inputs, 'all')).__name__ == 'WholePictures'
    assert (a-b).abs().max() < .02*b.abs().max()

def test_batches_of_maps_come_in_chunks():
    "A batch of any recipe needs the memory of one chunk; the gradient is that of the whole batch"
    inputs,found = task(),[]
    last = open_backbone(inputs.net.backbone, 'last')
    src = source(inputs, 'last')
    x = next(iter(pk_batches(src.data(inputs.items.y), p=5, k=4)))[0]
    assert src.model.size >= 2*KNOWN.classes_per_batch*KNOWN.images_per_class # also a last batch is one chunk
    src.tail.stage.register_forward_pre_hook(lambda m, o: found.append(len(o[0])))
    grads = []
    for size in (256, 8):
        src.model.size = size
        src.model.eval().zero_grad() # no dropout
        src.model(x).square()[:, :3].sum().backward()
        grads.append([p.grad.clone() for m in last for p in m.parameters() if p.grad is not None])
    assert found[0] == 20 and max(found[1:]) <= 8 and grads[0]
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a,b in zip(*grads))

@pytest.mark.parametrize('pool', ['mean', 'both'])
@pytest.mark.parametrize('name', ['resnet18', 'efficientnet_lite0', 'efficientnet_lite2', 'vit_tiny_patch16_224'])
def test_any_backbone(name, pool):
    "All of these are chains, and are cut before their last stage"
    bb = freeze(make_backbone(name, pretrained=False, pool=pool))
    total = sum(p.numel() for p in bb.parameters())
    open_backbone(bb, 'last')
    learns = sum(p.numel() for p in bb.parameters() if p.requires_grad)
    assert .2*total < learns < .8*total and not any(p.requires_grad for m in bb.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    assert chain(bb)

@pytest.mark.parametrize('pool', ['mean', 'both'])
def test_a_transformer_from_maps_is_the_transformer(pool):
    "Two thirds of the blocks computed once, the rest from their stored tokens"
    torch.manual_seed(0)
    bb = freeze(make_backbone('vit_tiny_patch16_224', pretrained=False, pool=pool))
    inputs = read_inputs(some.take(np.arange(4)), bb, Heads([Head(bb.plain)]))
    last = open_backbone(bb, 'last')
    src = source(inputs, 'last', mirror=False)
    a,b = src.features(),source(inputs, 'all', mirror=False).features()
    assert type(src).__name__ == 'Maps' and (a-b).abs().max() < .02*b.abs().max()
    assert {p.shape for m in last for p in m.parameters()} >= {(192,), (768, 192)} and len(last) == 6
    start = deepcopy(chain(bb)[0]).to('meta') # as for a card: nothing may stay behind
    assert start(torch.zeros(1, 3, 224, 224, device='meta')).shape == (1, 197, 192)

@pytest.mark.parametrize('name,whole', [('deit_tiny_distilled_patch16_224', True), ('hiera_tiny_224', False)])
def test_other_transformers_are_taken_apart_or_left_alone(name, whole):
    bb = freeze(make_backbone(name, pretrained=False))
    assert bool(chain(bb)) == whole and open_backbone(bb, 'last')

@pytest.mark.parametrize('name,size,what', [('resnet50', 32, 'last'), ('resnet50', 32, 'all'), ('efficientnet_lite0', 32, 'last'),
                                            ('efficientnet_lite0', 32, 'all'), ('vit_tiny_patch16_224', 224, 'last')])
def test_any_backbone_learns(name, size, what):
    "A step of training moves weights, and leaves numbers"
    few = np.arange(72) % 12 < 4 # four pictures of each class
    inputs = task(name=name, size=size)
    inputs = read_inputs(some.take(np.flatnonzero(few)), inputs.net.backbone, inputs.net.head)
    before,x = ({k:v.clone() for k,v in inputs.net.backbone.state_dict().items()}, inputs.x.clone())
    history = fine_tune(inputs, np.array(['train', 'train', 'valid', 'valid']*6), what=what, epochs=1, p=3, k=2)
    after = inputs.net.backbone.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved and not any('running' in k for k in moved) and torch.isfinite(inputs.x).all() and not torch.equal(inputs.x, x)
    assert history.tuned['reads'] == ('Maps' if what == 'last' else 'WholePictures')
    assert history.tuned['augment'] == ('mirror images' if history.tuned['reads'] == 'Maps' else 'photo_jitter')

def from_nothing():
    "A network for photographs, small ones, whose weights are random"
    torch.manual_seed(0)
    bb = make_backbone('efficientnet_lite0', pretrained=False)
    bb.size = 64
    recipe = replace(suitable(bb.frozen, size=bb.size), images_per_class=2)
    return read_inputs(some, bb, make_head(bb, recipe), recipe.views),recipe

def test_photographs_from_random_weights(tmp_path, monkeypatch):
    "All of it learns, batch norms too, on pictures that are changed and read once; a kill leaves no trace"
    import siamese_nb.training.finetune as ft
    seen = []
    monkeypatch.setattr(ft, 'photo_jitter', lambda x, *args, **kwargs: seen.append(len(x)) or x)
    monkeypatch.setattr(ft, 'read_image', lambda *args: pytest.fail('read again'))
    (whole,recipe),(cut,_),(again,_) = (from_nothing() for _ in range(3))
    before = {k:v.clone() for k,v in whole.net.state_dict().items()}
    train_with(whole, split, recipe, epochs=2, seed=1, out=tmp_path/'a')
    with pytest.raises(KeyboardInterrupt): train_with(cut, split, recipe, epochs=2, seed=1, out=tmp_path/'b', callbacks=[Interrupt(1)])
    history = train_with(again, split, recipe, epochs=2, seed=1, out=tmp_path/'b', resume=True)
    after,other = whole.net.state_dict(),again.net.state_dict()
    still = {k for k in before if torch.equal(before[k], after[k])}
    assert not any(k.startswith('backbone.net') for k in still) # weights and running statistics
    assert all(torch.equal(after[k], other[k]) for k in after) and [r['epoch'] for r in history] == [1, 2]
    assert seen and not whole.net.backbone.frozen and whole.model is whole.net

def test_more_pixels_than_memory_are_refused(monkeypatch):
    import siamese_nb.training.inputs as inputs
    monkeypatch.setattr(inputs, 'memory', lambda: 1<<20)
    with pytest.raises(ValueError, match='72 images of 64 pixels take 0.0 GiB of memory.*pretrained') as e: from_nothing()
    assert '\n' not in str(e.value)
    monkeypatch.undo()
    assert len(from_nothing()[0].x) == 72

def test_no_room_in_memory_means_files(monkeypatch):
    "Though the card would have room"
    import siamese_nb.training.finetune as ft
    monkeypatch.setattr(ft, 'room_for', lambda *args: True)
    inputs = task()
    open_backbone(inputs.net.backbone, 'all')
    assert type(source(inputs, 'all').data(some.y)).__name__ == 'Views'
    monkeypatch.setattr(ft, 'too_large', lambda size: True)
    assert type(source(inputs, 'all').data(some.y)).__name__ == 'FileViews'

def test_who_reads():
    assert readers(0, torch.device('cuda')) >= 1 and readers(0, torch.device('cpu')) == 0 and readers(3, torch.device('cpu')) == 3

def test_what_a_batch_keeps_is_counted_and_nothing_moves():
    net = make_backbone('tiny').train()
    x,before = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8),deepcopy(net.state_dict())
    whole,parts = kept_bytes(net, x),kept_bytes(InChunks(net, 1), x)
    assert whole > 100*parts and net.training and all(torch.equal(v, before[k]) for k,v in net.state_dict().items())

def test_what_was_counted_is_let_go():
    import gc,weakref
    net,gone = make_backbone('tiny').train(),[]
    net.register_forward_hook(lambda m, x, out: gone.append(weakref.ref(out)))
    kept_bytes(net, torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8))
    gc.collect()
    assert len(gone) == 2 and not any(o() is not None for o in gone)

@pytest.mark.parametrize('n', [1, 7, 8, 9, 33])
def test_chunks_of_any_batch(n):
    "In the order of the batch, with its gradient; norms that learn count each row once, and no chunk is a single row"
    torch.manual_seed(0)
    net,sizes = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),[]
    x,frozen = torch.rand(n, 5),deepcopy(net).eval()
    whole = frozen(x)
    whole.square().sum().backward()
    other = deepcopy(net).eval()
    e = InChunks(other, 8)(x)
    e.square().sum().backward()
    assert torch.allclose(e, whole, atol=1e-6)
    for a,b in zip(frozen.parameters(), other.parameters()): assert torch.allclose(a.grad, b.grad, atol=1e-5)
    if n == 1: return
    net.register_forward_hook(lambda m, x, out: sizes.append(len(x[0])))
    InChunks(net.train(), 8)(x).square().sum().backward()
    once = deepcopy(frozen).train()
    parts = -(-n//8)
    with torch.no_grad():
        for i in range(parts): once(x[i::parts])
    assert min(sizes) > 1 and max(sizes) <= 8 and net[1].momentum == .1
    assert torch.allclose(net[1].running_mean, once[1].running_mean, atol=1e-6) and torch.allclose(net[1].running_var, once[1].running_var, atol=1e-6)

def test_a_card_with_room_takes_a_batch_whole(monkeypatch):
    import siamese_nb.training.finetune as ft
    inputs = task()
    open_backbone(inputs.net.backbone, 'all')
    src = source(inputs, 'all')
    src.fit_chunks(128)
    assert src.model.size == 32 # a processor's memory is everybody's
    src.device,asked = mock.Mock(type='cuda'),[]
    monkeypatch.setattr(ft.torch, 'zeros', lambda *s, device=None, **kw: torch.full(s, 0, **kw))
    monkeypatch.setattr(ft, 'autocast', lambda device: nullcontext())
    for room,size in ((False, 32), (True, 256)):
        monkeypatch.setattr(ft, 'room_for', lambda *args, room=room: asked.append(args) or room)
        src.fit_chunks(128)
        assert src.model.size == size
    need,_,share = asked[0]
    assert need == 256*kept_bytes(src.model.model, torch.full((4, 3, 16, 16), 0, dtype=torch.uint8)) > 0 and share == .25

def test_position_codes_do_not_decay():
    bb = make_backbone('vit_tiny_patch16_224', pretrained=False)
    decay = {id(p):g['weight_decay'] for g in param_groups(bb, 1e-3, .1) for p in g['params']}
    rates = {n:decay[id(p)] for n,p in bb.named_parameters()}
    still = {n for n,r in rates.items() if r == 0}
    assert {n.split('.')[-1] for n in still} >= {'pos_embed', 'cls_token', 'bias'} and rates[next(n for n in rates if n.endswith('qkv.weight'))] == .1

def test_pictures_are_changed_a_little_each_time(monkeypatch):
    "What `photo_jitter` returns is what is trained on"
    import siamese_nb.training.finetune as ft
    seen = []
    def black(x, generator, mirror=True):
        seen.append(len(x))
        return torch.zeros_like(x)
    def learn():
        inputs = task()
        history = fine_tune(inputs, split, what='all', epochs=1, p=4, k=4, seed=3)
        return history[1]['batch_loss']
    plain = learn()
    monkeypatch.setattr(ft, 'photo_jitter', black)
    assert learn() != plain and sum(seen) == 48

def test_folded_is_the_same_function_and_gradient():
    bb = freeze(make_backbone('resnet18', pretrained=False))
    for m in bb.modules():
        if isinstance(m, nn.BatchNorm2d): m.running_mean.normal_(), m.running_var.uniform_(.5, 2)
    stage = nn.Sequential(*chain(bb)[last_step(bb, chain(bb)):]).eval()
    for m in stage.modules():
        if isinstance(m, nn.Conv2d): m.weight.requires_grad_(True)
    folded,x = fold_norms(stage),torch.randn(2, 256, 14, 14)
    assert any(isinstance(m, FoldedConv) for m in folded.modules())
    grads = []
    for net in (stage, folded):
        w = next(p for p in net.parameters() if p.requires_grad)
        w.grad = None
        y = net(x)
        y.square().sum().backward()
        grads.append((y.detach(), w.grad.clone()))
    assert torch.allclose(grads[0][0], grads[1][0], atol=1e-3) and torch.allclose(grads[0][1], grads[1][1], rtol=1e-2, atol=1e-2)

def test_pairs_and_new_classes():
    new = new_split
    inputs = task(True)
    history = fine_tune(inputs, new, True, epochs=2, mirror=False)
    assert history.tuned['share'] in (0, .25, .5, .75, 1) and len(history.tuned['merit']) == 5
    rng,rows = np.random.default_rng(0),{'train':np.arange(48), 'valid':np.arange(48, 72)}
    pairs = {}
    for part,i in rows.items():
        a,b = rng.permutation(i)[:20],rng.permutation(i)[:20]
        same = np.arange(20) % 2 == 0
        b[same] = [rng.choice(np.setdiff1d(np.flatnonzero(some.y==some.y[j]), [j])) for j in a[same]]
        pairs[part] = a,b,(some.y[a] != some.y[b]).astype(int)
    inputs = task(True)
    inputs.net.head = make_head(inputs.net.backbone, replace(NEW, heads=1))
    train_with(inputs, new, replace(NEW, heads=1, finetune='last'), epochs=1, pairs=pairs, mirror=False)
    assert torch.isfinite(embed_rows(inputs.model, inputs.x)).all()

def test_half_way_is_half_way():
    bb = task().net.backbone
    open_backbone(bb, 'last')
    before = learned(bb)
    after = {k:v+1 for k,v in before.items()}
    blend(bb, before, after, .5)
    now = learned(bb)
    assert all(torch.allclose(now[k], before[k]+.5, rtol=2e-3, atol=2e-3) and torch.equal(now[k], now[k].half().float()) for k in now)
    blend(bb, before, after, 0.)
    assert all(torch.equal(v, before[k]) for k,v in learned(bb).items())

def test_a_full_disk_means_pictures(monkeypatch):
    import siamese_nb.training.finetune as ft
    monkeypatch.setattr(ft.shutil, 'disk_usage', lambda _: type('U', (), dict(free=1000)))
    inputs = task()
    open_backbone(inputs.net.backbone, 'last')
    said = []
    assert type(source(inputs, 'last', say=said.append)).__name__ == 'WholePictures'
    assert len(said) == 1 and 'maps of them take' in said[0] and 'whole network' in said[0]

def test_a_network_that_is_no_chain_says_what_it_costs(monkeypatch):
    import siamese_nb.training.finetune as ft
    inputs,said = task(),[]
    open_backbone(inputs.net.backbone, 'last')
    monkeypatch.setattr(ft, 'chain', lambda bb: [])
    assert type(source(inputs, 'last', say=said.append)).__name__ == 'WholePictures' and len(said) == 1 and 'no chain' in said[0]
    source(inputs, 'all', say=said.append)
    assert len(said) == 1 # that was asked for

@pytest.mark.parametrize('first,then,reads', [(1000, 10**15, 'WholePictures'), (10**15, 1000, 'Maps')])
def test_an_interrupted_training_goes_on_as_it_began(tmp_path, monkeypatch, first, then, reads):
    "Whatever room the disk has by now; without maps and without room for them it says so"
    import siamese_nb.training.finetune as ft
    said = []
    def room(free): monkeypatch.setattr(ft.shutil, 'disk_usage', lambda _: type('U', (), dict(free=free)))
    room(first)
    with pytest.raises(KeyboardInterrupt): run(task(), tmp_path/'b', callbacks=[Interrupt(2)])
    room(then)
    if reads == 'Maps':
        kept, = (tmp_path/'cache').glob('maps*')
        kept.rename(tmp_path/'away')
        with pytest.raises(OSError, match='no room for .* of maps') as e: run(task(), tmp_path/'b', resume=True)
        assert e.value.errno == errno.ENOSPC and e.value.filename == str(tmp_path/'cache')
        (tmp_path/'away').rename(kept)
    history = run(task(), tmp_path/'b', resume=True, say=said.append)
    assert history.tuned['reads'] == reads and [r['epoch'] for r in history] == [0, 1, 2, 3]
    assert [('as this training began' in o) for o in said] == ([True] if reads != 'Maps' else [])

def test_an_interrupted_training_keeps_its_chunks(tmp_path, monkeypatch):
    "A card's free memory is another one today; of the chunks depend dropout and the statistics of norms that learn"
    import siamese_nb.training.finetune as ft
    sizes = []
    def fit_chunks(src, n):
        if not src.asked: src.model.size = 7
        sizes.append(src.model.size)
    monkeypatch.setattr(ft.WholePictures, 'fit_chunks', fit_chunks)
    with pytest.raises(KeyboardInterrupt): run(task(), tmp_path/'b', what='all', callbacks=[Interrupt(2)])
    monkeypatch.setattr(ft.WholePictures, 'fit_chunks', lambda src, n: sizes.append(src.asked))
    run(task(), tmp_path/'b', what='all', resume=True)
    assert sizes == [7, 7]

def test_a_picture_that_is_gone_does_not_train_as_a_black_one(monkeypatch):
    import siamese_nb.training.finetune as ft
    inputs = task()
    open_backbone(inputs.net.backbone, 'all')
    monkeypatch.setattr(ft, 'room_for', lambda *args: True)
    monkeypatch.setattr(ft, 'read_pixels', lambda items, *args: (torch.zeros(len(items), 1, 3, 16, 16), np.arange(len(items)) != 5))
    with pytest.raises(ValueError, match='were changed, or could not be read'): source(inputs, 'all').data(some.y)

def test_a_sample_of_labelled_pairs_is_drawn(monkeypatch):
    "Not the first ones, and both images of each"
    import siamese_nb.training.finetune as ft
    inputs,asked = task(True),[]
    open_backbone(inputs.net.backbone, 'last')
    monkeypatch.setattr(ft, 'whiten', lambda head, x, owner, *args: asked.append((len(x), np.asarray(owner).tolist())) or head)
    rng = np.random.default_rng(0)
    a,b = rng.permutation(40)[:20],rng.permutation(40)[:20]
    pairs = {p:(a, b, np.arange(20) % 2) for p in ('train', 'valid', 'test')}
    state = learned(inputs.net.backbone)
    ft.choose_share(inputs, source(inputs, 'last'), state, state, split, pairs, shares=(0.,), most=8)
    (n,owner), = asked
    assert n == len(owner) == 8 and owner[::2] == owner[1::2] and len(set(owner)) == 4 and set(owner) != {0, 2, 4, 6}

def test_maps_that_are_there_need_no_room(monkeypatch):
    import siamese_nb.training.finetune as ft
    inputs = task()
    open_backbone(inputs.net.backbone, 'last')
    source(inputs, 'last')
    monkeypatch.setattr(ft.shutil, 'disk_usage', lambda _: type('U', (), dict(free=1000)))
    assert type(source(inputs, 'last')).__name__ == 'Maps'

def test_a_disk_that_fills_is_noticed_before_it_is_written_to(tmp_path, monkeypatch):
    import siamese_nb.training.finetune as ft
    def full(*_): raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(ft.os, 'posix_fallocate', full, raising=False)
    with pytest.raises(OSError, match='No space left') as e: maps_of(task())()
    assert '\n' not in str(e.value) and 'maps-' in e.value.filename and not list((tmp_path/'cache').glob('*maps*'))
    def cannot(*_): raise OSError(errno.EOPNOTSUPP, 'not supported')
    monkeypatch.setattr(ft.os, 'posix_fallocate', cannot, raising=False)
    assert maps_of(task())()[1].exists()

@pytest.mark.parametrize('device,workers', [('card', 0), ('cpu', 0), ('cpu', 2)])
def test_pictures_pass_through_a_network_that_learns(device, workers, monkeypatch):
    "All of it learns, from pictures in memory or read by workers, the same from both"
    import siamese_nb.training.finetune as ft
    monkeypatch.setattr(ft, 'room_for', lambda size, _: device=='card')
    def learn(workers):
        inputs = task()
        before = learned(inputs.net.backbone.requires_grad_(True))
        freeze(inputs.net.backbone)
        history = fine_tune(inputs, split, what='all', epochs=2, p=4, k=4, workers=workers, seed=3)
        assert history.tuned['reads'] == 'WholePictures' and len(history) == 3
        return before,learned(inputs.net.backbone.requires_grad_(True))
    (before,after),(_,plain) = learn(workers),learn(0)
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved == {k for k in before if before[k].ndim > 1} and all(torch.equal(after[k], plain[k]) for k in after)

def test_memory_or_disk_makes_no_difference(monkeypatch):
    import siamese_nb.training.finetune as ft
    inputs = task()
    open_backbone(inputs.net.backbone, 'all')
    src,batch = source(inputs, 'all'),[(3, 1, 0), (0, 6, 1), (40, 2, 0)]
    from_disk = src.data(inputs.items.y).__getitems__(batch)
    monkeypatch.setattr(ft, 'room_for', lambda *_: True)
    x = src.features()
    from_memory = src.data(inputs.items.y).__getitems__(batch)
    assert torch.equal(src.features(), x) and src.pixels is not None
    assert all(torch.equal(a, b) for a,b in zip(from_disk, from_memory)) and from_memory[0].dtype == torch.uint8

def test_views_of_training():
    assert train_views(('squash', 'crop')) == ('squash', 'crop', 'squash+flip', 'crop+flip') and train_views(('squash',), False) == ('squash',)

def maps_of(inputs):
    steps = chain(inputs.net.backbone)
    return lambda: stored_maps(inputs.net.backbone, steps[:last_step(inputs.net.backbone, steps)], inputs.items, inputs.net.transform, 'cpu')

def test_every_flipped_bit_of_stored_maps_is_noticed():
    get = maps_of(task())
    x,file = get()
    good,data,rng = x.clone(),file.read_bytes(),np.random.default_rng(5)
    shape = tuple(good.shape)
    for i in [*range(130), *rng.integers(0, len(data), 60), *range(len(data)-16, len(data))]:
        file.write_bytes(data[:i]+bytes([data[i]^1<<rng.integers(8)])+data[i+1:])
        assert _sealed_array(file, shape) is None, i
    assert torch.equal(get()[0], good) and file.read_bytes()==data # made anew
    file.write_bytes(data[:-1])
    assert _sealed_array(file, shape) is None and torch.equal(get()[0], good)

def test_pictures_that_change_leave_no_maps(tmp_path, monkeypatch):
    import siamese_nb.training.finetune as ft
    get,asked = maps_of(task()),[]
    def changing(items):
        asked.append(1)
        return np.array([f'{i+len(asked):032x}' for i in range(len(items))])
    monkeypatch.setattr(ft, 'content_hashes', changing)
    with pytest.raises(ValueError, match='were changed'): get()
    assert not list((tmp_path/'cache').glob('maps*')) and not list((tmp_path/'cache').glob('.maps*'))
