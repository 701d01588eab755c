"""Files against files: the same counts as on arrays, however the pixels lie in the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.evaluation import (
    EvaluateOptions,
    LabelRules,
    Move,
    Pair,
    Threshold,
    evaluate_maps,
    missed_thresholds,
)
from rsseg.evaluation.boundary import erode_boundaries
from rsseg.evaluation.options import MeasureOptions
from tests.evaluation.files import (
    DEGREES,
    NOWHERE,
    assert_counts,
    random_ids,
    write_boxes,
    write_ids,
    write_map,
)
from tests.making import THREE, write_raster


@pytest.fixture
def ids() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels and prediction of 40 x 50 pixels."""
    return random_ids(40, 50, seed=1), random_ids(40, 50, seed=2)


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
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", block)
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
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", 16)
    path = write_ids(tmp_path / "map.tif", random_ids(40, 50, seed=1))
    shares: list[float] = []

    evaluate_maps([Pair(path, path)] * 2, THREE, on_progress=shares.append)

    assert len(shares) == 2 * 8  # of five whole rows, as the file has strips
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# --- protocols -------------------------------------------------------------------------------------------------------


SIX = ClassTable(
    tuple(
        ClassInfo(i, name, "#000000")
        for i, name in enumerate(
            ["impervious_surface", "building", "low_vegetation", "tree", "car", "clutter"]
        )
    )
)


@pytest.mark.parametrize("block", [5, 64])
@pytest.mark.parametrize("tiled", [False, True])
def test_eroding_windows_is_eroding_the_whole(
    tmp_path: Path, block: int, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", block)
    label = np.kron(random_ids(5, 6, seed=3, values=(0, 1, 2, 5, 255)), np.ones((11, 11), np.uint8))
    prediction = random_ids(55, 66, seed=5, values=(0, 1, 2, 5, 255))
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    pair = Pair(
        write_ids(tmp_path / "map.tif", prediction, **blocks),
        write_ids(tmp_path / "label.tif", label, **blocks),
    )

    evaluation = evaluate_maps([pair], SIX, options=EvaluateOptions(protocol="isprs", erode=3))

    assert_counts(evaluation.confusion, erode_boundaries(label, radius=3), prediction, 6)
    assert evaluation.measure.title == "isprs+eroded3"


def test_an_area_of_interest_has_no_edge_to_erode(tmp_path: Path) -> None:
    prediction = random_ids(20, 30, seed=3)
    label = np.zeros((20, 30), np.uint8)
    aoi = write_boxes(tmp_path / "aoi.geojson", (5, 2, 12, 9))
    pair = Pair(
        write_map(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label, **DEGREES)
    )

    evaluation = evaluate_maps([pair], rules=LabelRules(aoi=aoi), options=EvaluateOptions(erode=3))

    assert evaluation.confusion.labelled == 49


def test_rasters_without_names_have_the_classes_of_the_protocol(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "map.tif", random_ids(8, 8, seed=1, values=(0, 1, 4)))

    evaluation = evaluate_maps([Pair(path, path)], options=EvaluateOptions(protocol="uavid"))

    assert evaluation.classes.names[4] == "tree"
    assert evaluation.notes == ("the class maps do not name their classes; taken for those of uavid",)


def test_clutter_is_in_the_matrix_but_in_no_mean(tmp_path: Path) -> None:
    label, prediction = (
        random_ids(30, 30, seed=1, values=(0, 1, 5)),
        random_ids(30, 30, seed=2, values=(0, 1, 5)),
    )
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    usual = evaluate_maps([pair], SIX, options=EvaluateOptions(protocol="isprs"))
    strict = evaluate_maps([pair], SIX, options=EvaluateOptions(protocol="isprs-no-clutter"))

    assert_counts(usual.confusion, label, prediction, 6)
    assert usual.scores.mean_over == strict.scores.mean_over == (0, 1, 2, 3, 4)
    assert_counts(strict.confusion, np.where(label == 5, 255, label).astype(np.uint8), prediction, 6)
    assert strict.confusion.matrix[:2, 5].sum() > 0  # predicted clutter stays an error
    count = np.count_nonzero(label == 5)
    assert strict.pairs[0].notes == (f"{pair.labels}: clutter left out (isprs-no-clutter), {count} px",)


def test_classes_that_do_not_fit_the_protocol_are_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    with pytest.raises(
        LabelError, match=r"isprs is about 6 classes: impervious_surface, .*; compared are 3: red"
    ):
        evaluate_maps([Pair(path, path)], options=EvaluateOptions(protocol="isprs"))


# --- what cannot be compared -----------------------------------------------------------------------------------------


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


# --- classes that nothing names --------------------------------------------------------------------------------------


AREAS = EvaluateOptions(measures=MeasureOptions(areas=True))


def test_unnamed_classes_are_those_of_the_whole_map_where_its_areas_are_wanted(tmp_path: Path) -> None:
    prediction = random_ids(20, 20, seed=1, values=(0, 1, 2))
    prediction[15:] = 3
    class_map = write_ids(tmp_path / "map.tif", prediction, **DEGREES)
    chip = write_ids(tmp_path / "chip.tif", prediction[:10, :10], **DEGREES)

    evaluation = evaluate_maps([Pair(class_map, chip)], options=AREAS)

    assert len(evaluation.classes) == 4
    assert evaluation.pairs[0].mapped is not None
    assert evaluation.pairs[0].mapped.pixels[3] == 100
    assert (
        "NO estimate: on the map but nowhere among the pixels compared: class 3"
        in (evaluation.sections[0].text[-1])
    )
    assert len(evaluate_maps([Pair(class_map, chip)]).classes) == 3


def test_unnamed_classes_are_those_of_the_second_map_too(tmp_path: Path) -> None:
    label = random_ids(16, 16, seed=1, values=(0, 1))
    first = random_ids(16, 16, seed=2, values=(0, 1))
    second = random_ids(16, 16, seed=3, values=(0, 6))
    paths = [
        write_ids(tmp_path / f"{name}.tif", ids)
        for name, ids in (("map", first), ("label", label), ("other", second))
    ]

    evaluation = evaluate_maps([Pair(paths[0], paths[1], other=paths[2])])

    assert len(evaluation.classes) == 7
    b = evaluation.counted("comparison").b
    assert_counts(b, label, second, 7)


@pytest.mark.parametrize("options", [EvaluateOptions(), AREAS])
def test_an_empty_map_is_nothing_to_compare_whatever_is_measured(
    tmp_path: Path, options: EvaluateOptions
) -> None:
    label = np.array([[0, 1, 255]], np.uint8)
    pair = Pair(
        write_ids(tmp_path / "map.tif", np.full_like(label, 255)), write_ids(tmp_path / "label.tif", label)
    )

    with pytest.raises(LabelError, match=r"nothing to compare .*: 1 px have no label, 2 px have a label"):
        evaluate_maps([pair], options=options)


def test_ids_of_labels_where_the_map_is_empty_are_classes_too(tmp_path: Path) -> None:
    label, prediction = np.uint8([[0, 1, 4]]), np.uint8([[0, 1, 255]])
    path, labels = write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label)

    evaluation = evaluate_maps([Pair(path, labels, other=path)])

    assert len(evaluation.classes) == 5
    assert evaluation.scores.mean_iou == 1.0  # a class that is compared nowhere is in no mean


