"""Pictures as bytes, and what pages need besides: parts of images made smaller, and places in degrees."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rasterio.crs import CRS

from rsseg.raster import open_raster
from rsseg.raster.encoded import encode_jpeg, encode_palette
from rsseg.raster.ground import lon_lat
from rsseg.tiling import Window
from tests.making import random_pixels, write_raster


def test_ids_come_back_with_the_colours_of_the_palette() -> None:
    colors = [(255, 0, 0, 255), (0, 200, 0, 90), (0, 0, 0, 0)]
    ids = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.uint8)

    with Image.open(io.BytesIO(encode_palette(ids, colors))) as picture:
        found = np.asarray(picture.convert("RGBA"))

    np.testing.assert_array_equal(found, np.array(colors, np.uint8)[ids])


def test_ids_beyond_the_palette_are_clear() -> None:
    with Image.open(io.BytesIO(encode_palette(np.full((1, 1), 200, np.uint8), [(1, 2, 3, 255)]))) as picture:
        assert picture.convert("RGBA").getpixel((0, 0)) == (0, 0, 0, 0)


def test_a_jpeg_looks_like_its_picture() -> None:
    rgb = np.zeros((16, 24, 3), np.uint8)
    rgb[:, 8:] = (200, 120, 40)

    with Image.open(io.BytesIO(encode_jpeg(rgb))) as picture:
        found = np.asarray(picture).astype(int)

    assert abs(found - rgb).mean() < 6


def test_a_part_of_an_image_made_smaller_is_that_part_of_it(tmp_path: Path) -> None:
    pixels = random_pixels(40, 60)
    window = Window(10, 20, 32, 16)

    with open_raster(write_raster(tmp_path / "a.tif", pixels)) as source:
        small = source.read_decimated(max_side=8, window=window).data
        full = source.read_decimated(max_side=100, window=window).data

    part = pixels[:, 20:36, 10:42]
    np.testing.assert_array_equal(full, part)
    assert small.shape == (3, 4, 8)
    blocks = part.reshape(3, 4, 4, 8, 4).mean(axis=(2, 4))
    assert abs(small - blocks).max() <= 1


def test_a_place_of_a_map_has_a_longitude_and_a_latitude() -> None:
    assert lon_lat(CRS.from_epsg(32631), 500_000, 0) == pytest.approx((3.0, 0.0), abs=1e-9)
    assert lon_lat(CRS.from_epsg(4326), 85.5, 27.6) == pytest.approx((85.5, 27.6))


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        (CRS.from_string("+proj=longlat +R=3396190 +no_defs +type=crs"), 10.0, 20.0),
        (CRS.from_epsg(32631), 1e12, 1e12),
    ],
    ids=["Mars", "beyond the map"],
)
def test_what_is_nowhere_on_earth_has_none(crs: CRS, x: float, y: float) -> None:
    assert lon_lat(crs, x, y) is None
