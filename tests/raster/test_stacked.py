from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg.errors import OptionError, RasterError
from rsseg.raster import RasterSource, handles, open_raster, open_stacked
from rsseg.raster import reader as reader_module
from rsseg.tiling import Window
from tests.raster.make import UTM, noise, write_tiff

RGBA = {"colors": ["red", "green", "blue", "alpha"]}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Four bands, of which alpha leaves out the first five columns, and 0 the next three."""
    data = noise(4)
    data[3] = 255
    data[3, :, :5] = 0
    data[:3, :, 5:8] = 0
    return write_tiff(tmp_path / "photo.tif", data, nodata=0, **RGBA, **UTM)


@pytest.fixture
def heights(tmp_path: Path) -> Path:
    """One band of floats, -9999 in the last two columns and 0 in the two before."""
    data = noise(1, dtype="float32") / 7
    data[:, :, -2:] = -9999
    data[:, :, -4:-2] = 0
    return write_tiff(tmp_path / "heights.tif", data, nodata=-9999, **UTM)


def opened(*paths: Path, bands: Any = None, channels: int = 4, **options: Any) -> RasterSource:
    return open_stacked(*paths, bands=bands, channels=channels, **options)


def test_the_bands_of_the_second_file_follow_those_of_the_first(photo: Path, heights: Path) -> None:
    with opened(photo, heights) as both, open_raster(photo) as first, open_raster(heights) as second:
        pixels = both.read(both.grid.window)
        expected = [first.read(first.grid.window), second.read(second.grid.window)]

    assert both.bands == (1, 2, 3, 5)
    assert (both.dtype, pixels.data.dtype) == ("float32", np.float32)
    np.testing.assert_array_equal(pixels.data, np.concatenate([part.data for part in expected]))
    np.testing.assert_array_equal(pixels.valid, expected[0].valid & expected[1].valid)
    assert pixels.valid.all(axis=0).tolist() == [False] * 8 + [True] * 38 + [False] * 2
    assert [Path(name).name for name in both.files] == ["photo.tif", "heights.tif"]


@pytest.mark.parametrize("bands", [(5, 3, 1), (1, 5, 5), (5, 2, 5), (2, 5, 1)])
def test_numbers_beyond_the_first_files_bands_count_into_the_second(
    photo: Path, heights: Path, bands: tuple[int, ...]
) -> None:
    with opened(photo, heights, bands=bands, channels=3) as both:
        found = both.read(both.grid.window)
    with open_raster(photo, bands=[1, 2, 3, 4]) as first, open_raster(heights) as second:
        stored = [*first.read(first.grid.window).data, *second.read(second.grid.window).data]

    assert both.bands == bands
    np.testing.assert_array_equal(found.data, np.stack([stored[band - 1] for band in bands]))
    assert not found.valid[:, :5].any()


def test_a_nodata_value_speaks_of_the_first_file_only(photo: Path, heights: Path) -> None:
    """In a photo 0 may mean that nothing is there; a height of 0 is ground."""
    with opened(photo, heights, nodata=0.0) as both:
        valid = both.read(both.grid.window).valid.all(axis=0)

    assert valid.tolist() == [False] * 8 + [True] * 38 + [False] * 2


def test_without_nodata_no_value_counts_in_either(photo: Path, heights: Path) -> None:
    with opened(photo, heights, nodata=None) as both:
        valid = both.read(both.grid.window).valid.all(axis=0)

    assert valid.tolist() == [False] * 5 + [True] * 43


def test_colours_are_found_in_both_files(tmp_path: Path) -> None:
    data = noise(4)
    bgr = write_tiff(tmp_path / "bgr.tif", data[:3], colors=["blue", "green", "red"], **UTM)
    more = write_tiff(tmp_path / "more.tif", data[3:], **UTM)

    with opened(bgr, more, names=("red", "green", "blue", "nir")) as both:
        found = both.read(both.grid.window).data

    np.testing.assert_array_equal(found, data[[2, 1, 0, 3]])
    assert any("takes bands 3,2,1 as red, green, blue" in note for note in both.notes)


def test_any_window_is_cut_from_the_whole_also_of_strips(
    photo: Path, heights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "_WIDE", 8)
    with opened(photo, heights) as both:
        frame = both.grid.window.expanded(9)
        whole = both.read(frame)
        window = Window(-5, 3, 30, 12)
        part = both.read(window)

    rows, cols = window.slices(frame)
    assert both.is_striped
    np.testing.assert_array_equal(part.data, whole.data[:, rows, cols])
    np.testing.assert_array_equal(part.valid, whole.valid[rows, cols])


def test_small_versions_hold_both(photo: Path, heights: Path) -> None:
    with opened(photo, heights) as both:
        small = both.read_decimated(max_side=12)

    assert small.data.shape == (4, 10, 12)
    assert not small.valid[:, 0].any()


def test_another_grid_is_refused(photo: Path, tmp_path: Path) -> None:
    other = write_tiff(tmp_path / "other.tif", noise(1, rows=39), **UTM)

    with pytest.raises(RasterError, match=r"other\.tif: is 48 x 39 px, .*photo\.tif is 48 x 40 px"):
        opened(photo, other)


def test_a_second_file_that_lies_nowhere_is_laid_upon_the_first(photo: Path, tmp_path: Path) -> None:
    plain = write_tiff(tmp_path / "plain.tif", noise(1))

    with opened(photo, plain) as both:
        notes = both.notes

    assert notes == (f"{plain}: has no georeference; its pixels are taken to lie upon those of {photo}",)


@pytest.mark.parametrize(
    ("bands", "error", "message"),
    [
        ((1, 2, 3, 6), RasterError, r"band 6; .*photo.tif has bands 1 to 4, .*heights.tif the bands 5 to 5"),
        ((1, 2, 3, 4), OptionError, r"names no band of .*heights\.tif"),
        ((5, 5, 5, 5), OptionError, r"names no band of .*photo\.tif"),
    ],
)
def test_bands_that_leave_a_file_unused_or_do_not_exist_are_refused(
    photo: Path, heights: Path, bands: tuple[int, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        opened(photo, heights, bands=bands)


def test_a_second_file_with_all_the_bands_leaves_none_for_the_first(photo: Path) -> None:
    with pytest.raises(RasterError, match="has 3 bands besides alpha, the weights expect 3 with those of"):
        opened(photo, photo, channels=3)


def test_an_error_leaves_neither_open(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_tiff(tmp_path / "other.tif", noise(1, rows=39), **UTM)
    datasets: list[Any] = []
    original = handles.open_dataset
    monkeypatch.setattr(
        handles, "open_dataset", lambda path: (datasets.append(original(path)), datasets[-1])[1]
    )

    with pytest.raises(RasterError):
        opened(photo, other)

    assert len(datasets) == 3
    assert all(dataset.closed for dataset in datasets)