# --- areas of labels with all classes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"protocol": "isprs-no-clutter"}, "clutter"),
        ({"moves": (Move.parse("tree=ignore"),)}, "tree"),
        ({"moves": (Move.parse("labels:tree=ignore"),), "protocol": "isprs-no-clutter"}, "tree, clutter"),
        ({"erode": 3}, "the edges of objects"),
        ({"protocol": "isprs", "erode": "given"}, "the edges of objects"),
    ],
)
def test_areas_of_labels_that_leave_something_out_are_refused_unread(
    tmp_path: Path, given: dict[str, Any], what: str
) -> None:
    nothing = Pair(tmp_path / "map.tif", tmp_path / "label.tif")
    for path in (nothing.prediction, nothing.labels):
        path.write_bytes(b"no raster")

    with pytest.raises(
        OptionError, match=f"--areas needs labels of every class on the map; .*: {what}"
    ) as caught:
        evaluate_maps([nothing], SIX, options=replace(AREAS, **given))

    assert "--protocol isprs" in str(caught.value.hint)


def test_areas_go_with_classes_that_only_labels_have(tmp_path: Path) -> None:
    prediction = random_ids(16, 16, seed=1, values=(0, 1, 2))
    label = prediction.copy()
    label[:4] = 7
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))
    options = replace(AREAS, moves=(Move.parse("labels:7=ignore"),))

    evaluation = evaluate_maps([pair], THREE, options=options)

    assert evaluation.sections[0].scores["stratified_overall_accuracy"] == pytest.approx(1.0)
    with pytest.raises(OptionError, match="left out of them: id 7") as caught:
        evaluate_maps([pair], options=options)
    assert "--classes" in str(caught.value.hint)


def test_a_mapped_class_that_no_label_has_is_pointed_out(tmp_path: Path) -> None:
    prediction = random_ids(16, 16, seed=1, values=(0, 1, 2))
    label = np.where(prediction == 2, np.uint8(1), prediction)
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))

    text = evaluate_maps([pair], THREE, options=AREAS).sections[0].text

    assert text[-1].startswith(f"CAUTION: on the map but in no label: {THREE.names[2]};")


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "given", "message"),
    [
        ("iou:nosuch=0.5", {}, "--fail-under iou:nosuch: no class is called 'nosuch'"),
        ("boundary_f1:nosuch=0.5", {}, "no class is called 'nosuch'"),
        ("object_f1:tree=0.5", {}, "this is not measured for tree"),
        ("iou:clutter=0.5", {"protocol": "isprs-no-clutter"}, "clutter is left out of the labels"),
    ],
)
def test_limits_that_can_never_be_met_are_refused_unread(
    tmp_path: Path, limit: str, given: dict[str, Any], message: str
) -> None:
    nothing = Pair(tmp_path / "map.tif", tmp_path / "label.tif")
    for path in (nothing.prediction, nothing.labels):
        path.write_bytes(b"no raster")
    measures = MeasureOptions(objects=("building", "4"))

    with pytest.raises(OptionError, match=message):
        evaluate_maps(
            [nothing],
            SIX,
            options=EvaluateOptions(limits=(Threshold.parse(limit),), measures=measures, **given),
        )


def test_limits_of_objects_by_id_are_fine(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "map.tif", random_ids(8, 8, seed=1, values=(0, 1, 4)))
    options = EvaluateOptions(
        limits=(Threshold.parse("object_f1:car=0.5"),), measures=MeasureOptions(objects=("4",))
    )

    assert missed_thresholds(evaluate_maps([Pair(path, path)], SIX, options=options), options.limits) == []


def test_limits_of_classes_that_nothing_names_are_checked_when_they_are_known(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "map.tif", random_ids(8, 8, seed=1, values=(0, 1)))
    options = replace(AREAS, limits=(Threshold.parse("iou:class 2=0.5"),))

    with pytest.raises(OptionError, match="no class is called 'class 2'"):
        evaluate_maps([Pair(path, path)], options=options)
