"""Batches of samples, read ahead by a few threads while the network computes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.data.samplers import Sampler
from rsseg.prediction.stages import map_ahead

AHEAD = 4
"""Batches that wait at most: the bound of the loader's memory."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples stacked: `pixels` (N, C, H, W), `valid` and `labels` (N, H, W), `gain` (N,), `offset` (N, C)."""

    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]


def read_batch(sampler: Sampler, *, epoch: int, number: int, size: int) -> Batch:
    """Read batch `number` of an epoch: sample `number * size` and those that follow.

    Raises:
        RasterError: an image or label cannot be read.
    """
    samples = [sampler.sample(epoch, index) for index in range(number * size, (number + 1) * size)]
    return Batch(
        pixels=np.stack([s.pixels for s in samples]),
        valid=np.stack([s.valid for s in samples]),
        labels=np.stack([s.labels for s in samples]),
        gain=np.stack([s.gain for s in samples]),
        offset=np.stack([s.offset for s in samples]),
    )


def iter_batches(
    sampler: Sampler, *, first: int, stop: int, per_epoch: int, size: int, threads: int
) -> Generator[Batch]:
    """Read the batches of the steps `first` to `stop - 1` of a run, in order, a few of them ahead.

    Step s is batch `s % per_epoch` of epoch `s // per_epoch`. An error of a reading thread is raised where its batch
    is taken. Close the iterator (or let it run out) to end the threads.
    """

    def read(step: int) -> Batch:
        epoch, number = divmod(step, per_epoch)
        return read_batch(sampler, epoch=epoch, number=number, size=size)

    yield from map_ahead(read, range(first, stop), threads=threads, depth=AHEAD)
