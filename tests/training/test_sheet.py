"""The sample sheet: which windows, and what is drawn of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from rsseg.classes import ClassInfo, ClassTable
from rsseg.data.scenes import DataSet, Scene, open_dataset, plan_dataset
from rsseg.tiling import plan_tiles
from rsseg.training.sheet import MAX_SIDE, Example, choose_examples, draw_sheet
from tests.data.labelled import replace_label, write_tiles
from tests.making import THREE, write_raster

SPLIT = {"train": ["a"], "val": ["b", "c"]}
GREY = (228, 228, 228)
RED, GREEN, BLUE = (c.rgb for c in THREE)


@contextmanager
def opened(folder: Path) -> Iterator[DataSet]:
    with open_dataset(plan_dataset(folder)) as dataset:
        yield dataset


def tiles_of(*scenes: Scene, tile: int = 16) -> list[Example]:
    return [
        Example(scene=scene, tile=t)
        for scene in scenes
        for t in plan_tiles(scene.image.grid.width, scene.image.grid.height, tile=tile, halo=0, stride=1)
    ]


def label(folder: Path, name: str, *patches: tuple[int, int, int]) -> None:
    """Class 0 with squares of 8 px: column, row, class."""
    ids = np.zeros((40, 48), np.uint8)
    for col, row, value in patches:
        ids[row : row + 8, col : col + 8] = value
    replace_label(folder, name, ids)


def test_every_class_has_a_window_and_the_scenes_take_turns(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split=SPLIT)
    label(folder, "b", (32, 16, 1), (0, 0, 1))
    label(folder, "c", (16, 16, 2))

    with opened(folder) as data:
        chosen = choose_examples(tiles_of(*data.val), classes=3, count=4)

    found = [(e.scene.name, e.tile.keep.col_off, e.tile.keep.row_off) for e in chosen]
    assert found[:2] == [("c.tif", 16, 16), ("b.tif", 0, 0)]  # the rarest first
    assert len(set(found)) == 4
    assert [name for name, *_ in found].count("b.tif") == 2


def test_a_window_with_many_classes_is_preferred_to_one_full_of_a_single_class(tmp_path: Path) -> None:
    folder = write_tiles(tmp_path / "d", split={"train": ["a", "c"], "val": ["b"]})
    label(folder, "b", (0, 0, 1), (8, 0, 1), (0, 8, 1), (8, 8, 1), (32, 16, 1), (40, 16, 2), (16, 24, 2))

    with opened(folder) as data:
        (chosen,) = choose_examples(tiles_of(*data.val), classes=3, count=1)

    assert (chosen.tile.keep.col_off, chosen.tile.keep.row_off) == (32, 16)


def test_there_are_no_more_windows_than_tiles(tmp_path: Path) -> None:
    with opened(write_tiles(tmp_path / "d", split=SPLIT)) as data:
        assert len(choose_examples(tiles_of(*data.val, tile=64), classes=3)) == 2


def brightest(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What stands for a network: the class of a pixel is its brightest band."""
    return np.where(valid, pixels.argmax(axis=1), 255).astype(np.uint8)


def drawn(folder: Path, classes: ClassTable = THREE) -> NDArray[np.uint8]:
    with opened(folder) as data:
        png = draw_sheet(brightest, tiles_of(*data.val, tile=64), classes, title="$x^{ after")
    return (imread(io.BytesIO(png))[..., :3] * 255).round().astype(np.uint8)


def area(picture: NDArray[np.uint8], color: tuple[int, int, int]) -> float:
    """How many pixels of a picture have a colour, in panels of 40 x 48 px."""
    scale = 215 * 215 * 40 / 48
    return float((picture == color).all(axis=-1).sum() / scale)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split={"train": ["a", "c"], "val": ["b"]})


def test_image_label_and_prediction_are_drawn_in_their_colours(folder: Path) -> None:
    pixels = np.zeros((3, 40, 48), np.uint8)
    pixels[:] = np.array([20, 90, 150])[:, None, None]  # blue is predicted everywhere
    write_raster(folder / "images" / "b.tif", pixels)
    ids = np.full((40, 48), 255, np.uint8)
    ids[:, :24] = 1
    replace_label(folder, "b", ids)

    picture = drawn(folder)

    assert area(picture, (20, 90, 150)) == pytest.approx(1, abs=0.1)
    assert area(picture, GREEN) == pytest.approx(0.5, abs=0.1)
    assert area(picture, GREY) == pytest.approx(0.5, abs=0.1)
    assert area(picture, BLUE) == pytest.approx(1, abs=0.1)
    assert area(picture, RED) == 0  # not even in the legend


def test_pixels_without_data_are_grey_in_all_three(folder: Path) -> None:
    pixels = np.full((3, 40, 48), 100, np.uint8)
    pixels[:, :, 12:] = 0
    write_raster(folder / "images" / "b.tif", pixels, nodata=0)
    replace_label(folder, "b", np.ones((40, 48), np.uint8))

    assert area(drawn(folder), GREY) == pytest.approx(3 * 0.75, abs=0.2)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(np.uint16, 1000, 3000), (np.float32, -0.5, 0.25), (np.float32, np.nan, 0.25)]
)
def test_other_pixel_types_are_stretched(folder: Path, dtype: Any, low: float, high: float) -> None:
    pixels = np.ones((5, 40, 48), dtype)
    pixels[0, :, :24], pixels[0, :, 24:] = low, high
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", pixels)
    replace_label(folder, "b", np.full((40, 48), 2, np.uint8))
    classes = ClassTable(tuple(ClassInfo(k, f"c{k}", "#102030") for k in range(5)))

    picture = drawn(folder, classes)

    if np.isnan(low):  # no data, and the rest all alike
        assert area(picture, (0, 0, 0)) == pytest.approx(0.5, abs=0.1)
    else:
        assert area(picture, (255, 0, 0)) == pytest.approx(0.5, abs=0.1)
        assert area(picture, (0, 0, 0)) == pytest.approx(0.5, abs=0.1)


def test_an_image_of_one_band_is_grey(folder: Path) -> None:
    pixels = np.zeros((1, 40, 48), np.uint16)
    pixels[0, :, 24:] = 500
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", pixels)
    replace_label(folder, "b", np.ones((40, 48), np.uint8))

    assert area(drawn(folder), (0, 0, 0)) == pytest.approx(0.5, abs=0.1)


def test_a_large_window_is_drawn_from_some_of_its_pixels(tmp_path: Path) -> None:
    side = 2 * MAX_SIDE
    folder = write_tiles(tmp_path / "d", size=(side, side), split={"train": ["a", "c"], "val": ["b"]})
    ids = np.zeros((side, side), np.uint8)
    ids[::2, ::2] = 1
    replace_label(folder, "b", ids)

    with opened(folder) as data:
        png = draw_sheet(brightest, tiles_of(*data.val, tile=side), THREE, title="")

    picture = (imread(io.BytesIO(png))[..., :3] * 255).round().astype(np.uint8)
    columns = np.flatnonzero((picture == GREEN).all(axis=-1).sum(axis=0) > 200)
    assert len(columns) > 200  # a whole panel in the colour of every second pixel
