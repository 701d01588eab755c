from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import pytest
import rasterio.warp
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.errors import LabelError
from rsseg.raster import ControlPoint, Grid
from rsseg.raster import area as area_module
from rsseg.raster.area import Area, open_area
from rsseg.tiling import Window
from tests.raster.make import write_geojson

GRID = Grid(40, 30, Affine(1, 0, 1000, 0, -1, 2000), CRS.from_epsg(32633))
windows = st.builds(
    Window, st.integers(-20, 50), st.integers(-20, 40), st.integers(0, 40), st.integers(0, 40)
)


def on_ground(shape: Any) -> Any:
    """A shape given in pixels of `GRID`."""
    return shapely.transform(shape, lambda xy: xy * [1, -1] + [1000, 2000])


def opened(folder: Path, *shapes: Any, grid: Grid = GRID, epsg: int | None = 32633) -> Area:
    """The area of shapes in pixels of `GRID`."""
    path = write_geojson(folder / "aoi.geojson", [(on_ground(shape), {}) for shape in shapes], epsg=epsg)
    return open_area(path, grid=grid)


def centres_inside(*shapes: Any) -> NDArray[np.bool_]:
    """The slow obvious version."""
    together = shapely.union_all(shapes)
    rows, cols = np.mgrid[:30, :40] + 0.5
    return np.asarray(shapely.contains_xy(together, cols, rows))


def write_layers(path: Path, **layers: tuple[str, list[Any]]) -> Path:
    """A file with several layers, each of a kind of geometry."""
    for name, (kind, shapes) in layers.items():
        wkb = np.array([shapely.to_wkb(on_ground(shape)) for shape in shapes], dtype=object)
        pyogrio.raw.write(
            path, wkb, [], [], layer=name, geometry_type=kind, crs="EPSG:32633", append=path.exists()
        )
    return path


ring = shapely.Point(20.1, 15.2).buffer(12).difference(shapely.Point(18.3, 14.4).buffer(5))
several = shapely.MultiPolygon([shapely.box(1.2, 2.1, 6.7, 9.9), shapely.box(30.2, 20.2, 55, 50)])


@pytest.mark.parametrize("shapes", [(ring,), (several,), (ring, several, shapely.box(3, 3, 20, 8))])
def test_a_pixel_is_inside_when_its_centre_is(tmp_path: Path, shapes: tuple[Any, ...]) -> None:
    area = opened(tmp_path, *shapes)

    np.testing.assert_array_equal(area.inside(GRID.window), centres_inside(*shapes))


@given(windows)
def test_reading_a_window_equals_cutting_it_from_the_whole(
    tmp_path_factory: pytest.TempPathFactory, window: Window
) -> None:
    area = opened(tmp_path_factory.mktemp("v"), ring, several)
    frame = GRID.window.expanded(70)

    np.testing.assert_array_equal(area.inside(window), area.inside(frame)[window.slices(frame)])


@pytest.mark.parametrize("shapes", [(ring,), (several,), (shapely.box(3.6, 2.6, 3.8, 2.8),)])
def test_where_touching_counts_all_pixels_are_inside_that_a_polygon_touches(
    tmp_path: Path, shapes: tuple[Any, ...]
) -> None:
    path = write_geojson(tmp_path / "aoi.geojson", [(on_ground(shape), {}) for shape in shapes], epsg=32633)

    area = open_area(path, grid=GRID, touched=True)

    together = shapely.union_all(shapes)
    squares = [[shapely.box(col, row, col + 1, row + 1) for col in range(40)] for row in range(30)]
    touched = shapely.area(shapely.intersection(together, squares)) > 0
    assert (area.inside(GRID.window) >= touched).all()
    assert area.inside(GRID.window).sum() <= touched.sum() + 4  # GDAL counts a corner now and then


def test_the_hash_is_that_of_the_polygons_and_not_of_the_file(tmp_path: Path) -> None:
    first = opened(tmp_path, ring)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "aoi.geojson", "inside.geojson")

    zipped = open_area(f"/vsizip/{tmp_path}/a.zip/inside.geojson", grid=GRID)

    assert zipped.sha256 == first.sha256
    assert zipped.files == (f"/vsizip/{tmp_path}/a.zip/inside.geojson",)
    assert opened(tmp_path, several).sha256 != first.sha256


