"""Files against files: the same counts as on arrays, however the pixels lie in the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.evaluation import Confusion, LabelRules, Pair, count_pixels, evaluate_maps
from rsseg.raster import ClassMapWriter
from rsseg.raster.labels import open_label_raster
from tests.making import THREE, write_raster

DEGREES: dict[str, Any] = {"crs": "EPSG:4326", "transform": from_origin(85.0, 27.0, 1e-5, 1e-5)}
"""A raster on which GeoJSON needs no reprojection; one pixel is 1e-5 degrees."""

NOWHERE: dict[str, Any] = {"crs": None, "transform": Affine.identity()}


def random_ids(
    height: int, width: int, *, seed: int, values: tuple[int, ...] = (0, 1, 2, 255)
) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), size=(height, width))


def write_ids(path: Path, ids: NDArray[Any], **profile: Any) -> Path:
    return write_raster(path, ids[None], **{"nodata": 255 if ids.dtype == np.uint8 else None, **profile})


def write_map(path: Path, ids: NDArray[np.uint8], classes: ClassTable = THREE) -> Path:
    """A class map as `rsseg predict` writes it."""
    bare = write_ids(path.with_name("grid_" + path.name), ids, **DEGREES)
    with open_label_raster(bare) as source:
        grid = source.grid
    with ClassMapWriter(path, grid=grid, classes=classes) as writer:
        writer.write_block(grid.window, {"classes": ids[None]})
        writer.finish()
    return path


def write_boxes(path: Path, *boxes: tuple[int, int, int, int], kinds: tuple[str, ...] = ()) -> Path:
    """Polygons around pixels: left, top, right, bottom as columns and rows of a raster in `DEGREES`."""
    features = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [(85.0 + 1e-5 * x, 27.0 - 1e-5 * y) for x, y in corners]
        properties = {"kind": kinds[number]} if kinds else {}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def assert_counts(
    found: Confusion, label: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> None:
    expected = count_pixels(label, prediction, classes)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert (found.ignored, found.nodata) == (expected.ignored, expected.nodata)


@pytest.fixture
def ids() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels and prediction of 40 x 50 pixels."""
    return random_ids(40, 50, seed=1), random_ids(40, 50, seed=2)


# --- label rasters -------------------------------------------------------------------------------------------------


def test_files_give_the_counts_of_their_arrays(tmp_path: Path, ids: tuple[NDArray[np.uint8], ...]) -> None:
    label, prediction = ids
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    evaluation = evaluate_maps([pair], THREE)

    assert_counts(evaluation.confusion, label, prediction, 3)
    assert evaluation.classes == THREE
    assert evaluation.notes == evaluation.pairs[0].notes == ()


