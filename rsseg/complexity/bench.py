"""Measure what memory and patience allow, and say why not the rest."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from rsseg.complexity.measure import Measurement, measure
from rsseg.complexity.memory import usable_memory
from rsseg.complexity.units import si
from rsseg.models.cost import Cost

MOST_PER_COST = 3
"""The most memory that a pass is expected to take, per byte of its cost: attention holds its scores twice, and kernels
have workspaces that nobody counts, up to half as much on a CPU."""

_FIRST_RATE = 5e9
"""MAC per second that is expected at the least before the first measurement of a subject."""


class Bench:
    """A device, and how much of its memory and of the user's time may be used; the clock starts when it is made.

    Args:
        device: where modules run.
        max_memory: bytes; what is free is a limit in any case.
        max_seconds: for everything together.
    """

    def __init__(self, device: torch.device, *, max_memory: int | None, max_seconds: float) -> None:
        self.device = device
        self._max_memory = max_memory
        self._max_seconds = max_seconds
        self._start = time.perf_counter()
        self._rates: dict[str, float] = {}

    def refusal(self, subject: str, cost: Cost) -> str:
        """Why something of this cost is not tried; empty if it is."""
        return self._memory_refusal(cost) or self._time_refusal(subject, cost)

    def measure(self, subject: str, module: nn.Module, x: Tensor) -> Measurement:
        """Measure a module on the device; what belongs to one `subject` tells how long the rest of it will take."""
        measured = measure(module, x)
        self._rates[subject] = measured.mac / measured.seconds
        return measured

    def _memory_refusal(self, cost: Cost) -> str:
        needed, usable = MOST_PER_COST * cost.memory_bytes, usable_memory(self.device)
        if self._max_memory is not None:
            usable = min(usable, self._max_memory)
        if needed <= usable:
            return ""
        return f"may need {si(needed, 'B')} of memory, {si(usable, 'B')} can be used"

    def _time_refusal(self, subject: str, cost: Cost) -> str:
        # A long pass runs twice: to warm up and to be timed.
        needed = 2 * cost.mac / self._rates.get(subject, _FIRST_RATE)
        left = self._max_seconds - (time.perf_counter() - self._start)
        if needed <= left:
            return ""
        return f"would take about {needed:,.1f} s, {max(left, 0):.1f} s are left of {self._max_seconds:g} s"