def test_outside_the_raster_nothing_is_inside(tmp_path: Path) -> None:
    area = opened(tmp_path, shapely.box(-500, -500, 500, 500))

    frame = area.inside(GRID.window.expanded(3))

    assert area.extent == GRID.window
    assert frame.sum() == frame[3:-3, 3:-3].sum() == 1200


def test_the_extent_is_the_smallest_window_around_what_is_inside(tmp_path: Path) -> None:
    assert opened(tmp_path, shapely.box(3.4, 2.6, 13.6, 7.4)).extent == Window(3, 3, 11, 4)


@given(st.integers(0, 2**32), st.integers(4, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mending_and_cutting_move_no_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, corners: int
) -> None:
    monkeypatch.setattr(area_module, "_MOST_VERTICES", 6)
    monkeypatch.setattr(area_module, "_SMALLEST_PIECE", 2)
    corner = np.random.default_rng(seed).uniform([-5, -5], [45, 35], (corners, 2))
    shape = shapely.make_valid(shapely.Polygon(corner), method="structure", keep_collapsed=False)

    area = opened(tmp_path, shapely.Polygon(corner))

    np.testing.assert_array_equal(area.inside(GRID.window), centres_inside(shape))


@pytest.mark.parametrize("epsg", [4326, 3857, 25832])
def test_polygons_of_another_crs_are_reprojected(tmp_path: Path, epsg: int) -> None:
    here = Grid(40, 30, Affine(1, 0, 500_000, 0, -1, 5_000_000), CRS.from_epsg(32633))
    corners = shapely.box(500_009.8, 4_999_979.8, 500_020.2, 4_999_990.2)
    shape = shapely.transform(
        corners,
        lambda xy: np.column_stack(rasterio.warp.transform("EPSG:32633", f"EPSG:{epsg}", *xy.T)),
    )
    path = write_geojson(tmp_path / "v.geojson", [(shape, {})], epsg=epsg)

    area = open_area(path, grid=here)

    assert area.extent == Window(10, 10, 10, 10)
    assert area.inside(area.extent).all()


def test_polygons_around_the_world_are_cut_before_they_are_reprojected(tmp_path: Path) -> None:
    """A pole is infinitely far away in Mercator, which used to empty the whole polygon."""
    mercator = Grid(40, 30, Affine(1000, 0, -20_000, 0, -1000, 15_000), CRS.from_epsg(3857))
    path = write_geojson(tmp_path / "v.geojson", [(shapely.box(0, -90, 180, 90), {})], epsg=4326)

    area = open_area(path, grid=mercator)

    assert area.inside(mercator.window).tolist() == [[c >= 20 for c in range(40)]] * 30


def test_a_raster_over_the_pole_or_turned_finds_its_polygons(tmp_path: Path) -> None:
    pole = Grid(40, 30, Affine(1000, 0, -20_000, 0, -1000, 15_000), CRS.from_epsg(3031))
    turned = Grid(40, 30, GRID.transform @ Affine.rotation(30), GRID.crs)
    path = write_geojson(tmp_path / "v.geojson", [(shapely.box(-180, -90, 180, -89.95), {})], epsg=4326)

    polar = open_area(path, grid=pole).inside(pole.window)
    whole = opened(tmp_path, shapely.box(-100, -100, 100, 100), grid=turned)

    rows, cols = np.mgrid[:30, :40] + 0.5
    distance = np.hypot(cols - 20, rows - 15)
    assert polar[distance < 5].all()
    assert not polar[distance > 6.2].any()
    assert whole.inside(turned.window).all()


def test_polygons_that_cross_themselves_are_mended_with_a_note(tmp_path: Path) -> None:
    bowtie = shapely.Polygon([(5, 5), (15, 15), (15, 5), (5, 15)])
    overlapping = shapely.MultiPolygon([shapely.box(20, 5, 30, 15), shapely.box(25, 5, 35, 15)])

    area = opened(tmp_path, bowtie, overlapping)

    inside = area.inside(GRID.window)
    assert inside[5:15, 20:35].all()  # not a hole where both have it
    assert inside[10, 6]
    assert inside[10, 13]
    assert not inside[6, 10]
    assert area.notes == (f"{area.path}: 2 of its polygons cross themselves and were mended",)


def test_polygons_without_crs_are_taken_in_the_images(tmp_path: Path) -> None:
    path = tmp_path / "aoi.shp"
    wkb = np.array([shapely.to_wkb(on_ground(shapely.box(2, 3, 7, 9)))], dtype=object)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        pyogrio.raw.write(path, wkb, [np.array([1])], ["id"], geometry_type="Polygon")

    area = open_area(path, grid=GRID)

    assert area.extent == Window(2, 3, 5, 6)
    assert area.notes == (f"{path}: has no CRS; its coordinates are taken in the image's, EPSG:32633",)


@pytest.mark.parametrize("name", ["aoi.gpkg", "aoi.shp", "aoi.fgb", "aoi.gml", "aoi.geojsonl"])
def test_any_vector_format_will_do(tmp_path: Path, name: str) -> None:
    epsg = 4326 if name.endswith("geojsonl") else 32633  # which knows no other
    shape = on_ground(shapely.box(2, 3, 7, 9))
    if epsg == 4326:
        shape = shapely.transform(
            shape, lambda xy: np.column_stack(rasterio.warp.transform("EPSG:32633", "EPSG:4326", *xy.T))
        )
    wkb = np.array([shapely.to_wkb(shape)], dtype=object)
    pyogrio.raw.write(
        tmp_path / name, wkb, [np.array([1])], ["id"], geometry_type="Polygon", crs=f"EPSG:{epsg}"
    )

    assert open_area(tmp_path / name, grid=GRID).extent == Window(2, 3, 5, 6)


def test_of_several_layers_the_only_one_with_polygons_is_taken(tmp_path: Path) -> None:
    path = write_layers(
        tmp_path / "v.gpkg",
        wells=("Point", [shapely.Point(3, 3)]),
        parcels=("Polygon", [shapely.box(2, 3, 7, 9)]),
    )

    assert open_area(path, grid=GRID).extent == Window(2, 3, 5, 6)


def test_several_layers_with_polygons_are_refused(tmp_path: Path) -> None:
    square = shapely.box(2, 3, 7, 9)
    path = write_layers(tmp_path / "v.gpkg", a=("Polygon", [square]), b=("MultiPolygon", [square]))

    with pytest.raises(LabelError, match=r"v\.gpkg: has 2 layers with polygons, expected one: 'a', 'b'") as e:
        open_area(path, grid=GRID)

    assert "ogr2ogr" in str(e.value.hint)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((), "has no polygons (of 0 features)"),
        ((shapely.Point(3, 3),), "has no polygons (of 1 features)"),
        ((shapely.box(100, 3, 105, 9),), "none of its polygons meets the raster"),
        ((shapely.box(41, 3, 45, 9),), "none of its polygons meets the raster"),
        ((shapely.box(40, 0, 60, 30),), "none of its polygons meets the raster"),  # the next sheet
        ((shapely.box(3.6, 3.6, 4.4, 4.4),), "none of its polygons meets the raster"),  # between centres
    ],
)
def test_an_area_without_a_pixel_is_refused(tmp_path: Path, shapes: tuple[Any, ...], message: str) -> None:
    with pytest.raises(LabelError) as caught:
        opened(tmp_path, *shapes)

    assert str(caught.value) == f"{tmp_path / 'aoi.geojson'}: {message}"
    assert caught.value.hint


