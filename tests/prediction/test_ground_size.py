from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.errors import RasterError
from rsseg.prediction.ground_size import SeenSize, seen_size
from rsseg.raster import Grid


def grid(side: float, *, epsg: int = 32633, y: float = 5e6, angle: float = 0) -> Grid:
    """1000 x 600 px with the middle at (0, y)."""
    transform = (
        Affine.translation(0, y)
        @ Affine.rotation(angle)
        @ Affine.scale(side, -side)
        @ Affine.translation(-500, -300)
    )
    return Grid(1000, 600, transform, CRS.from_epsg(epsg))


def size(grid: Grid, wish: Any, card: float | None = None) -> SeenSize:
    return seen_size(grid, wish, card_gsd_m=card, path="i.tif")


def test_native_is_as_it_is() -> None:
    assert size(grid(0.5), "native", 1.0) == SeenSize(1000, 600)


@pytest.mark.parametrize("angle", [0, 30, 90, 180])
def test_metres_are_taken_from_any_orientation(angle: float) -> None:
    seen = size(grid(0.5, angle=angle), 1.0)

    assert (seen.width, seen.height) == (500, 300)
    assert seen.notes == ("i.tif: its pixels of 0.5 m are seen as 500 x 300 px of 1 m",)


def test_mercator_and_degrees_are_measured_on_the_ground() -> None:
    mercator = size(grid(1.0, epsg=3857, y=8399737.9), 0.5)
    degrees = size(grid(1e-5, epsg=4326, y=60.0), 1.1132)

    assert (mercator.width, mercator.height) == (1003, 601)  # 0.50126 x 0.50042 m on the ellipsoid
    assert (degrees.width, degrees.height) == (501, 600)
    assert "0.558 x 1.11 m" in degrees.notes[0]


def test_what_is_seen_of_degrees_is_square_on_the_ground() -> None:
    plate = grid(1e-5, epsg=4326, y=60.0)

    seen = size(plate, 0.8)

    sides = plate.resized(seen.width, seen.height).pixel_sides_m
    assert sides == pytest.approx((0.8, 0.8), rel=1e-3)


@pytest.mark.parametrize(
    ("side", "width", "warned"),
    [
        (0.5, 500, False),
        (0.49, 1000, True),
        (2.0, 2000, False),
        (2.1, 1000, True),
        (0.97, 1000, False),
        (1.3, 1300, False),
    ],
)
def test_auto_takes_the_cards_size_if_it_is_near(side: float, width: int, warned: bool) -> None:
    seen = size(grid(side), "auto", 1.0)

    assert seen.width == width
    assert bool(seen.warnings) == warned
    assert bool(seen.notes) == (width != 1000)


def test_auto_says_why_it_leaves_a_raster_alone() -> None:
    nowhere = replace(grid(0.5), crs=None)

    assert "because it does not say how large pixels are" in size(nowhere, "auto", 1.0).notes[0]
    assert "because the weights do not say" in size(grid(0.5), "auto", None).notes[0]


def test_metres_are_refused_where_pixels_have_no_known_size() -> None:
    with pytest.raises(
        RasterError, match=r"i\.tif: does not say how large its pixels are .* --gsd 0\.5"
    ) as caught:
        size(replace(grid(0.5), crs=None), 0.5)

    assert "leave --gsd out" in (caught.value.hint or "")


@pytest.mark.parametrize("wish", [0.03, 8.1])
def test_far_too_small_or_large_pixels_are_refused(wish: float) -> None:
    with pytest.raises(RasterError, match=r"its pixels are 0\.5 m; --gsd .* is more than 16 times off"):
        size(grid(0.5), wish)
