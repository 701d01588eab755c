from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.warp
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import Affine

from rsseg.errors import LabelError, OptionError
from rsseg.raster import ControlPoint, Grid, LabelVector, open_label_vector
from rsseg.raster.vectors import is_vector_file
from rsseg.tiling import Window
from tests.raster.make import write_geojson

GRID = Grid(40, 30, Affine(1, 0, 1000, 0, -1, 2000), CRS.from_epsg(32633))
windows = st.builds(
    Window, st.integers(-20, 50), st.integers(-20, 40), st.integers(0, 40), st.integers(0, 40)
)


def box(col: float, row: float, width: float, height: float) -> shapely.Polygon:
    """A rectangle given in pixels of `GRID`."""
    return shapely.box(1000 + col, 2000 - row - height, 1000 + col + width, 2000 - row)


def painted(labels: LabelVector) -> list[list[int]]:
    """The class ids of all pixels."""
    return labels.read(labels.grid.window).tolist()


def rectangle(value: int, col: int, row: int, width: int, height: int, *, elsewhere: int) -> list[list[int]]:
    """The slow obvious version."""
    return [
        [value if col <= c < col + width and row <= r < row + height else elsewhere for c in range(40)]
        for r in range(30)
    ]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> LabelVector:
    folder = tmp_path_factory.mktemp("vectors")
    rng = np.random.default_rng(5)
    circles = [
        (shapely.Point(1000 + x, 2000 - y).buffer(r), {"kind": k})
        for x, y, r, k in zip(
            rng.uniform(0, 40, 20),
            rng.uniform(0, 30, 20),
            rng.uniform(1, 6, 20),
            rng.choice(list("abc"), 20),
            strict=True,
        )
    ]
    path = write_geojson(folder / "blobs.geojson", circles)
    aoi = write_geojson(folder / "aoi.geojson", [(shapely.Point(1020, 1985).buffer(14), {})])
    values = {"a": 0, "b": 1, "c": 2}
    return open_label_vector(path, grid=GRID, attribute="kind", values=values, unlabelled=3, aoi=aoi)


@given(windows)
def test_reading_a_window_equals_cutting_it_from_the_whole(blobs: LabelVector, window: Window) -> None:
    frame = GRID.window.expanded(70)

    part = blobs.read(window)

    np.testing.assert_array_equal(part, blobs.read(frame)[window.slices(frame)])


def test_threads_read_the_same(blobs: LabelVector) -> None:
    whole = blobs.read(GRID.window)

    with ThreadPoolExecutor(4) as pool:
        others = list(pool.map(blobs.read, [GRID.window] * 8))

    assert all((other == whole).all() for other in others)


def test_pixels_whose_centre_is_inside_get_the_class(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3.4, 2.6, 10.2, 5), {})])

    with open_label_vector(path, grid=GRID, class_id=7, unlabelled=1) as labels:
        assert painted(labels) == rectangle(7, 3, 3, 11, 5, elsewhere=1)


def test_pixels_in_no_polygon_are_ignored_unless_said_otherwise(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])

    assert painted(open_label_vector(path, grid=GRID, class_id=0)) == rectangle(0, 3, 3, 5, 5, elsewhere=255)


def test_outside_the_area_of_interest_all_is_ignored(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(0, 0, 40, 30), {})])
    aoi = write_geojson(tmp_path / "aoi.geojson", [(box(10, 5, 6, 4), {})])

    labels = open_label_vector(path, grid=GRID, class_id=1, unlabelled=0, aoi=aoi)

    assert painted(labels) == rectangle(1, 10, 5, 6, 4, elsewhere=255)
    assert labels.extent == Window(10, 5, 6, 4)


@pytest.mark.parametrize(
    ("values", "top"), [({"roof": 1, "tree": 2}, 2), ({"tree": 2, "roof": 1}, 1), (None, 5)]
)
def test_later_values_paint_over_earlier_ones(
    tmp_path: Path, values: Mapping[str, int] | None, top: int
) -> None:
    kinds: list[Any] = ["tree", "roof"] if values else [3, 5.0]
    path = write_geojson(tmp_path / "v.geojson", [(box(2, 2, 4, 4), {"kind": kind}) for kind in kinds])

    labels = open_label_vector(path, grid=GRID, attribute="kind", values=values)

    assert painted(labels) == rectangle(top, 2, 2, 4, 4, elsewhere=255)