def test_a_crs_the_image_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="has the CRS EPSG:32633, but the image has none"):
        opened(tmp_path, shapely.box(2, 3, 7, 9), grid=Grid(40, 30, GRID.transform))


def test_an_image_placed_by_control_points_is_refused(tmp_path: Path) -> None:
    points = tuple(ControlPoint(i, i, i, i, 0) for i in range(4))

    with pytest.raises(LabelError, match="placed by control points only"):
        opened(tmp_path, shapely.box(2, 3, 7, 9), grid=Grid(8, 8, gcps=points, gcp_crs=GRID.crs))


def test_files_that_are_missing_or_no_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.geojson").write_text("no vector", encoding="utf-8")

    for name, message in (("none.gpkg", "no such file"), ("text.geojson", "is not a vector file")):
        with pytest.raises(LabelError, match=message):
            open_area(tmp_path / name, grid=GRID)


def test_threads_read_the_same(tmp_path: Path) -> None:
    area = opened(tmp_path, ring, several)
    whole = area.inside(GRID.window)

    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(area.inside, [GRID.window] * 8))

    assert all((other == whole).all() for other in others)


def test_a_window_in_the_middle_of_an_area_is_not_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = opened(tmp_path, shapely.Polygon([(2, 3), (22, 3), (2, 23)]))
    monkeypatch.setattr(area._shapes, "paint", None)

    assert area.inside(Window(2, 3, 10, 10)).all()
    with pytest.raises(TypeError):
        area.inside(Window(3, 3, 10, 10))