@pytest.mark.parametrize("block", [7, 16, 64])
def test_the_windows_do_not_matter(
    tmp_path: Path, ids: tuple[NDArray[np.uint8], ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.engine._BLOCK", block)
    label, prediction = ids
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    assert_counts(evaluate_maps([pair], THREE).confusion, label, prediction, 3)


def test_several_pairs_are_summed_and_kept_apart(tmp_path: Path) -> None:
    pairs, arrays = [], []
    for i, shape in enumerate([(20, 30), (33, 17)]):
        label, prediction = random_ids(*shape, seed=i), random_ids(*shape, seed=10 + i)
        arrays.append((label, prediction))
        pairs.append(
            Pair(write_ids(tmp_path / f"m{i}.tif", prediction), write_ids(tmp_path / f"l{i}.tif", label))
        )

    evaluation = evaluate_maps(pairs, THREE)

    for result, (label, prediction) in zip(evaluation.pairs, arrays, strict=True):
        assert_counts(result.confusion, label, prediction, 3)
    labels, predictions = (np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(*arrays, strict=True))
    assert_counts(evaluation.confusion, labels, predictions, 3)


def test_rasters_without_a_place_are_compared_pixel_by_pixel(
    tmp_path: Path, ids: tuple[NDArray[np.uint8], ...]
) -> None:
    label, prediction = ids
    pair = Pair(
        write_ids(tmp_path / "map.tif", prediction, **NOWHERE),
        write_ids(tmp_path / "label.tif", label, **NOWHERE),
    )

    assert_counts(evaluate_maps([pair], THREE).confusion, label, prediction, 3)


def test_progress_rises_to_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsseg.evaluation.engine._BLOCK", 16)
    path = write_ids(tmp_path / "map.tif", random_ids(40, 50, seed=1))
    shares: list[float] = []

    evaluate_maps([Pair(path, path)] * 2, THREE, on_progress=shares.append)

    assert len(shares) == 2 * 3 * 4
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# --- parts of a map ------------------------------------------------------------------------------------------------


def shifted(cols: float, rows: float, **changes: Any) -> dict[str, Any]:
    """The place of a raster whose corner lies that many pixels from the corner of `DEGREES`."""
    return {**DEGREES, "transform": DEGREES["transform"] * Affine.translation(cols, rows), **changes}


def test_chips_are_compared_with_their_part_of_the_map(
    tmp_path: Path, ids: tuple[NDArray[np.uint8], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.engine._BLOCK", 8)
    label, prediction = ids
    class_map = write_ids(tmp_path / "map.tif", prediction, **DEGREES)
    chips = {(0, 0): (11, 13), (20, 15): (30, 25), (49, 39): (1, 1)}
    pairs = []
    for (col, row), (width, height) in chips.items():
        chip = label[row : row + height, col : col + width]
        path = write_ids(tmp_path / f"chip_{col}.tif", chip, **shifted(col, row))
        pairs.append(Pair(class_map, path))

    evaluation = evaluate_maps(pairs, THREE)

    for result, ((col, row), (width, height)) in zip(evaluation.pairs, chips.items(), strict=True):
        part = (slice(row, row + height), slice(col, col + width))
        assert_counts(result.confusion, label[part], prediction[part], 3)
        assert f"{width} x {height} px at column {col}, row {row} of" in result.notes[0]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (shifted(5.5, 3), "their pixels lie up to 0.5 px away from its pixels"),
        (shifted(-1, 0), "they cover 10 x 10 px at column -1, row 0 of the map, which is beyond its edge"),
        (shifted(41, 0), "beyond its edge"),
        (shifted(0, 0, crs="EPSG:4258"), "their CRS differs"),
        ({**DEGREES, "transform": from_origin(85.0, 27.0, 2e-5, 2e-5)}, "px away from its pixels"),
        (NOWHERE, "is 10 x 10 px"),
    ],
)
def test_labels_that_are_no_part_of_the_map_are_refused(
    tmp_path: Path, place: dict[str, Any], reason: str
) -> None:
    class_map = write_ids(tmp_path / "map.tif", random_ids(40, 50, seed=1), **DEGREES)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **place)

    with pytest.raises(RasterError) as caught:
        evaluate_maps([Pair(class_map, labels)], THREE)

    assert "label.tif: is 10 x 10 px" in str(caught.value)
    assert "map.tif is 50 x 40 px" in str(caught.value)
    assert reason in str(caught.value)
    assert caught.value.hint


def vrt(path: Path, source: Path, transform: str) -> Path:
    """A raster with a transform that GeoTIFF does not hold."""
    with open_label_raster(source) as raster:
        width, height = raster.grid.width, raster.grid.height
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><GeoTransform>{transform}</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_a_map_whose_pixels_have_no_area_is_refused(tmp_path: Path) -> None:
    source = write_ids(tmp_path / "source.tif", random_ids(40, 50, seed=1), **NOWHERE)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **DEGREES)
    flat = vrt(tmp_path / "flat.vrt", source, "0, 0, 0, 0, 0, 0")

    with pytest.raises(RasterError, match=r"flat\.vrt: its transform gives pixels no area") as caught:
        evaluate_maps([Pair(flat, labels)], THREE)

    assert caught.value.hint


