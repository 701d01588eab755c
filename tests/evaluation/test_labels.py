"""Labels on a map's pixels: parts of it, other pixels, polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import OptionError, RasterError
from rsseg.evaluation import (
    LabelRules,
    Pair,
    count_pixels,
    evaluate_maps,
)
from rsseg.raster.labels import open_label_raster
from tests.evaluation.files import (
    DEGREES,
    NOWHERE,
    assert_counts,
    random_ids,
    shifted,
    write_boxes,
    write_ids,
    write_map,
)
from tests.making import THREE


@pytest.fixture
def ids() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels and prediction of 40 x 50 pixels."""
    return random_ids(40, 50, seed=1), random_ids(40, 50, seed=2)


def test_chips_are_compared_with_their_part_of_the_map(
    tmp_path: Path, ids: tuple[NDArray[np.uint8], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", 8)
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


def test_labels_that_stick_out_are_compared_where_the_map_is(tmp_path: Path) -> None:
    prediction, label = random_ids(40, 50, seed=1), random_ids(10, 10, seed=2)
    class_map = write_ids(tmp_path / "map.tif", prediction, **DEGREES)
    labels = write_ids(tmp_path / "label.tif", label, **shifted(-3, 35))

    result = evaluate_maps([Pair(class_map, labels)], THREE).pairs[0]

    assert_counts(result.confusion, label[:5, 3:], prediction[35:, :7], 3)
    assert "65 px of 100 lie beyond the map and are not compared" in result.notes[1]


def test_a_map_of_a_part_of_the_labels_is_compared_there(tmp_path: Path) -> None:
    prediction, label = random_ids(10, 10, seed=1), random_ids(40, 50, seed=2)
    class_map = write_ids(tmp_path / "map.tif", prediction, **shifted(7, 11))
    labels = write_ids(tmp_path / "label.tif", label, **DEGREES)

    result = evaluate_maps([Pair(class_map, labels)], THREE).pairs[0]

    assert_counts(result.confusion, label[11:21, 7:17], prediction, 3)


@pytest.mark.parametrize(
    "place", [shifted(100, 0), shifted(100.5, 0), shifted(0, 0, transform=from_origin(3, 3, 1e-5, 1e-5))]
)
def test_labels_that_lie_elsewhere_are_refused(tmp_path: Path, place: dict[str, Any]) -> None:
    class_map = write_ids(tmp_path / "map.tif", random_ids(40, 50, seed=1), **DEGREES)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **place)

    with pytest.raises(RasterError, match=r"label\.tif: lies elsewhere than .*map\.tif") as caught:
        evaluate_maps([Pair(class_map, labels)], THREE)

    assert caught.value.hint


def test_labels_of_another_size_without_a_place_are_refused(tmp_path: Path) -> None:
    class_map = write_ids(tmp_path / "map.tif", random_ids(40, 50, seed=1), **DEGREES)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **NOWHERE)

    with pytest.raises(RasterError, match=r"label\.tif: is 10 x 10 px, .*map\.tif is 50 x 40 px"):
        evaluate_maps([Pair(class_map, labels)], THREE)


# --- labels on other pixels ------------------------------------------------------------------------------------------


def test_labels_of_half_the_pixel_size_are_read_under_the_middles(tmp_path: Path) -> None:
    prediction, coarse = random_ids(20, 30, seed=1), random_ids(20, 30, seed=2)
    class_map = write_ids(tmp_path / "map.tif", prediction, **DEGREES)
    fine = write_ids(
        tmp_path / "label.tif",
        coarse.repeat(2, axis=0).repeat(2, axis=1),
        **{**DEGREES, "transform": DEGREES["transform"] * Affine.scale(0.5)},
    )

    result = evaluate_maps([Pair(class_map, fine)], THREE).pairs[0]

    assert_counts(result.confusion, coarse, prediction, 3)
    assert "its grid (60 x 40 px of 5e-06 x 5e-06, EPSG:4326) is not that of" in result.notes[0]
    assert "(30 x 20 px of 1e-05 x 1e-05, EPSG:4326)" in result.notes[0]
    assert "labels cover about 100.0% of the map" in result.notes[0]


def test_labels_in_another_crs_are_compared_on_the_ground(tmp_path: Path) -> None:
    """A square of class 1 in UTM, at the same place in degrees as a square of the map."""
    from rasterio.warp import transform

    label = np.zeros((60, 60), np.uint8)
    label[20:40, 20:40] = 1
    place = {"crs": "EPSG:32645", "transform": from_origin(350_000, 3_060_000, 10, 10)}
    labels = write_ids(tmp_path / "label.tif", label, **place)
    x, y = transform("EPSG:32645", "EPSG:4326", [350_300], [3_059_700])
    middle = from_origin(x[0] - 5e-5 * 40, y[0] + 5e-5 * 40, 5e-5, 5e-5)  # 80 x 80 px of some 5 m
    prediction = np.zeros((80, 80), np.uint8)
    prediction[22:58, 20:61] = 1
    class_map = write_ids(tmp_path / "map.tif", prediction, crs="EPSG:4326", transform=middle)

    evaluation = evaluate_maps([Pair(class_map, labels)], THREE)

    assert evaluation.scores.iou[1] > 0.93
    assert evaluation.scores.iou[0] > 0.97
    assert "EPSG:32645) is not that of" in evaluation.pairs[0].notes[0]


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

    with pytest.raises(
        RasterError, match=r"flat\.vrt: its transform gives pixels no place on the ground"
    ) as caught:
        evaluate_maps([Pair(flat, labels)], THREE)

    assert caught.value.hint


@pytest.mark.parametrize("west", ["nan", "inf"])
def test_a_map_whose_transform_is_no_number_is_refused(tmp_path: Path, west: str) -> None:
    source = write_ids(tmp_path / "source.tif", random_ids(40, 50, seed=1), **NOWHERE)
    labels = write_ids(tmp_path / "label.tif", random_ids(10, 10, seed=2), **DEGREES)
    lost = vrt(tmp_path / "lost.vrt", source, f"{west}, 1, 0, 0, 0, 1")

    with pytest.raises(RasterError, match="no place on the ground"):
        evaluate_maps([Pair(lost, labels)], THREE)


# --- polygons --------------------------------------------------------------------------------------------------------


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
