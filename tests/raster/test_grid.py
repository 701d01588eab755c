from __future__ import annotations

import math
from pathlib import Path

import pytest
import rasterio.warp
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.errors import RasterError
from rsseg.raster import ControlPoint, Grid, check_same_grid, open_raster
from rsseg.raster.grid import crs_name, to_ground
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


AT_60 = (55_800.0, 111_412.3)
"""Metres in a degree of longitude and of latitude at 60 degrees, as tables of the Earth's ellipsoid have them."""


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
        ("EPSG:3857", 1.0, 0.0, math.sqrt(110_574.3 / 111_319.5)),
        ("EPSG:3857", 1.0, 8399737.9, math.sqrt(AT_60[0] * AT_60[1] / 2) / 111_319.5),
        ("EPSG:3395", 1.0, 8362698.5, AT_60[0] / 111_319.5),
        ("EPSG:4326", 1e-5, 0.0, math.sqrt(1.113195 * 1.105743)),
        ("EPSG:4326", 1e-5, 60.0, 1e-5 * math.sqrt(AT_60[0] * AT_60[1])),
        ("EPSG:4807", 1e-5, 60 / 0.9, 0.9e-5 * math.sqrt(AT_60[0] * AT_60[1])),  # a right angle has 100 grads
        (LOCAL, 0.25, 0.0, 0.25),
        (MARS, 5.0, 0.0, 5.0),
        (MARS_DEGREES, 1e-5, 0.0, math.radians(1e-5) * 3396190),
    ],
)
@pytest.mark.parametrize("angle", [0, 33, 180])
def test_pixel_size_is_metres_on_the_ground(
    crs: str, side: float, y: float, metres: float, angle: float
) -> None:
    assert grid(crs, side, y=y, angle=angle).gsd_m == pytest.approx(metres, rel=3e-4)


def test_pixel_size_is_unknown_without_a_crs_or_a_place() -> None:
    assert grid(None, 0.5).gsd_m is None
    assert Grid(10, 10).gsd_m is None
    assert Grid(10, 10, crs=CRS.from_epsg(32633)).gsd_m is None


def test_pixel_size_comes_from_control_points_too() -> None:
    points = tuple(ControlPoint(row, col, col * 1e-5, row * -1e-5, 0) for row in (0, 90) for col in (0, 90))

    placed = Grid(100, 100, gcps=points, gcp_crs=CRS.from_epsg(4326))

    assert placed.georeferenced()
    assert placed.gsd_m == pytest.approx(math.sqrt(1.113195 * 1.105743), rel=1e-5)
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


WGS84_M2 = 510_065_621_724_088.4
"""The area of the ellipsoid."""


def test_pixels_in_degrees_cover_the_earth() -> None:
    earth = Grid(36, 18, Affine(10, 0, -180, 0, -10, 90), CRS.from_epsg(4326))

    areas = [earth.pixel_area_m2(range(row, row + 1)) for row in range(18)]

    assert sum(36 * (area or 0) for area in areas) == pytest.approx(WGS84_M2, rel=1e-12)
    assert 18 * 36 * (earth.pixel_area_m2(range(18)) or 0) == pytest.approx(WGS84_M2, rel=1e-6)


@pytest.mark.parametrize("epsg", [3857, 3395])
@pytest.mark.parametrize("south", [-60.0, 0.0, 27.6])
def test_mercator_pixels_have_their_true_size(epsg: int, south: float) -> None:
    """The same ground, in degrees and in a Mercator projection."""
    crs = CRS.from_epsg(epsg)
    (west_x, east_x), (south_y, north_y) = rasterio.warp.transform(
        CRS.from_epsg(4326), crs, [85.0, 85.02], [south, south + 0.02]
    )
    side_x, side_y = (east_x - west_x) / 100, (north_y - south_y) / 100
    mercator = Grid(100, 100, Affine(side_x, 0, west_x, 0, -side_y, north_y), crs)
    degrees = Grid(100, 100, Affine(2e-4, 0, 85, 0, -2e-4, south + 0.02), CRS.from_epsg(4326))

    assert mercator.pixel_area_m2(range(100)) == pytest.approx(degrees.pixel_area_m2(range(100)), rel=1e-7)


@pytest.mark.parametrize(
    ("crs", "area"),
    [("EPSG:32633", 0.25), ("EPSG:2263", 0.25 * (1200 / 3937) ** 2), (LOCAL, 0.25), (MARS, 0.25)],
)
@pytest.mark.parametrize("angle", [0, 33, 180])
def test_pixels_of_other_projections_have_the_size_of_the_map(crs: str, area: float, angle: float) -> None:
    assert grid(crs, 0.5, x=5e5, y=2e5, angle=angle).pixel_area_m2(range(10)) == pytest.approx(
        area, rel=1e-12
    )


def test_a_pixel_of_mars_is_one_on_mars() -> None:
    area = grid(MARS_DEGREES, 1e-5).pixel_area_m2(range(100))

    assert area == pytest.approx((math.radians(1e-5) * 3396190) ** 2, rel=1e-6)


def test_the_area_of_a_pixel_is_unknown_without_a_crs_or_a_place_or_beyond_the_pole() -> None:
    assert grid(None, 0.5).pixel_area_m2(range(1)) is None
    assert Grid(10, 10, crs=CRS.from_epsg(32633)).pixel_area_m2(range(1)) is None
    assert grid("EPSG:4326", 0.01, y=95).pixel_area_m2(range(100)) is None


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_the_sides_of_a_pixel_follow_its_rows_and_columns(angle: float) -> None:
    place = Affine.translation(0, 60) @ Affine.rotation(angle) @ Affine.scale(2e-5, -1e-5)
    sides = Grid(4, 4, place, CRS.from_epsg(4326)).pixel_sides_m

    across, along = (1e-5 * metres for metres in AT_60)
    expected = (2 * across, along) if angle % 180 == 0 else (2 * along, across)
    assert sides == pytest.approx(expected, rel=1e-5)


def test_without_a_known_pixel_size_sides_are_unknown_too() -> None:
    assert grid(None, 0.5).pixel_sides_m is None
    assert Grid(10, 10, Affine(0, 0, 5, 0, 0, 5), CRS.from_epsg(32633)).pixel_sides_m is None


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([0, 20, 180]))
def test_a_resized_grid_covers_the_same_ground(width: int, height: int, angle: float) -> None:
    whole = grid("EPSG:32633", 0.5, x=4e5, y=5e6, angle=angle)

    other = whole.resized(width, height)

    assert (other.width, other.height) == (width, height)
    corners = [
        ((0, 0), (0, 0)),
        ((width, 0), (100, 0)),
        ((0, height), (0, 100)),
        ((width, height), (100, 100)),
    ]
    for here, there in corners:
        assert to_ground(other.transform, *here) == pytest.approx(
            to_ground(whole.transform, *there), abs=1e-6
        )


def test_control_points_stay_where_they_are() -> None:
    points = tuple(ControlPoint(row, col, col * 1e-5, row * -1e-5, 0) for row in (0, 90) for col in (0, 90))
    placed = Grid(100, 100, gcps=points, gcp_crs=CRS.from_epsg(4326))

    small = placed.resized(50, 20)

    assert small.gcps[-1] == points[-1]._replace(row=18, col=45)
    assert small.transform == Affine.identity()
    assert small.pixel_sides_m == pytest.approx((2 * 1.113195, 5 * 1.105743), rel=1e-5)
