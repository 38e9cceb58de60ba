"Fine-tuning: how much of the network's own speed is left once batches are drawn, moved, changed and compared."
import numpy as np
import torch
from accelerate import Accelerator
from siamese_nb.data.batches import *
from siamese_nb.data.batches import TensorViews,on_device
from siamese_nb.model import *
from siamese_nb.nets.backbones import *
from siamese_nb.nets.devices import *
from siamese_nb.nets.devices import autocast,best_device
from siamese_nb.loss import *
from siamese_nb.training.all_pairs import *
from siamese_nb.train import *
from siamese_nb.training.steps import constant,train_epoch
from siamese_nb.training.fit import make_optimizer
from siamese_nb.training.recipes import *
from siamese_nb.training.recipes import jitter
from siamese_nb.training.finetune import photo_jitter
from timing import row,seconds

def learner(name, last, device):
    "A Siamese network of which everything learns, or the last stage and the head"
    bb = make_backbone(name, pretrained=False)
    net = SiameseNet(unfreeze_last(bb) if last else bb, Head(bb.dim)).to(device, memory_format=torch.channels_last).train()
    return net,make_optimizer(net, AllPairsContrastive(), 1e-4, .01)

def one_step(net, opt, x, device):
    "The network alone: the same batch again, forwards, backwards, and a step"
    with autocast(device): e = net(x)
    opt.zero_grad()
    e.float().square().sum().backward()
    opt.step()

def case(name, last, p, k, steps, device, change=jitter):
    "`train_epoch` on images in memory, with a new batch, `change` and the all-pairs loss in each step, against as many steps of the network alone"
    net,opt = learner(name, last, device)
    n = p*k*steps
    images = on_device(torch.randint(0, 256, (n, 1, 3, 224, 224), dtype=torch.uint8), device)
    batches = pk_batches(TensorViews(images, np.arange(n)//(n//p), change), p, k, steps)
    x,acc = images[:p*k,0].to(device),Accelerator(cpu=device.type=='cpu')
    def alone():
        for _ in range(steps): one_step(net, opt, x, device)
        if device.type=='cuda': torch.cuda.synchronize()
    def ours(): train_epoch(net, batches, AllPairsContrastive(), opt, constant(opt, 1), acc, device, lambda: autocast(device))
    t,u = seconds(ours, alone, rounds=2)
    return row(f'fine-tune {name}, {"last stage" if last else "all weights"}, {device.type}', n, 'images', 'train_epoch', 'the network alone', t, u)

def finetuning(quick):
    "On a graphics card whole backbones, on pictures that are cut and mirrored; on a processor what a processor can do"
    device = best_device()
    for name in ('resnet50', 'efficientnet_lite0', 'efficientnet_lite2')*(device.type=='cuda'):
        yield case(name, False, 32, 4, 5 if quick else 40, device, photo_jitter)
    yield case('efficientnet_lite0', True, 4, 4, 2 if quick else 6, device)
