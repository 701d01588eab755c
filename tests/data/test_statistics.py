"""The scaling of new weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsseg.data.options import SampleOptions
from rsseg.data.samplers import Sampler
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.data.statistics import plan_scaling
from rsseg.preprocess import Scaling, default_scaling
from tests.data.labelled import write_tiles
from tests.making import write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}


def scaling_of(folder: Path, *, window: int = 48) -> Scaling:
    with open_dataset(plan_dataset(folder)) as data:
        return plan_scaling(data, Sampler(data, SampleOptions(window=window)))


def fill(folder: Path, pixels: np.ndarray, **profile: object) -> None:
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", pixels, **profile)


def test_rgb_of_8_bits_has_the_usual_scaling(tmp_path: Path) -> None:
    assert scaling_of(write_tiles(tmp_path / "d", split=SPLIT)) == default_scaling(3)


def test_other_images_are_measured(tmp_path: Path) -> None:
    """Windows as large as the image: each sample sees all of it."""
    folder = write_tiles(tmp_path / "d", size=(40, 40), split=SPLIT)
    pixels = np.random.default_rng(0).integers(1, 4000, (4, 40, 40)).astype(np.uint16)
    fill(folder, pixels)

    scaling = scaling_of(folder, window=40)

    assert scaling.dtype == "uint16"
    assert scaling.mean == pytest.approx(pixels.mean(axis=(1, 2)), abs=1e-5)
    assert scaling.std == pytest.approx(pixels.std(axis=(1, 2)), abs=1e-5)


def test_invalid_pixels_do_not_count(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", size=(40, 40), split=SPLIT)
    pixels = np.full((2, 40, 40), 10, np.float32)
    pixels[:, :20] = np.nan
    pixels[:, 30:] = 30
    fill(folder, pixels)

    scaling = scaling_of(folder, window=40)

    assert scaling.mean == (20.0, 20.0)
    assert scaling.std == (10.0, 10.0)


def test_a_constant_channel_is_not_divided_by_nothing(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    fill(folder, np.full((1, 40, 48), 7, np.uint8))

    assert scaling_of(folder) == Scaling(mean=(7.0,), std=(1.0,))


def test_images_without_a_finite_pixel_have_a_scaling_that_does_no_harm(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    fill(folder, np.full((1, 40, 48), np.inf, np.float32))

    assert scaling_of(folder) == Scaling(mean=(0.0,), std=(1.0,), dtype="float32")
