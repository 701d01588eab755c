from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.errors import RasterError
from rsseg.raster import ControlPoint, Grid, check_same_grid, open_raster
from rsseg.raster.grid import crs_name
from tests.raster.make import UTM, noise, write_tiff

LOCAL = 'LOCAL_CS["CH1903+ / LV95",UNIT["metre",1,AUTHORITY["EPSG","9001"]]]'
MARS = (
    'PROJCS["Equirectangular MARS",GEOGCS["GCS_MARS",DATUM["D_MARS",SPHEROID["MARS",3396190,0]],'
    'PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]],PROJECTION["Equirectangular"],'
    'PARAMETER["standard_parallel_1",0],PARAMETER["central_meridian",0],UNIT["metre",1]]'
)
MARS_DEGREES = (
    'GEOGCS["GCS_MARS",DATUM["D_MARS",SPHEROID["MARS",3396190,0]],'
    'PRIMEM["M",0],UNIT["degree",0.0174532925199433]]'
)


def grid(crs: str | None, side: float, *, x: float = 0, y: float = 0, angle: float = 0) -> Grid:
    """100 x 100 px with the middle at (x, y)."""
    transform = (
        Affine.translation(x, y)
        @ Affine.rotation(angle)
        @ Affine.scale(side, -side)
        @ Affine.translation(-50, -50)
    )
    return Grid(100, 100, transform, CRS.from_user_input(crs) if crs else None)


@pytest.mark.parametrize(
    ("crs", "side", "y", "metres"),
    [
        ("EPSG:32633", 0.5, 5e6, 0.5),
        ("EPSG:2263", 1.0, 0.0, 0.3048006),
        ("EPSG:3857", 1.0, 0.0, 1.0),
        ("EPSG:3857", 1.0, 8399737.9, 0.5),  # 60 degrees north
        ("EPSG:3395", 1.0, 8362698.5, 0.5),
        ("EPSG:4326", 1e-5, 0.0, 1.1132),
        ("EPSG:4326", 1e-5, 60.0, 1.1132 * math.sqrt(0.5)),
        (LOCAL, 0.25, 0.0, 0.25),
        (MARS, 5.0, 0.0, 5.0),
        (MARS_DEGREES, 1e-5, 0.0, math.radians(1e-5) * 3396190),
    ],
)
@pytest.mark.parametrize("angle", [0, 33, 180])
def test_pixel_size_is_metres_on_the_ground(
    crs: str, side: float, y: float, metres: float, angle: float
) -> None:
    assert grid(crs, side, y=y, angle=angle).gsd_m == pytest.approx(metres, rel=2e-3)


def test_pixel_size_is_unknown_without_a_crs_or_a_place() -> None:
    assert grid(None, 0.5).gsd_m is None
    assert Grid(10, 10).gsd_m is None
    assert Grid(10, 10, crs=CRS.from_epsg(32633)).gsd_m is None


def test_pixel_size_comes_from_control_points_too() -> None:
    points = tuple(ControlPoint(row, col, col * 1e-5, row * -1e-5, 0) for row in (0, 90) for col in (0, 90))

    placed = Grid(100, 100, gcps=points, gcp_crs=CRS.from_epsg(4326))

    assert placed.georeferenced()
    assert placed.gsd_m == pytest.approx(1.1132, rel=1e-3)
    assert Grid(100, 100, gcps=points[:2], gcp_crs=CRS.from_epsg(4326)).gsd_m is None


def test_a_pixel_without_area_has_no_size() -> None:
    assert Grid(10, 10, Affine(0, 0, 5, 0, 0, 5), CRS.from_epsg(32633)).gsd_m is None


@given(st.floats(0, 0.4), st.sampled_from([0.1, 10.0, 1000.0]), st.booleans())
def test_shifted_grids_are_told_apart_from_a_hundredth_of_a_pixel(
    shift: float, side: float, swap: bool
) -> None:
    a, b = grid("EPSG:32633", side, x=4e5, y=5e6), grid("EPSG:32633", side, x=4e5 + shift * side, y=5e6)
    if swap:
        a, b = b, a

    if shift < 0.009:
        check_same_grid(a, b, what_a="a", what_b="b")
    elif shift > 0.011:
        with pytest.raises(RasterError, match="px away"):
            check_same_grid(a, b, what_a="a", what_b="b")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Grid(100, 99), "label.tif: is 100 x 99 px, image.tif is 100 x 100 px"),
        (grid("EPSG:2953", 1), "label.tif: its CRS EPSG:2953 differs from the CRS EPSG:2036 of image.tif"),
        (
            grid("EPSG:2036", 1, angle=1),
            "label.tif: its pixels lie up to 1.234 px away from those of image.tif",
        ),
        (Grid(100, 100, gcps=(ControlPoint(0, 0, 1, 1, 0),)), "label.tif: its control points differ"),
    ],
)
def test_a_difference_is_named(other: Grid, message: str) -> None:
    with pytest.raises(RasterError) as caught:
        check_same_grid(grid("EPSG:2036", 1), other, what_a="image.tif", what_b="label.tif")

    assert str(caught.value).startswith(message)


def test_a_degenerate_transform_is_another_place() -> None:
    flat = Grid(100, 100, Affine(0, 0, 5, 0, 0, 5))

    with pytest.raises(RasterError, match="inf px away"):
        check_same_grid(flat, grid(None, 1), what_a="a", what_b="b")


def test_a_plain_image_lies_on_any_grid_of_its_size() -> None:
    check_same_grid(grid("EPSG:32633", 1), Grid(100, 100), what_a="a", what_b="b")


def test_equal_grids_are_equal_values(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "image.tif", noise(), **UTM)

    with open_raster(path) as one, open_raster(path) as other:
        assert one.grid == other.grid
        assert one.grid.window.pixels == 40 * 48


@pytest.mark.parametrize(("crs", "name"), [("EPSG:3857", "EPSG:3857"), (LOCAL, '"CH1903+ / LV95"')])
def test_a_crs_is_called_by_code_or_name(crs: str, name: str) -> None:
    assert crs_name(CRS.from_user_input(crs)) == name
