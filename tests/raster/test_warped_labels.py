"""Labels on another grid: the pixel under each middle, the same whatever window is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.warp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin

from rsseg.errors import RasterError
from rsseg.raster import warped_labels
from rsseg.raster.grid import Grid, to_ground
from rsseg.raster.warped_labels import warp_labels
from rsseg.tiling import Window

UTM45, UTM46, DEGREES = CRS.from_epsg(32645), CRS.from_epsg(32646), CRS.from_epsg(4326)


class Memory:
    """Labels in memory; 255 outside."""

    def __init__(self, ids: NDArray[np.uint8], transform: Affine, crs: CRS | None) -> None:
        self.ids = ids
        self.grid = Grid(ids.shape[1], ids.shape[0], transform=transform, crs=crs)
        self.largest = 0
        self.closed = False

    def read(self, window: Window) -> NDArray[np.uint8]:
        self.largest = max(self.largest, window.pixels)
        found = np.full((window.height, window.width), 255, np.uint8)
        inside = window.intersection(self.grid.window)
        found[inside.slices(window)] = self.ids[inside.slices()]
        return found

    def close(self) -> None:
        self.closed = True


def random_labels(height: int, width: int, transform: Affine, crs: CRS | None) -> Memory:
    ids = np.random.default_rng(height * width).integers(0, 250, (height, width)).astype(np.uint8)
    return Memory(ids, transform, crs)


def places(grid: Grid, labels: Grid) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the middle of each pixel lies on the labels, each transformed on its own."""
    x, y = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    east, north = to_ground(grid.transform, x.ravel(), y.ravel())
    if grid.crs is not None and labels.crs is not None:
        east, north = (np.array(v) for v in rasterio.warp.transform(grid.crs, labels.crs, east, north))
    cols, rows = to_ground(~labels.transform, east, north)
    return cols.reshape(x.shape), rows.reshape(x.shape)


