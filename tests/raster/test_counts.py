"""Pixels and areas of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.raster import Grid
from rsseg.raster.block_file import BlockFile
from rsseg.raster.counts import add_up, count_block, count_map

UTM = Grid(600, 1300, Affine(0.5, 0, 400000, 0, -0.5, 5000000), CRS.from_epsg(32633))


def test_counts_of_all_rows_are_added_and_the_rest_has_no_class() -> None:
    counts = add_up({0: {0: 100, 1: 20}, 2: {1: 4}}, grid=UTM, classes=3)

    assert counts.pixels == (100, 24, 0)
    assert counts.nodata_pixels == 600 * 1300 - 124
    assert counts.areas_m2 == (25.0, 6.0, 0.0)
    assert counts.nodata_area_m2 == (600 * 1300 - 124) / 4


def test_in_degrees_a_pixel_further_from_the_equator_is_smaller() -> None:
    """One degree of latitude down; the areas are those of the ellipsoid's zones, in closed form."""
    grid = Grid(1000, 1024, Affine(1 / 1024, 0, 10, 0, -1 / 1024, 60), CRS.from_epsg(4326))

    counts = add_up({0: {0: 1000 * 512}, 1: {1: 1000 * 512}}, grid=grid, classes=2)

    assert counts.areas_m2 is not None
    assert counts.areas_m2 == pytest.approx(
        [zone_m2(59.5, 60) * 1000 / 1024, zone_m2(59, 59.5) * 1000 / 1024], rel=1e-12
    )
    assert counts.areas_m2[0] < 0.99 * counts.areas_m2[1]
    assert counts.nodata_area_m2 == 0


def zone_m2(south: float, north: float) -> float:
    """A degree of longitude between two parallels of WGS 84 (Snyder 1987, equation 3-12)."""
    axis, e2 = 6378137.0, (2 - 1 / 298.257223563) / 298.257223563
    e = np.sqrt(e2)

    def q(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        return float((1 - e2) * (s / (1 - e2 * s**2) - np.log((1 - e * s) / (1 + e * s)) / (2 * e)))

    return float(np.radians(1) * axis**2 / 2 * (q(north) - q(south)))


def test_without_a_place_there_are_no_areas() -> None:
    counts = add_up({0: {0: 5}}, grid=Grid(10, 10), classes=1)

    assert (counts.pixels, counts.nodata_pixels) == ((5,), 95)
    assert counts.areas_m2 is None
    assert counts.nodata_area_m2 is None


def test_ids_that_are_no_class_are_neither_class_nor_missing() -> None:
    counts = add_up({0: {0: 5, 7: 3}}, grid=Grid(10, 10), classes=1)

    assert (counts.pixels, counts.nodata_pixels) == ((5,), 92)


def test_a_finished_map_is_counted_as_its_blocks_were(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4, (1300, 600)).astype(np.uint8)
    pixels[pixels == 3] = 255
    pixels[512:1024] = 255
    file = BlockFile(tmp_path / "blocks.tif", grid=UTM)
    file.open()
    filled = [(col, row) for row in (0, 2) for col in (0, 1)]
    for col, row in filled:
        file.write((col, row), pixels[None, row * 512 :, col * 512 :][:, :512, :512])
    file.seal(filled)
    file.close()

    rows = count_map(tmp_path / "blocks.tif")

    expected = {row: count_block(pixels[row * 512 : (row + 1) * 512]) for row in range(3)}
    assert {row: dict(counts) for row, counts in rows.items()} == expected
    assert expected[1] == {}
