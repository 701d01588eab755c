"""One number from 0 to 1 for work of several stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

Progress = Callable[[float], None]
"""Is told the share done, from 0 to 1."""


def split_progress(on_progress: Progress, costs: Sequence[float]) -> list[Progress]:
    """One callback for each of several stages that follow one another, of these costs; 0 for one that is left out."""
    bounds = list(accumulate(costs, initial=0.0))
    total = bounds[-1]

    def stage(start: float, end: float) -> Progress:
        return lambda share: on_progress((start * (1 - share) + end * share) / total)

    return [stage(start, end) for start, end in pairwise(bounds)]
