"""Planes on which rasters lie: outlines and pixels go there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.raster import Grid, open_area
from rsseg.raster.footprint import Plane, area_geojson, area_in_pixels, polygons_in_pixels
from rsseg.raster.grid import ControlPoint
from rsseg.tiling import Window

UTM = Grid(40, 30, Affine(0.5, 0, 350_000, 0, -0.5, 3_060_000), CRS.from_epsg(32645))
NEXT_ZONE = Grid(40, 30, Affine(0.5, 0.1, 350_000, 0.1, -0.5, 3_060_000), CRS.from_epsg(32644))
DEGREES = Grid(40, 30, Affine(1e-5, 0, 85.4, 0, -1e-5, 27.6), CRS.from_epsg(4326))
NOWHERE = Grid(40, 30)
NO_CRS = Grid(40, 30, Affine(0.5, 0, 7, 0, -0.5, 8))
UNNAMED = Grid(40, 30, UTM.transform, CRS.from_proj4("+proj=laea +lat_0=27 +lon_0=85 +datum=WGS84"))


@pytest.mark.parametrize(
    ("grids", "crs"),
    [([UTM, UTM], 32645), ([UTM, NEXT_ZONE], 3857), ([DEGREES], 3857), ([UTM, NOWHERE, NO_CRS], 32645)],
)
def test_the_plane_is_the_common_crs_if_that_has_metres(grids: list[Grid], crs: int) -> None:
    plane = Plane.of(grids)

    assert plane is not None
    assert plane.crs is not None
    assert plane.crs.to_epsg() == crs


def test_rasters_without_a_place_have_no_plane() -> None:
    points = tuple(ControlPoint(r, c, c, r, 0) for r, c in ((0, 0), (0, 9), (9, 0)))

    assert Plane.of([NOWHERE, Grid(40, 30, gcps=points, gcp_crs=UTM.crs)]) is None


def test_what_has_no_crs_lies_on_a_plane_of_its_own() -> None:
    named, unnamed = Plane.of([UTM, NO_CRS]), Plane.of([NO_CRS])

    assert named is not None
    assert unnamed is not None
    assert (named.holds(UTM), named.holds(NO_CRS), unnamed.holds(NO_CRS)) == (True, False, True)


@pytest.mark.parametrize("grid", [UTM, NEXT_ZONE, DEGREES, UNNAMED])
def test_outlines_come_back_as_the_windows_they_are_of(grid: Grid) -> None:
    plane = Plane.of([UTM, NEXT_ZONE])
    windows = [Window(0, 0, 40, 30), Window(-5, 7, 10, 3)]

    assert plane is not None
    found = polygons_in_pixels(plane.outlines(grid, windows), plane, grid)

    for polygon, w in zip(found, windows, strict=True):
        expected = (w.cols.start, w.rows.start, w.cols.stop, w.rows.stop)
        assert polygon.bounds == pytest.approx(expected, abs=1e-4)


def test_a_place_the_plane_does_not_have_is_empty() -> None:
    beyond = Grid(10, 10, Affine(1, 0, -1, 0, -1, 95), CRS.from_epsg(4326))
    plane = Plane.of([DEGREES])

    assert plane is not None
    assert shapely.is_empty(plane.outlines(beyond, [beyond.window])).tolist() == [True]


@pytest.mark.parametrize("grid", [UTM, NEXT_ZONE, DEGREES, UNNAMED])
def test_an_area_that_is_written_holds_the_same_pixels_when_it_is_read(grid: Grid, tmp_path: Path) -> None:
    area = shapely.union(shapely.box(3, 4, 20, 10), shapely.box(30, 2, 60, 28))
    path = tmp_path / "area.geojson"

    path.write_bytes(area_geojson(area, grid))

    expected = np.zeros((30, 40), np.bool_)
    expected[4:10, 3:20] = expected[2:28, 30:] = True
    assert np.array_equal(open_area(path, grid=grid).inside(grid.window), expected)
    assert shapely.area(area_in_pixels(path, grid)) == pytest.approx(area.area, rel=1e-4)
