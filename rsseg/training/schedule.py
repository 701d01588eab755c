"""How fast the network learns, and which of its numbers are pulled towards zero."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW, Optimizer

FINAL_SHARE = 0.01
"""The learning rate ends at this share of its peak."""

_KERNEL_AXES = (2, 4)


def learning_rate(step: int, *, steps: int, peak: float, warmup: float) -> float:
    """The learning rate of a step: a straight line up, then half a cosine down.

    Args:
        step: from 0 to `steps - 1`.
        steps: how many there are.
        peak: the highest rate.
        warmup: the share of the steps that the line takes, 0 to 1.
    """
    rising = round(warmup * steps)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    progress = (step - rising) / max(1, steps - 1 - rising)
    return peak * (FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def build_optimizer(network: nn.Module, *, lr: float, weight_decay: float) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) that decays kernels, but no norms, biases and scales.

    These are told apart by their number of axes: a linear map has two and a convolution four; a norm has one, or
    three where it has a scale for every position.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim in _KERNEL_AXES]
    others = [p for p in parameters if p.ndim not in _KERNEL_AXES]
    groups = [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW([g for g in groups if g["params"]], lr=lr)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Let the next step use this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
