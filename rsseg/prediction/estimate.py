"""What a network takes, found by running it: the memory of its tensors and the time of a raster."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from rsseg.models.cost import count_memory
from rsseg.models.registry import network_entry
from rsseg.prediction.plan import Plan
from rsseg.prediction.setup import Setup
from rsseg.tiling.plan import padded_length
from rsseg.weights import Limits, Weights, build_unfilled

_PIPELINE_RATE = 20e6
"""Pixels that reading, stitching and writing take in a second on two cores."""

_COUNTED_SIDE = 128
"""Side of what the network is shown to count its tensors, in pixels."""

_TIMED_SIDE = 512
"""Side of what is timed for an estimate, in pixels."""


def tensor_bytes(weights: Weights, *, side: int) -> float:
    """What the network's tensors take at once for a pixel of a square, in float32, logits included.

    A small square tells it, since tensors grow with the pixels. Where attention compares positions with one another
    they do not, and nobody can look into an exported graph: there the card's network is counted without data.

    Args:
        weights: the network, in eval mode on the CPU.
        side: of the square, in pixels.
    """
    bands, entry = len(weights.card.bands), network_entry(weights.card.architecture)
    if entry.context_passes is None or weights.limits != Limits():
        network = build_unfilled(weights.card).eval()
        return count_memory(network, torch.empty(1, bands, side, side, device="meta")) / side**2
    small = padded_length(min(side, _COUNTED_SIDE), stride=entry.stride)
    return count_memory(weights.network, torch.zeros(1, bands, small, small)) / small**2


def with_seconds(plan: Plan, setup: Setup) -> Plan:
    """The plan with an estimate of its time, from some noise that the network sees now, twice.

    A tile is cut down to `_TIMED_SIDE` where the network takes that, and its time grows with the pixels. Reading and
    writing hide behind the network; where that is small they take longer than it, so the estimate has a floor. Tiles
    without data cost less than it says.
    """
    read = plan.tiles[0].read
    side = setup.side or _TIMED_SIDE
    rows, cols = min(read.height, side), min(read.width, side)
    noise = np.random.default_rng(0).integers(
        1, 255, (1, len(setup.weights.card.bands), rows, cols), dtype=np.uint8
    )
    everywhere = np.ones((1, rows, cols), dtype=np.bool_)
    setup.forward.decide(noise, everywhere, wanted=everywhere)  # to warm up
    started = time.perf_counter()
    setup.forward.decide(noise, everywhere, wanted=everywhere)
    of_pixel = max((time.perf_counter() - started) / (rows * cols), 1 / _PIPELINE_RATE)
    cost = plan.tile_cost * len(plan.decided) + plan.context_cost
    return replace(plan, seconds=cost * read.pixels * of_pixel)
