"""How fast the network learns, and which of its numbers are pulled towards zero."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from rsseg.training.options import OptimizerOptions


def learning_rate(step: int, *, steps: int, options: OptimizerOptions) -> float:
    """The learning rate of a step: a straight line up, then down as the schedule says.

    The first step after the line has the highest rate, `lr`; the last one of the run, and of each cosine that starts
    again, has `final_lr` times it.

    Sources: half a cosine, and cosines that start again, Loshchilov and Hutter 2017, arXiv:1608.03983, section 3, where
    `cycle_growth` is T_mult; polynomial, Chen et al. 2018, arXiv:1606.00915, section 4.1.2.

    Args:
        step: from 0 to `steps - 1`.
        steps: how many there are.
        options: which schedule.
    """
    rising = round(options.warmup * steps)
    if step < rising:
        return options.lr * (step + 1) / (rising + 1)
    cycles = options.cycles if options.schedule == "restarts" else 1
    first, end = _cycle(step - rising, steps - rising, cycles=cycles, growth=options.cycle_growth)
    progress = (step - rising - first) / max(1, end - 1 - first)
    return options.lr * (options.final_lr + (1 - options.final_lr) * _share(progress, options))


def _cycle(step: int, steps: int, *, cycles: int, growth: float) -> tuple[int, int]:
    """The first step of the cycle that holds a step, and the one after its last: they fall on whole steps."""
    lengths = list(accumulate(growth**n for n in range(cycles)))
    ends = [round(steps * length / lengths[-1]) for length in lengths]
    number = bisect_right(ends, step)
    return (ends[number - 1] if number else 0), ends[number]


def _share(progress: float, options: OptimizerOptions) -> float:
    """How much is left of the way from the highest rate to the last, after a share of the steps."""
    if options.schedule == "constant":
        return 1.0
    if options.schedule == "polynomial":
        return float((1 - progress) ** options.power)
    return 0.5 * (1 + math.cos(math.pi * progress))


def build_optimizer(network: nn.Module, *, options: OptimizerOptions) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) or SGD, over up to four groups of parameters.

    The encoder may learn slower than the rest. Kernels decay, the weights of convolutions and linear maps; norms,
    biases and the scales of attention do not, whatever their shape.

    The update is one fused kernel, which takes a sixth of the time on a CPU. It reads a gradient in the memory layout
    of its parameter, without a check: autograd gives it that layout, and whoever changes a gradient must keep it.
    """
    kernels = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    }
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [
                p
                for name, p in named
                if name.startswith("encoder.") is encoder and (id(p) in kernels) is kernel
            ],
            "weight_decay": options.weight_decay if kernel else 0.0,
            "factor": options.encoder_lr if encoder else 1.0,
        }
        for encoder in (True, False)
        for kernel in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    if options.name == "sgd":
        return SGD(groups, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov, fused=True)
    return AdamW(groups, lr=options.lr, fused=True)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Let the next step use this learning rate, each group times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]
