"""Windows written as an area of interest: just their pixels are inside, wherever the raster lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.raster import Grid, open_area
from rsseg.raster.area import can_write_area, write_area
from rsseg.raster.grid import ControlPoint
from rsseg.tiling import Window

WINDOWS = [Window(0, 0, 3, 2), Window(10, 4, 7, 16)]
PLACES: dict[str, tuple[int | None, Affine]] = {
    "metres": (32633, Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)),
    "degrees": (4326, Affine(3e-6, 0, 85, 0, -3e-6, 27)),
    "northing first": (2036, Affine(0.5, 0, 2_500_000, 0, -0.5, 7_400_000)),
    "rotated": (32759, Affine(-0.3, 0.5, 350_000, 0.5, 0.3, 7_800_000)),
    "south up": (3857, Affine(0.2, 0, 1e6, 0, 0.2, 2e6)),
    "no place": (None, Affine.identity()),
}


@pytest.mark.parametrize("name", PLACES)
def test_just_their_pixels_are_inside(name: str, tmp_path: Path) -> None:
    epsg, transform = PLACES[name]
    grid = Grid(width=20, height=30, transform=transform, crs=epsg and CRS.from_epsg(epsg))
    expected = np.zeros((30, 20), np.bool_)
    for window in WINDOWS:
        expected[window.slices()] = True

    assert can_write_area(grid)
    write_area(tmp_path / "area.csv", WINDOWS, grid)
    area = open_area(tmp_path / "area.csv", grid=grid)

    np.testing.assert_array_equal(area.inside(grid.window), expected)


def test_control_points_have_no_polygons() -> None:
    points = tuple(ControlPoint(r, c, float(c), float(-r), 0.0) for r, c in ((0, 0), (0, 9), (9, 0)))

    assert not can_write_area(Grid(width=9, height=9, gcps=points, gcp_crs=CRS.from_epsg(4326)))
    assert not can_write_area(Grid(width=9, height=9, transform=Affine(0, 0, 0, 0, 0, 0)))