@pytest.mark.parametrize("west", ["nan", "inf"])
def test_a_map_whose_transform_is_no_number_is_refused(tmp_path: Path, west: str) -> None:
    source = write_ids(tmp_path / "source.tif", random_ids(40, 50, seed=1), **NOWHERE)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **DEGREES)
    lost = vrt(tmp_path / "lost.vrt", source, f"{west}, 1, 0, 0, 0, 1")

    with pytest.raises(RasterError, match="no place on the ground"):
        evaluate_maps([Pair(lost, labels)], THREE)


def test_a_map_of_a_part_of_the_labels_is_refused(tmp_path: Path) -> None:
    class_map = write_ids(tmp_path / "map.tif", random_ids(10, 10, seed=1), **DEGREES)
    labels = write_ids(tmp_path / "label.tif", random_ids(40, 50, seed=2), **DEGREES)

    with pytest.raises(RasterError, match="beyond its edge"):
        evaluate_maps([Pair(class_map, labels)], THREE)


def test_labels_of_the_same_size_elsewhere_are_refused(tmp_path: Path) -> None:
    class_map = write_ids(tmp_path / "map.tif", random_ids(10, 10, seed=1), **DEGREES)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **shifted(2, 0))

    with pytest.raises(RasterError, match="2 px away"):
        evaluate_maps([Pair(class_map, labels)], THREE)


# --- polygons ------------------------------------------------------------------------------------------------------


def test_polygons_of_one_class_leave_the_rest_to_the_other(tmp_path: Path) -> None:
    two = ClassTable((ClassInfo(0, "ground", "#000000"), ClassInfo(1, "building", "#FF0000")))
    prediction = random_ids(20, 30, seed=3, values=(0, 1, 255))
    boxes = write_boxes(tmp_path / "houses.geojson", (2, 3, 10, 12), (8, 8, 20, 18))
    label = np.zeros((20, 30), np.uint8)
    label[3:12, 2:10] = label[8:18, 8:20] = 1

    evaluation = evaluate_maps(
        [Pair(write_map(tmp_path / "map.tif", prediction, two), boxes)],
        rules=LabelRules(class_name="building"),
    )

    assert_counts(evaluation.confusion, label, prediction, 2)


def test_an_attribute_gives_classes_and_the_rest_is_ignored(tmp_path: Path) -> None:
    prediction = random_ids(20, 30, seed=3)
    boxes = write_boxes(tmp_path / "lots.geojson", (2, 3, 10, 12), (8, 8, 20, 18), kinds=("house", "pond"))
    label = np.full((20, 30), 255, np.uint8)
    label[8:18, 8:20] = 2
    label[3:12, 2:10] = 1
    rules = LabelRules(attribute="kind", values={"pond": "blue", "house": "1"})

    evaluation = evaluate_maps([Pair(write_map(tmp_path / "map.tif", prediction), boxes)], rules=rules)

    assert_counts(evaluation.confusion, label, prediction, 3)


@pytest.mark.parametrize("kind", ["vector", "raster"])
def test_outside_the_area_of_interest_nothing_counts(tmp_path: Path, kind: str) -> None:
    prediction = random_ids(20, 30, seed=3)
    label = np.zeros((20, 30), np.uint8)
    label[3:12, 2:10] = 1
    aoi = write_boxes(tmp_path / "aoi.geojson", (5, 2, 12, 9), (14, 10, 25, 15))
    inside = np.zeros((20, 30), bool)
    inside[2:9, 5:12] = inside[10:15, 14:25] = True
    if kind == "vector":
        labels = write_boxes(tmp_path / "houses.geojson", (2, 3, 10, 12))
        rules = LabelRules(class_name="green", unlabelled="red", aoi=aoi)
    else:
        labels = write_ids(tmp_path / "label.tif", label, **DEGREES)
        rules = LabelRules(aoi=aoi)

    evaluation = evaluate_maps([Pair(write_map(tmp_path / "map.tif", prediction), labels)], rules=rules)

    expected = count_pixels(label[inside], prediction[inside], 3)
    np.testing.assert_array_equal(evaluation.confusion.matrix, expected.matrix)
    assert evaluation.confusion.nodata == expected.nodata


