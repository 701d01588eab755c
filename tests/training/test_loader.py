"""Batches: the samples of their steps, in order, whatever the threads do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rsseg.data.augment import Mix
from rsseg.data.options import AugmentOptions, SampleOptions
from rsseg.data.samplers import Sample, Sampler
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.errors import RasterError
from rsseg.training.loader import Batch, iter_batches, stack_samples
from rsseg.training.world import ALONE, World


@contextmanager
def sampler_of(folder: Path, augment: AugmentOptions | None = None) -> Iterator[Sampler]:
    with open_dataset(plan_dataset(folder)) as data:
        yield Sampler(data, SampleOptions(window=16, augment=augment or AugmentOptions()))


def batches_of(
    folder: Path, *, threads: int = 1, first: int = 0, stop: int = 5, size: int = 4, world: World = ALONE
) -> list[Batch]:
    with sampler_of(folder) as sampler:
        batches = iter_batches(sampler, first=first, stop=stop, size=size, threads=threads, world=world)
        return list(batches)


def same(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("pixels", "valid", "labels"))


def samples_of(batches: list[Batch]) -> list[bytes]:
    return [pixels.tobytes() for batch in batches for pixels in batch.pixels]


def test_step_s_has_the_samples_from_s_times_the_size(folder: Path) -> None:
    batch = batches_of(folder, size=3)[4]

    with sampler_of(folder) as sampler:
        samples = [sampler.sample(number) for number in (12, 13, 14)]
    assert np.array_equal(batch.pixels, np.stack([s.pixels for s in samples]))
    assert np.array_equal(batch.labels, np.stack([s.labels for s in samples]))
    assert batch.pixels.shape == (3, 3, 16, 16)
    assert [change.gain for change in batch.changes] == [s.change.gain for s in samples]
    assert batch.size == 3


@pytest.mark.parametrize("first", [0, 3])
def test_threads_and_an_earlier_stop_change_nothing(folder: Path, first: int) -> None:
    one, four = batches_of(folder), batches_of(folder, threads=4, first=first)

    assert len(four) == 5 - first
    assert all(same(a, b) for a, b in zip(one[first:], four, strict=True))


@pytest.mark.parametrize("size", [2, 4])
def test_processes_share_the_batch_of_one_in_the_order_of_their_ranks(folder: Path, size: int) -> None:
    alone = samples_of(batches_of(folder))

    each = [samples_of(batches_of(folder, world=World(rank, size))) for rank in range(size)]

    share = 4 // size
    shared = [own[step * share : (step + 1) * share] for step in range(5) for own in each]
    assert [sample for part in shared for sample in part] == alone
    assert len(set(alone)) == len(alone)


def test_a_smaller_square_lies_in_the_middle_of_what_is_invalid(folder: Path) -> None:
    with sampler_of(folder) as sampler:
        small = sampler.sample(0)
    large = grown(small, by=3)

    batch = stack_samples([small, large])

    middle = np.s_[..., 3:-3, 3:-3]
    assert np.array_equal(batch.pixels[0][middle], small.pixels)
    assert np.array_equal(batch.labels[0][middle], small.labels)
    assert np.array_equal(batch.pixels[1], large.pixels)
    around = np.ones((22, 22), bool)
    around[middle] = False
    assert not batch.valid[0][around].any()
    assert (batch.labels[0][around] == 255).all()


def grown(sample: Sample, *, by: int) -> Sample:
    def around(array: NDArray[Any]) -> NDArray[Any]:
        return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(by, by)] * 2)

    return replace(
        sample, pixels=around(sample.pixels), valid=around(sample.valid), labels=around(sample.labels)
    )


def test_donors_follow_the_samples_and_are_not_learnt_from_themselves(folder: Path) -> None:
    with sampler_of(folder) as sampler:
        first, second, third, donor = (sampler.sample(number) for number in range(4))
    mix = Mix(top=0.5)

    batch = stack_samples([first, replace(second, mix=mix, donor=donor), third])

    assert batch.size == 3
    assert batch.mixes == ((1, 3, mix),)
    assert np.array_equal(batch.pixels[3], donor.pixels)
    assert batch.changes[3] is donor.change


def test_an_error_of_a_reading_thread_is_raised_once_and_nothing_hangs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Sampler, number: int) -> None:
        raise RasterError(f"sample {number} is gone")

    with sampler_of(folder) as sampler:
        monkeypatch.setattr(Sampler, "sample", fail)
        batches = iter_batches(sampler, first=2, stop=10, size=3, threads=2)
        with pytest.raises(RasterError, match="sample 6 is gone"), closing(batches):
            next(batches)
