"""Blocks that were never written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window as Place

from rsseg.raster import open_raster
from rsseg.raster.reader import FileSource
from rsseg.raster.sparse import fills_with, is_unwritten
from rsseg.tiling import Window
from tests.making import random_pixels, write_raster


def write_holey(path: Path, *, interleave: str, nodata: float | None, band: int | None = None) -> Path:
    """64 x 48 px in blocks of 16; of all bands or one only the block at column 2, row 1 is written."""
    profile = {"width": 64, "height": 48, "count": 3, "dtype": "uint8", "tiled": True}
    with rasterio.open(
        path, "w", driver="GTiff", blockxsize=16, blockysize=16, sparse_ok=True, interleave=interleave,
        nodata=nodata, **profile,
    ) as dataset:  # fmt: skip
        written = [band] if band else [1, 2, 3]
        dataset.write(random_pixels(16, 16, bands=len(written)), written, window=Place(32, 16, 16, 16))
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_windows_are_unwritten_where_they_touch_no_written_block(tmp_path: Path, interleave: str) -> None:
    with rasterio.open(write_holey(tmp_path / "a.tif", interleave=interleave, nodata=0)) as dataset:
        assert is_unwritten(dataset, Window(0, 0, 32, 48), (1, 2, 3))
        assert is_unwritten(dataset, Window(48, 0, 16, 48), (3,))
        assert not is_unwritten(dataset, Window(0, 0, 33, 17), (1, 2, 3))
        assert not is_unwritten(dataset, Window(47, 31, 1, 1), (2,))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_bands_that_are_stored_apart_are_looked_at_one_by_one(tmp_path: Path) -> None:
    with rasterio.open(write_holey(tmp_path / "a.tif", interleave="band", nodata=0, band=2)) as dataset:
        there = Window(32, 16, 16, 16)

        assert is_unwritten(dataset, there, (1, 3))
        assert not is_unwritten(dataset, there, (1, 2))
        assert not np.any(dataset.read([1, 3], window=Place(32, 16, 16, 16)))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_what_was_never_written_reads_as_is_said(tmp_path: Path, nodata: int | None) -> None:
    with rasterio.open(write_holey(tmp_path / "a.tif", interleave="pixel", nodata=nodata)) as dataset:
        fill = int(dataset.read(1)[0, 0])

        assert fills_with(dataset, (1, 2), (fill, fill))
        assert not fills_with(dataset, (1, 2), (fill, fill + 1))
        assert not fills_with(dataset, (1, 2), ())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_of_other_formats_nothing_is_known(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.png", random_pixels(16, 16), driver="PNG", crs=None, transform=None)

    with rasterio.open(path) as dataset:
        assert not fills_with(dataset, (1,), (0,))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_source_does_not_read_what_was_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interleave: str
) -> None:
    path = write_holey(tmp_path / "a.tif", interleave=interleave, nodata=0)

    with open_raster(path) as source:
        whole = source.read(Window(0, 0, 64, 48))
        monkeypatch.setattr(FileSource, "_read_stored", None)
        hole = source.read(Window(48, 0, 16, 48))
        with pytest.raises(TypeError):
            source.read(Window(32, 16, 16, 16))

    assert not hole.valid.any()
    assert hole.data.shape == (3, 48, 16)
    assert whole.valid[16:32, 32:48].any()
    assert not whole.valid[:, 48:].any()
