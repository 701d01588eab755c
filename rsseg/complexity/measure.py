"""Run a module and take its measure: operations, memory, time.

Operations are counted (`rsseg.models.cost`). Memory is the most that was held at once besides what was there before, so
without weights and input: on a GPU what torch's allocator says, elsewhere what is counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rsseg.models.cost import Cost, count, flop_counter

_TIMED_PASSES = 3
_TIMED_SECONDS = 0.5
"""So many passes are timed, unless the first took so long."""


@dataclass(frozen=True, kw_only=True)
class Measurement(Cost):
    """A cost that was found by running, and the seconds of one pass."""

    seconds: float


@torch.no_grad()
def measure(module: nn.Module, x: Tensor) -> Measurement:
    """Run on a CPU or a GPU, where both `module` and `x` are: once to count and warm up, then to take the time."""
    counted = _count_on_gpu(module, x) if x.is_cuda else count(module, x)
    seconds = [_seconds(lambda: module(x), x.device)]
    while len(seconds) < _TIMED_PASSES and seconds[0] < _TIMED_SECONDS:
        seconds.append(_seconds(lambda: module(x), x.device))
    return Measurement(mac=counted.mac, memory_bytes=counted.memory_bytes, seconds=statistics.median(seconds))


def _count_on_gpu(module: nn.Module, x: Tensor) -> Cost:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    with flop_counter() as flops:
        module(x)
    most = torch.cuda.max_memory_allocated(x.device)
    return Cost(mac=flops.get_total_flops() // 2, memory_bytes=most - before)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