def test_an_area_of_interest_on_a_chip(tmp_path: Path) -> None:
    label, prediction = random_ids(10, 10, seed=4), random_ids(20, 30, seed=3)
    aoi = write_boxes(tmp_path / "aoi.geojson", (0, 0, 9, 9))
    chip = write_ids(tmp_path / "chip.tif", label, **shifted(6, 4))
    pair = Pair(write_map(tmp_path / "map.tif", prediction), chip)

    evaluation = evaluate_maps([pair], rules=LabelRules(aoi=aoi))

    expected = count_pixels(label[:5, :3], prediction[4:9, 6:9], 3)
    np.testing.assert_array_equal(evaluation.confusion.matrix, expected.matrix)
    assert evaluation.confusion.nodata == expected.nodata
    assert evaluation.confusion.ignored < 20  # the rest of the chip is not even read


def test_rules_that_do_not_fit_the_labels_are_refused(tmp_path: Path) -> None:
    class_map = write_map(tmp_path / "map.tif", random_ids(20, 30, seed=3))
    boxes = write_boxes(tmp_path / "houses.geojson", (2, 3, 10, 12))

    with pytest.raises(OptionError, match="these labels are pixels"):
        evaluate_maps([Pair(class_map, class_map)], rules=LabelRules(class_name="green"))
    with pytest.raises(OptionError, match="these labels are polygons"):
        evaluate_maps([Pair(class_map, boxes)])


# --- classes -------------------------------------------------------------------------------------------------------


def test_classes_are_those_the_map_names(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    assert evaluate_maps([Pair(path, path)]).classes == THREE


def test_maps_of_other_classes_are_not_evaluated_together(tmp_path: Path) -> None:
    one = write_map(tmp_path / "one.tif", np.zeros((8, 8), np.uint8))
    other = write_map(tmp_path / "other.tif", np.zeros((8, 8), np.uint8), ClassTable.unnamed(2))

    with pytest.raises(
        LabelError, match=r"other\.tif: has the classes class 0, class 1; .*one\.tif has red, green"
    ):
        evaluate_maps([Pair(one, one), Pair(other, other)])


BACKWARDS = ClassTable(tuple(ClassInfo(i, c.name, c.color) for i, c in enumerate(reversed(THREE.classes))))


@pytest.mark.parametrize("given", [None, THREE])
def test_label_rasters_that_name_other_classes_are_refused(tmp_path: Path, given: ClassTable | None) -> None:
    ids = random_ids(8, 8, seed=1)
    class_map = (
        write_map(tmp_path / "map.tif", ids)
        if given is None
        else write_ids(tmp_path / "map.tif", ids, **DEGREES)
    )
    labels = write_map(tmp_path / "labels.tif", ids, BACKWARDS)

    with pytest.raises(LabelError) as caught:
        evaluate_maps([Pair(class_map, labels)], given)

    source = class_map if given is None else "the table of classes given"
    assert str(caught.value) == f"{labels}: has the classes blue, green, red; {source} has red, green, blue"
    assert "labels.tif.aux.xml" in str(caught.value.hint)


def test_label_rasters_that_disagree_with_one_another_are_refused(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1)
    nameless = write_ids(tmp_path / "map.tif", ids, **DEGREES)
    one, other = write_map(tmp_path / "one.tif", ids), write_map(tmp_path / "other.tif", ids, BACKWARDS)

    with pytest.raises(LabelError, match=r"other\.tif: has the classes blue, green, red"):
        evaluate_maps([Pair(nameless, one), Pair(nameless, other)])


def test_a_map_that_names_other_classes_than_given_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1), BACKWARDS)

    with pytest.raises(LabelError, match="the table of classes given has red, green, blue"):
        evaluate_maps([Pair(path, path)], THREE)