def one_by_one(
    source: Memory, grid: Grid, *, near: float = 0.01
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The labels found pixel by pixel, and where the place is not so near to an edge that either side would do."""
    cols, rows = places(grid, source.grid)
    sure = (np.abs(cols - np.round(cols)) > near) & (np.abs(rows - np.round(rows)) > near)
    found = np.full(cols.shape, 255, np.uint8)
    inside = (cols >= 0) & (cols < source.grid.width) & (rows >= 0) & (rows < source.grid.height)
    found[inside] = source.ids[rows[inside].astype(int), cols[inside].astype(int)]
    return found, sure


GRIDS = {
    "shifted by parts of a pixel": (
        Grid(70, 50, transform=from_origin(300_003, 3_000_004, 10, 10), crs=UTM45),
        random_labels(60, 80, from_origin(300_000, 3_000_000, 10, 10), UTM45),
    ),
    "other pixels, turned, no CRS": (
        Grid(70, 50, transform=from_origin(0, 0, 1, 1) * Affine.rotation(20)),
        random_labels(60, 80, from_origin(-10, 10, 0.7, 1.3), None),
    ),
    "degrees on UTM": (
        Grid(90, 60, transform=from_origin(85.0, 27.2, 0.01, 0.01), crs=DEGREES),
        random_labels(60, 80, from_origin(330_000, 3_000_000, 700, 900), UTM45),
    ),
    "the next zone, pixels of 5 km": (
        Grid(90, 80, transform=from_origin(-400_000, 3_300_000, 5000, 5000), crs=UTM46),
        random_labels(80, 90, from_origin(300_000, 3_300_000, 4700, 5200), UTM45),
    ),
    "across the antimeridian": (
        Grid(64, 40, transform=from_origin(700_000, 100_000, 4000, 4000), crs=CRS.from_epsg(32660)),
        random_labels(50, 60, from_origin(-180, 1.5, 0.05, 0.05), DEGREES),
    ),
    "degrees beyond 180": (
        Grid(90, 40, transform=from_origin(179, 2, 0.05, 0.05), crs=DEGREES),
        random_labels(50, 60, from_origin(400_000, 180_000, 3300, 3700), CRS.from_epsg(32601)),
    ),
    "the whole world on Mercator": (
        Grid(60, 50, transform=from_origin(-2e7, 2e7, 7e5, 8e5), crs=CRS.from_epsg(3857)),
        random_labels(61, 123, from_origin(-180, 90, 360 / 123, 180 / 61), DEGREES),
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_each_pixel_has_the_label_under_its_middle(name: str) -> None:
    grid, source = GRIDS[name]
    expected, sure = one_by_one(source, grid)

    warped = warp_labels(source, grid=grid)
    found = warped.read(grid.window)

    np.testing.assert_array_equal(found[sure], expected[sure])
    assert sure.mean() > 0.9
    assert (found != 255).any()
    assert warped.covered == pytest.approx((expected != 255).mean(), abs=0.02)


@given(
    st.sampled_from(list(GRIDS)),
    st.integers(-20, 80),
    st.integers(-20, 60),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_reading_a_window_is_cutting_it_from_the_whole(
    name: str, col: int, row: int, width: int, height: int
) -> None:
    grid, source = GRIDS[name]
    warped, window = warp_labels(source, grid=grid), Window(col, row, width, height)
    inside = window.intersection(grid.window)
    expected = np.full((height, width), 255, np.uint8)
    if inside.pixels:
        expected[inside.slices(window)] = warped.read(grid.window)[inside.slices()]

    np.testing.assert_array_equal(warped.read(window), expected)


def test_gdal_finds_the_same_labels_up_to_its_approximation() -> None:
    grid, source = GRIDS["degrees on UTM"]
    _, sure = one_by_one(source, grid, near=0.125)  # of a pixel, GDAL's default
    expected = np.full((grid.height, grid.width), 255, np.uint8)

    rasterio.warp.reproject(
        source.ids,
        expected,
        src_transform=source.grid.transform,
        src_crs=source.grid.crs,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        init_dest_nodata=False,
        resampling=Resampling.nearest,
    )

    found = warp_labels(source, grid=grid).read(grid.window)
    np.testing.assert_array_equal(found[sure], expected[sure])
    assert (found[sure] != 255).sum() > 1000


def test_memory_is_bounded_where_labels_are_much_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warped_labels, "_CHUNK_PX", 256)
    source = random_labels(400, 400, from_origin(0, 0, 0.1, 0.1), None)
    grid = Grid(40, 40, transform=from_origin(0, 0, 1, 1))
    expected = source.ids[5::10, 5::10]

    found = warp_labels(source, grid=grid).read(grid.window)

    np.testing.assert_array_equal(found, expected)
    assert source.largest <= 4 * 256


def test_labels_that_cover_nothing_have_no_extent() -> None:
    grid = Grid(40, 40, transform=from_origin(0, 0, 1, 1))
    warped = warp_labels(random_labels(9, 9, from_origin(500, 500, 0.3, 0.3), None), grid=grid)

    assert warped.extent.pixels == 0
    assert warped.covered == 0
    assert (warped.read(grid.window) == 255).all()


def test_the_extent_is_around_the_labels() -> None:
    grid = Grid(1000, 1000, transform=from_origin(0, 0, 1, 1))
    warped = warp_labels(random_labels(20, 40, from_origin(100.5, -200.5, 0.5, 0.5), None), grid=grid)

    assert warped.extent.contains(Window(101, 201, 19, 9))
    assert warped.extent.pixels < 30 * 20


def test_labels_without_a_way_between_the_crs_are_refused() -> None:
    local = CRS.from_wkt('LOCAL_CS["somewhere",UNIT["metre",1]]')
    labels = random_labels(9, 9, from_origin(0, 0, 1, 1), local)

    with pytest.raises(RasterError, match="labels cannot be brought from EPSG:32645 to") as caught:
        warp_labels(labels, grid=Grid(9, 9, transform=from_origin(0, 0, 1, 1), crs=UTM45))

    assert caught.value.hint


def test_closing_closes_the_labels(tmp_path: Path) -> None:
    source = random_labels(9, 9, from_origin(0, 0, 1, 1), None)

    with warp_labels(source, grid=Grid(9, 9, transform=from_origin(0.5, 0, 1, 1))):
        pass

    assert source.closed
