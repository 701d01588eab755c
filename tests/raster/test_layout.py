"""How rasters are stored."""

from __future__ import annotations

from pathlib import Path

import rasterio

from rsseg.raster.layout import Layout, read_layout
from tests.making import random_pixels, write_raster


def test_a_tiled_compressed_raster(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif", random_pixels(64, 64), tiled=True, blockxsize=32, blockysize=16, compress="deflate",
        interleave="pixel",
    )  # fmt: skip

    assert read_layout(path) == Layout(
        driver="GTiff",
        compression="deflate",
        block_shape=(16, 32),
        block_bytes=3 * 16 * 32,
        has_overviews=False,
        is_remote=False,
        all_valid=True,
    )


def test_bands_that_are_stored_apart_have_blocks_of_their_own(tmp_path: Path) -> None:
    pixels = random_pixels(64, 64).astype("uint16")

    layout = read_layout(write_raster(tmp_path / "a.tif", pixels, interleave="band", blockysize=8))

    assert (layout.block_shape, layout.block_bytes, layout.compression) == ((8, 64), 2 * 8 * 64, "")


def test_overviews_are_seen(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_pixels(64, 64))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])

    assert read_layout(path).has_overviews


def test_a_local_address_is_not_remote(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_pixels(16, 16))

    assert not read_layout(f"file://{path}").is_remote


def test_a_raster_that_declares_nodata_may_miss_pixels(tmp_path: Path) -> None:
    assert not read_layout(write_raster(tmp_path / "a.tif", random_pixels(16, 16), nodata=0)).all_valid