def test_two_values_may_mean_one_class_with_their_own_priorities(tmp_path: Path) -> None:
    features = [(box(2, 2, 4, 4), {"kind": kind}) for kind in ("shed", "tree", "house")]
    path = write_geojson(tmp_path / "v.geojson", features)

    values = {"house": 1, "tree": 2, "shed": 1}

    assert painted(open_label_vector(path, grid=GRID, attribute="kind", values=values)) == rectangle(
        1, 2, 2, 4, 4, elsewhere=255
    )
    values = {"house": 1, "tree": 2, "shed": 1}
    assert painted(open_label_vector(path, grid=GRID, attribute="kind", values=values, ranked=False)) == (
        rectangle(1, 2, 2, 4, 4, elsewhere=255)
    )
    values = {"shed": 1, "house": 1, "tree": 2}
    assert painted(open_label_vector(path, grid=GRID, attribute="kind", values=values)) == rectangle(
        2, 2, 2, 4, 4, elsewhere=255
    )


def test_polygons_are_reprojected_to_the_grid(tmp_path: Path) -> None:
    here = Grid(40, 30, Affine(1, 0, 500_000, 0, -1, 5_000_000), CRS.from_epsg(32633))
    corners = [(500_010, 4_999_990), (500_020, 4_999_990), (500_020, 4_999_980), (500_010, 4_999_980)]
    longitudes, latitudes = rasterio.warp.transform("EPSG:32633", "EPSG:4326", *zip(*corners, strict=True))
    outline = shapely.Polygon(zip(longitudes, latitudes, strict=True))
    path = write_geojson(tmp_path / "v.geojson", [(outline, {})], epsg=4326)

    assert painted(open_label_vector(path, grid=here, class_id=1)) == rectangle(
        1, 10, 10, 10, 10, elsewhere=255
    )


@pytest.mark.parametrize("angle", [0.0, 30.0, 180.0])
def test_moving_the_raster_moves_the_labels(tmp_path: Path, angle: float) -> None:
    turned = Affine.translation(5000, 7000) @ Affine.rotation(angle) @ Affine.scale(0.5, 0.5)
    shape = shapely.Point(20, 15).buffer(9)
    numbers = [turned.a, turned.b, turned.d, turned.e, turned.c, turned.f]
    moved = shapely.transform(shape, lambda xy: xy @ np.array(numbers[:4]).reshape(2, 2).T + numbers[4:])
    plain = write_geojson(tmp_path / "a.geojson", [(shape, {})], epsg=None)
    there = write_geojson(tmp_path / "b.geojson", [(moved, {})])

    in_pixels = open_label_vector(plain, grid=Grid(40, 30, crs=CRS.from_epsg(4326)), class_id=1)
    on_ground = open_label_vector(there, grid=Grid(40, 30, turned, CRS.from_epsg(32633)), class_id=1)

    np.testing.assert_array_equal(painted(in_pixels), painted(on_ground))


def test_long_edges_bend_with_the_projection(tmp_path: Path) -> None:
    """A parallel is straight in degrees, but bends by 4 km over 6 degrees at 50 degrees north in UTM."""
    wide = Grid(44, 30, Affine(10_000, 0, 280_000, 0, -1000, 5_560_000), CRS.from_epsg(32633))
    path = write_geojson(tmp_path / "v.geojson", [(shapely.box(10, 50, 20, 52), {})], epsg=4326)

    labels = open_label_vector(path, grid=wide, class_id=1, unlabelled=0).read(wide.window)

    first_outside = labels.sum(axis=0)
    _, northing = rasterio.warp.transform("EPSG:4326", "EPSG:32633", [15.0, 12.0], [50.0, 50.0])
    assert abs(first_outside[22] - (5_560_000 - northing[0]) / 1000) <= 1
    assert abs(first_outside[0] - (5_560_000 - northing[1]) / 1000) <= 1


def test_a_vector_without_crs_is_taken_in_the_images(tmp_path: Path) -> None:
    path = shapefile_without_crs(tmp_path)

    labels = open_label_vector(path, grid=GRID, class_id=1)

    assert painted(labels) == rectangle(1, 3, 3, 5, 5, elsewhere=255)
    assert labels.notes == (f"{path}: has no CRS; its coordinates are taken in the image's, EPSG:32633",)


