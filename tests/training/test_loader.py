"""Batches: the samples of their steps, in order, whatever the threads do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rsseg.data.samplers import SampleOptions, Sampler
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.errors import RasterError
from rsseg.training.loader import Batch, iter_batches
from tests.data.labelled import write_tiles

SPLIT = {"train": ["a", "b"], "val": ["c"]}


def batches_of(folder: Path, *, threads: int, first: int = 0) -> list[Batch]:
    with open_dataset(plan_dataset(folder)) as data:
        sampler = Sampler(data, SampleOptions(window=16))
        return list(iter_batches(sampler, first=first, stop=10, per_epoch=4, size=3, threads=threads))


def same(a: Batch, b: Batch) -> bool:
    return all(
        np.array_equal(getattr(a, n), getattr(b, n)) for n in ("pixels", "valid", "labels", "gain", "offset")
    )


def test_step_s_is_batch_s_of_its_epoch(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)

    batch = batches_of(folder, threads=1)[6]

    with open_dataset(plan_dataset(folder)) as data:
        sampler = Sampler(data, SampleOptions(window=16))
        samples = [sampler.sample(1, index) for index in (6, 7, 8)]
    assert np.array_equal(batch.pixels, np.stack([s.pixels for s in samples]))
    assert np.array_equal(batch.labels, np.stack([s.labels for s in samples]))
    assert batch.pixels.shape == (3, 3, 16, 16)
    assert (batch.gain.shape, batch.offset.shape) == ((3,), (3, 3))


@pytest.mark.parametrize("first", [0, 7])
def test_threads_and_an_earlier_stop_change_nothing(tmp_path: Path, first: int) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)

    one, four = batches_of(folder, threads=1), batches_of(folder, threads=4, first=first)

    assert len(four) == 10 - first
    assert all(same(a, b) for a, b in zip(one[first:], four, strict=True))


def test_an_error_of_a_reading_thread_is_raised_once_and_nothing_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)

    def fail(_self: Sampler, epoch: int, index: int) -> None:
        raise RasterError(f"sample {index} of epoch {epoch} is gone")

    with open_dataset(plan_dataset(folder)) as data:
        sampler = Sampler(data, SampleOptions(window=16))
        monkeypatch.setattr(Sampler, "sample", fail)
        batches = iter_batches(sampler, first=2, stop=10, per_epoch=4, size=3, threads=2)
        with pytest.raises(RasterError, match="sample 6 of epoch 0"), closing(batches):
            next(batches)
