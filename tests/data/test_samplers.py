"""Samples: functions of (seed, epoch, index), cut from the right place, labelled where they ought to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rsseg.data.augment import ORIENTATIONS, JitterOptions, turn
from rsseg.data.samplers import Sample, SampleOptions, Sampler
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.errors import OptionError
from tests.data.labelled import brightest, replace_label, write_tiles
from tests.making import random_pixels, write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}
PLAIN = JitterOptions(contrast=0, brightness=0, colour=0)


@contextmanager
def sampler(folder: Path, **options: object) -> Iterator[Sampler]:
    with open_dataset(plan_dataset(folder)) as data:
        yield Sampler(data, SampleOptions(**{"window": 16, **options}))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)


def same(a: Sample, b: Sample) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("pixels", "valid", "labels", "gain", "offset")
    )


def test_samples_do_not_depend_on_threads_or_order(folder: Path) -> None:
    keys = [(epoch, index) for epoch in range(3) for index in range(20)]
    with sampler(folder) as one:
        expected = [one.sample(*key) for key in keys]

    with sampler(folder) as other, ThreadPoolExecutor(4) as pool:
        backwards = list(pool.map(lambda key: other.sample(*key), reversed(keys)))

    assert all(same(a, b) for a, b in zip(expected, reversed(backwards), strict=True))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"index": 1}])
def test_seed_epoch_and_index_all_change_the_sample(folder: Path, change: dict[str, int]) -> None:
    with sampler(folder) as base, sampler(folder, seed=change.get("seed", 0)) as other:
        first = base.sample(0, 0)
        second = other.sample(change.get("epoch", 0), change.get("index", 0))

    assert not same(first, second)


def test_labels_turn_with_their_pixels(folder: Path) -> None:
    with sampler(folder) as drawn:
        samples = [drawn.sample(0, index) for index in range(30)]

    assert all(np.array_equal(s.labels, brightest(s.pixels)[0]) for s in samples)


def test_a_sample_is_a_window_of_the_image_in_one_of_eight_orientations(folder: Path) -> None:
    with sampler(folder, jitter=PLAIN) as drawn:
        sample = drawn.sample(0, 0)

    images = np.stack([random_pixels(40, 48, seed=seed) for seed in (0, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(images, (16, 16), axis=(2, 3))
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    assert any((windows == turn(sample.pixels, o)).all(axis=(3, 4, 5)).any() for o in range(ORIENTATIONS))
    assert sample.valid.all()
    assert sample.gain == 1


def test_every_labelled_pixel_is_equally_likely_to_be_in_the_middle(folder: Path) -> None:
    label = np.full((40, 48), 255, np.uint8)
    label[20, 20], label[20, 30], label[30, 20] = 0, 1, 2
    for name in "ab":
        replace_label(folder, name, label)

    with sampler(folder, window=5) as drawn:
        middles = Counter(int(drawn.sample(0, index).labels[2, 2]) for index in range(600))

    assert set(middles) == {0, 1, 2}
    assert all(150 < count < 250 for count in middles.values())


def test_windows_are_shifted_into_the_raster(folder: Path) -> None:
    with sampler(folder, window=40) as drawn:
        samples = [drawn.sample(0, index) for index in range(20)]

    assert all(s.valid.all() and (s.labels != 255).all() for s in samples)


def test_a_raster_smaller_than_the_window_is_surrounded_by_nothing(folder: Path) -> None:
    with sampler(folder, window=64) as drawn:
        sample = drawn.sample(0, 0)

    assert sample.pixels.shape == (3, 64, 64)
    assert sample.valid.sum() == 40 * 48
    assert np.array_equal(sample.labels == 255, ~sample.valid)


def test_nothing_is_learnt_from_invalid_pixels(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        pixels = random_pixels(40, 48, seed=seed)
        pixels[:, :, ::3] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)

    with sampler(folder) as drawn:
        sample = drawn.sample(0, 0)

    assert 0 < (~sample.valid).sum() < sample.valid.size
    assert np.array_equal(sample.labels == 255, ~sample.valid)


def test_windows_with_hardly_anything_to_learn_are_drawn_again(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        pixels = random_pixels(40, 48, seed=seed)
        pixels[:, :, 24:] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)

    with sampler(folder) as drawn:
        shares = [(drawn.sample(0, index).labels != 255).mean() for index in range(60)]

    assert min(shares) >= 0.05


def test_what_lies_outside_a_small_raster_does_not_count_as_unlabelled(folder: Path) -> None:
    with open_dataset(plan_dataset(folder)) as data:
        drawn = Sampler(data, SampleOptions(window=200))
        first = drawn._read(np.random.default_rng([0, 0, 0]))
        sample = drawn.sample(0, 0)

    assert (sample.labels != 255).mean() < 0.05
    assert first[2] == 40 * 48
    assert any(np.array_equal(turn(first[0].data, o), sample.pixels) for o in range(ORIENTATIONS))


def test_a_sample_is_given_even_where_nothing_better_is_found(folder: Path) -> None:
    label = np.full((40, 48), 255, np.uint8)
    label[20, 20] = 1
    for name in "ab":
        replace_label(folder, name, label)

    with sampler(folder) as drawn:
        assert (drawn.sample(0, 0).labels != 255).sum() == 1


@pytest.mark.parametrize("options", [{"window": 0}, {"seed": -1}])
def test_options_outside_their_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))} is"):
        SampleOptions(**options)  # type: ignore[arg-type]