def shapefile_without_crs(folder: Path) -> Path:
    import pyogrio.raw

    path = folder / "v.shp"
    geometry = np.array([shapely.to_wkb(box(3, 3, 5, 5))], dtype=object)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        pyogrio.raw.write(path, geometry, [np.array([1])], ["id"], geometry_type="Polygon")
    return path


def test_an_image_without_crs_takes_only_vectors_without(tmp_path: Path) -> None:
    without = shapefile_without_crs(tmp_path)
    with_crs = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])
    bare = Grid(40, 30, GRID.transform)

    assert painted(open_label_vector(without, grid=bare, class_id=1)) == rectangle(
        1, 3, 3, 5, 5, elsewhere=255
    )
    with pytest.raises(LabelError, match="has the CRS EPSG:32633, but the image has none"):
        open_label_vector(with_crs, grid=bare, class_id=1)


def test_features_that_are_no_areas_are_left_out_with_a_note(tmp_path: Path) -> None:
    features = [(box(3, 3, 5, 5), {}), (shapely.Point(1001, 1999), {}), (None, {})]
    path = write_geojson(tmp_path / "v.geojson", features)

    labels = open_label_vector(path, grid=GRID, class_id=1)

    assert painted(labels) == rectangle(1, 3, 3, 5, 5, elsewhere=255)
    assert labels.notes == (f"{path}: 2 features are not polygons and are left out",)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (
            [(box(1, 1, 2, 2), {"a": 1, "b": 2})],
            {"attribute": "c"},
            "has no attribute 'c', expected one of 'a', 'b'",
        ),
        (
            [(box(1, 1, 2, 2), {"a": "x"}), (box(1, 1, 2, 2), {"a": "z"})],
            {"attribute": "a", "values": {"x": 1, "y": 2}},
            "attribute 'a' has the values 'z', expected 'x', 'y'",
        ),
        ([(box(1, 1, 2, 2), {"a": 300})], {"attribute": "a"}, "has the values '300', expected 0 to 255"),
        ([(shapely.Point(1001, 1999), {})], {"class_id": 1}, "has no polygons (of 1 features)"),
        ([(box(100, 1, 2, 2), {})], {"class_id": 1}, "none of its polygons meets the raster"),
    ],
)
def test_vectors_that_give_no_labels_are_explained(
    tmp_path: Path, features: list[Any], options: dict[str, Any], message: str
) -> None:
    path = write_geojson(tmp_path / "v.geojson", features)

    with pytest.raises(LabelError) as caught:
        open_label_vector(path, grid=GRID, **options)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert caught.value.hint


def test_an_area_of_interest_that_misses_is_explained(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])
    away = write_geojson(tmp_path / "away.geojson", [(box(100, 3, 5, 5), {})])
    beside = write_geojson(tmp_path / "beside.geojson", [(box(20, 3, 5, 5), {})])

    with pytest.raises(LabelError, match=r"away\.geojson: none of its polygons meets the raster"):
        open_label_vector(path, grid=GRID, class_id=1, aoi=away)
    with pytest.raises(LabelError, match=r"v\.geojson: none of its polygons meets the area of interest"):
        open_label_vector(path, grid=GRID, class_id=1, aoi=beside)


def test_an_area_without_polygons_has_the_class_of_what_lies_between_them(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])
    beside = write_geojson(tmp_path / "beside.geojson", [(box(20, 3, 5, 5), {})])

    labels = open_label_vector(path, grid=GRID, class_id=1, aoi=beside, unlabelled=0)

    assert painted(labels) == rectangle(0, 20, 3, 5, 5, elsewhere=255)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_id": 1, "attribute": "a"},
        {"class_id": 1, "values": {"a": 1}},
        {"attribute": "a", "values": {}},
        {"class_id": 256},
        {"class_id": 1, "unlabelled": -1},
        {"attribute": "a", "values": {"x": 400}},
    ],
)
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="vector labels"):
        open_label_vector("none.geojson", grid=GRID, **options)


def test_files_that_are_missing_or_no_vectors_are_explained(tmp_path: Path) -> None:
    text = tmp_path / "text.geojson"
    text.write_text("no vector", encoding="utf-8")

    with pytest.raises(LabelError, match="no such file"):
        open_label_vector(tmp_path / "none.geojson", grid=GRID, class_id=1)
    with pytest.raises(LabelError, match="is not a vector file that can be read"):
        open_label_vector(text, grid=GRID, class_id=1)


