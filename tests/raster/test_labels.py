from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import LabelError, RasterError
from rsseg.raster import LabelRaster, open_label_raster
from rsseg.tiling import Window
from tests.raster.make import UTM, write_tiff

windows = st.builds(
    Window, st.integers(-30, 40), st.integers(-30, 40), st.integers(0, 50), st.integers(0, 50)
)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> LabelRaster:
    data = np.random.default_rng(0).integers(0, 4, (1, 30, 40)).astype(np.uint8)
    return open_label_raster(write_tiff(tmp_path_factory.mktemp("labels") / "l.tif", data, nodata=3, **UTM))


@given(windows)
def test_reading_a_window_equals_cutting_it_from_the_whole(labels: LabelRaster, window: Window) -> None:
    frame = labels.grid.window.expanded(100)

    part = labels.read(window)

    np.testing.assert_array_equal(part, labels.read(frame)[window.slices(frame)])


def test_nodata_and_the_outside_are_255(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "l.tif", np.array([[[0, 1, 7]]], dtype=np.uint8), nodata=7, **UTM)

    with open_label_raster(path) as labels:
        assert labels.read(Window(-1, 0, 5, 1)).tolist() == [[255, 0, 1, 255, 255]]


def test_a_palette_alpha_and_mask_are_understood(tmp_path: Path) -> None:
    palette = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}
    mask = np.array([[True, False, True]])
    data = np.array([[[0, 1, 1]], [[255, 255, 0]]], dtype=np.uint8)
    colored = write_tiff(tmp_path / "p.tif", data[:1], palette=palette, mask=mask, **UTM)
    with_alpha = write_tiff(tmp_path / "a.tif", data, colors=["gray", "alpha"], **UTM)

    with open_label_raster(colored) as a, open_label_raster(with_alpha) as b:
        assert a.read(a.grid.window).tolist() == [[0, 255, 1]]
        assert b.read(b.grid.window).tolist() == [[0, 1, 255]]


def test_wider_integers_hold_class_ids_too(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "l.tif", np.array([[[0, 254, -1]]], dtype=np.int16), nodata=-1, **UTM)

    with open_label_raster(path) as labels:
        assert labels.read(labels.grid.window).tolist() == [[0, 254, 255]]


@pytest.mark.parametrize("value", [-1, 256, 300])
def test_a_value_that_is_no_class_id_is_named(tmp_path: Path, value: int) -> None:
    path = write_tiff(tmp_path / "l.tif", np.array([[[0, value]]], dtype=np.int16), **UTM)

    with (
        open_label_raster(path) as labels,
        pytest.raises(LabelError, match=f"has the label {value}, expected"),
    ):
        labels.read(labels.grid.window)


def test_labels_shrink_to_the_nearest_class(tmp_path: Path) -> None:
    data = np.kron(np.array([[[0, 9], [9, 255]]], dtype=np.uint8), np.ones((1, 20, 20), dtype=np.uint8))
    path = write_tiff(tmp_path / "l.tif", data, **UTM)

    with open_label_raster(path) as labels:
        assert labels.read_decimated(max_side=2).tolist() == [[0, 9], [9, 255]]


def test_several_bands_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "l.tif", np.zeros((3, 4, 4), dtype=np.uint8), **UTM)

    with pytest.raises(LabelError, match="has 3 bands, expected one band of class ids"):
        open_label_raster(path)


def test_numbers_with_a_point_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "l.tif", np.zeros((1, 4, 4), dtype=np.float32), **UTM)

    with pytest.raises(LabelError, match="pixels of type float32, expected integer class ids"):
        open_label_raster(path)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="no such file"):
        open_label_raster(tmp_path / "none.tif")