def test_label_rasters_of_the_same_classes_are_fine(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    assert evaluate_maps([Pair(path, path)], THREE).scores.overall_accuracy == 1.0


def test_without_names_there_are_as_many_classes_as_ids_need(tmp_path: Path) -> None:
    label, prediction = random_ids(8, 8, seed=1, values=(0, 3)), random_ids(8, 8, seed=2, values=(0, 6, 255))
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    evaluation = evaluate_maps([pair])

    assert_counts(evaluation.confusion, label, prediction, 7)
    assert evaluation.classes == ClassTable.unnamed(7)
    assert "do not name their classes; 7 are assumed" in evaluation.notes[0]


def test_one_map_without_names_makes_all_nameless(tmp_path: Path) -> None:
    named = write_map(tmp_path / "named.tif", np.ones((8, 8), np.uint8))
    bare = write_ids(tmp_path / "bare.tif", np.ones((8, 8), np.uint8))

    assert evaluate_maps([Pair(named, named), Pair(bare, bare)]).classes == ClassTable.unnamed(2)


def test_ids_outside_the_classes_are_refused_with_their_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.engine._BLOCK", 16)
    label = np.zeros((32, 32), np.uint8)
    label[20, 5:9] = 9
    pair = Pair(
        write_ids(tmp_path / "map.tif", np.zeros_like(label)), write_ids(tmp_path / "label.tif", label)
    )

    with pytest.raises(LabelError) as caught:
        evaluate_maps([pair], THREE)

    assert str(caught.value) == (
        f"{pair.labels} against {pair.prediction}, 16 x 16 px at column 0, row 16: labels hold id 9 (4 px); "
        "the 3 classes have ids 0 to 2, 255 is left out"
    )


# --- what cannot be compared ---------------------------------------------------------------------------------------


def test_nodata_in_the_map_is_counted_but_not_scored(tmp_path: Path) -> None:
    label = np.array([[0, 0, 1, 255]], np.uint8)
    prediction = np.array([[0, 255, 1, 255]], np.uint8)
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    evaluation = evaluate_maps([pair], THREE)

    assert evaluation.scores.overall_accuracy == 1.0
    assert (evaluation.confusion.nodata, evaluation.confusion.ignored) == (1, 1)


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    label = np.array([[0, 255, 255]], np.uint8)
    prediction = np.array([[255, 0, 255]], np.uint8)
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    with pytest.raises(
        LabelError, match=r"nothing to compare .*: 2 px have no label, 1 px have a label where the map"
    ):
        evaluate_maps([pair], THREE)
    with pytest.raises(LabelError, match="nothing to compare"):
        evaluate_maps([pair])


def test_one_empty_pair_of_several_is_noted(tmp_path: Path) -> None:
    full = write_ids(tmp_path / "full.tif", np.zeros((4, 4), np.uint8))
    empty = write_ids(tmp_path / "empty.tif", np.full((4, 4), 255, np.uint8))

    evaluation = evaluate_maps([Pair(full, full), Pair(full, empty)], THREE)

    assert [pair.notes for pair in evaluation.pairs] == [
        (),
        (f"{empty}: no pixel could be compared with {full}",),
    ]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((3, 4, 4), np.uint8), "has 3 bands"),
        (np.zeros((1, 4, 4), np.float32), "has pixels of type float32"),
    ],
)
def test_a_raster_that_is_no_class_map_is_refused(tmp_path: Path, pixels: NDArray[Any], message: str) -> None:
    image = write_raster(tmp_path / "image.tif", pixels)
    labels = write_ids(tmp_path / "label.tif", np.zeros((4, 4), np.uint8))

    with pytest.raises(RasterError, match=rf"image\.tif: {message}.*this is no class map") as caught:
        evaluate_maps([Pair(image, labels)], THREE)

    assert "rsseg predict" in str(caught.value.hint)


def test_labels_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    class_map = write_ids(tmp_path / "map.tif", np.zeros((4, 4), np.uint8))
    image = write_raster(tmp_path / "image.tif", np.zeros((3, 4, 4), np.uint8))

    with pytest.raises(LabelError, match=r"image\.tif: has 3 bands"):
        evaluate_maps([Pair(class_map, image)], THREE)


def test_labels_in_wider_integers_are_class_ids_all_the_same(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1, values=(0, 1, 2))
    pair = Pair(write_ids(tmp_path / "map.tif", ids), write_ids(tmp_path / "label.tif", ids.astype(np.int16)))

    assert evaluate_maps([pair], THREE).scores.overall_accuracy == 1.0