def test_an_unknown_layer_is_explained(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])

    with pytest.raises(LabelError, match="roads"):
        open_label_vector(path, grid=GRID, class_id=1, layer="roads")


def test_images_placed_by_control_points_are_refused(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])
    points = tuple(ControlPoint(i, i, i, i, 0) for i in range(4))

    with pytest.raises(LabelError, match="placed by control points only"):
        open_label_vector(path, grid=Grid(8, 8, gcps=points, gcp_crs=CRS.from_epsg(32633)), class_id=1)


def test_polygons_that_the_projection_cannot_place_are_left_out(tmp_path: Path) -> None:
    world = Grid(40, 30, Affine(1000, 0, -20_000, 0, -1000, 15_000), CRS.from_epsg(3857))
    shapes = [shapely.box(-0.1, 89.9, 0.1, 90), shapely.box(-0.0449, -0.0449, 0.0449, 0.0449)]
    path = write_geojson(tmp_path / "v.geojson", [(shape, {}) for shape in shapes], epsg=4326)

    labels = open_label_vector(path, grid=world, class_id=1)

    assert painted(labels) == rectangle(1, 15, 10, 10, 10, elsewhere=255)


def test_polygons_none_of_which_can_be_placed_are_refused(tmp_path: Path) -> None:
    world = Grid(40, 30, Affine(1000, 0, -20_000, 0, -1000, 15_000), CRS.from_epsg(3857))
    path = write_geojson(tmp_path / "v.geojson", [(shapely.box(-0.1, 89.9, 0.1, 90), {})], epsg=4326)

    with pytest.raises(LabelError, match="none of its polygons meets the raster"):
        open_label_vector(path, grid=world, class_id=1)


@pytest.mark.parametrize(("ranked", "top"), [(True, 2), (False, 1)])
def test_priority_is_that_of_the_value_not_of_its_class(tmp_path: Path, top: int, *, ranked: bool) -> None:
    features = [(box(2, 2, 4, 4), {"kind": kind}) for kind in ("b", "a")]
    path = write_geojson(tmp_path / "v.geojson", features)

    labels = open_label_vector(
        path, grid=GRID, attribute="kind", values={"a": 1, "b": 2, "c": 1}, ranked=ranked
    )

    assert painted(labels) == rectangle(top, 2, 2, 4, 4, elsewhere=255)


def test_an_image_whose_pixels_have_no_area_is_refused(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(3, 3, 5, 5), {})])

    with pytest.raises(LabelError, match="transform gives pixels no area") as caught:
        open_label_vector(path, grid=Grid(8, 8, Affine(0, 0, 0, 0, 0, 0), GRID.crs), class_id=1)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.geojson", True), ("a.GPKG", True), ("a.tif", False), ("a.asc", False), ("a", False)],
)
def test_the_ending_says_whether_labels_are_polygons(name: str, *, expected: bool) -> None:
    assert is_vector_file(Path(name)) is expected


def test_all_pixels_that_are_touched_can_be_taken(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "v.geojson", [(box(4.6, 5.6, 3, 2), {})])

    with open_label_vector(path, grid=GRID, class_id=2, all_touched=True) as labels:
        assert painted(labels) == rectangle(2, 4, 5, 4, 3, elsewhere=255)
    with open_label_vector(path, grid=GRID, class_id=2) as labels:
        assert painted(labels) == rectangle(2, 5, 6, 3, 2, elsewhere=255)


@given(windows)
def test_touched_pixels_do_not_depend_on_the_window_either(touching: LabelVector, window: Window) -> None:
    frame = GRID.window.expanded(70)

    part = touching.read(window)

    np.testing.assert_array_equal(part, touching.read(frame)[window.slices(frame)])


@pytest.fixture(scope="module")
def touching(tmp_path_factory: pytest.TempPathFactory) -> LabelVector:
    rng = np.random.default_rng(6)
    circles = [
        (shapely.Point(1000 + x, 2000 - y).buffer(r), {})
        for x, y, r in zip(rng.uniform(0, 40, 9), rng.uniform(0, 30, 9), rng.uniform(1, 4, 9), strict=True)
    ]
    path = write_geojson(tmp_path_factory.mktemp("touching") / "v.geojson", circles)
    return open_label_vector(path, grid=GRID, class_id=1, all_touched=True)
