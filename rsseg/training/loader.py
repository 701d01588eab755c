"""Batches of samples, read ahead by a few threads while the network computes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.augment import Change, Mix
from rsseg.data.samplers import Sample, Sampler
from rsseg.prediction.stages import map_ahead
from rsseg.training.world import ALONE, World

AHEAD = 4
"""Batches that wait at most: the bound of the loader's memory."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples stacked, and after them their donors: M in all, the first `size` are what is learnt from.

    `pixels` (M, C, R, R), `valid` and `labels` (M, R, R), `changes` (M,). R is the largest side that was read; smaller
    squares lie in its middle, surrounded by what is invalid. `mixes` name the sample, its donor, and what comes of it.
    """

    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    changes: tuple[Change, ...]
    mixes: tuple[tuple[int, int, Mix], ...] = ()

    @property
    def size(self) -> int:
        """How many samples are learnt from."""
        return len(self.changes) - len(self.mixes)


def stack_samples(samples: Sequence[Sample]) -> Batch:
    """Make a batch of some samples."""
    mixed = [(number, s.mix, s.donor) for number, s in enumerate(samples) if s.mix and s.donor]
    everything = [*samples, *(donor for _, _, donor in mixed)]
    return Batch(
        pixels=_stack([s.pixels for s in everything], fill=0),
        valid=_stack([s.valid for s in everything], fill=0),
        labels=_stack([s.labels for s in everything], fill=IGNORE_INDEX),
        changes=tuple(s.change for s in everything),
        mixes=tuple((number, len(samples) + k, mix) for k, (number, mix, _) in enumerate(mixed)),
    )


def _stack(squares: Sequence[NDArray[Any]], *, fill: int) -> NDArray[Any]:
    """Stack (..., r, r) arrays of different r, each in the middle of the largest."""
    side = max(square.shape[-1] for square in squares)
    if all(square.shape[-1] == side for square in squares):
        return np.stack(squares)
    stacked = np.full((len(squares), *squares[0].shape[:-2], side, side), fill, dtype=squares[0].dtype)
    for place, square in zip(stacked, squares, strict=True):
        start = (side - square.shape[-1]) // 2
        place[..., start : start + square.shape[-1], start : start + square.shape[-1]] = square
    return stacked


def iter_batches(
    sampler: Sampler, *, first: int, stop: int, size: int, threads: int, world: World = ALONE
) -> Generator[Batch]:
    """Read the batches of the steps `first` to `stop - 1` of a run, in order, a few of them ahead.

    The batch of step s holds the samples `s * size` to `(s + 1) * size - 1` of the run; each of several processes
    reads an equal share of it, in the order of their ranks. An error of a reading thread is raised where its batch is
    taken. Close the iterator (or let it run out) to end the threads.

    Raises:
        RasterError: an image or label cannot be read.
    """
    share = size // world.size

    def read(step: int) -> Batch:
        start = step * size + world.rank * share
        return stack_samples([sampler.sample(number) for number in range(start, start + share)])

    yield from map_ahead(read, range(first, stop), threads=threads, depth=AHEAD)
