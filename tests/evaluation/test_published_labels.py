"""Label files as data sets hand them out: they score as the same labels do when they are class ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg.data.presets.codings import PUBLISHED_LABELS, published_labels
from rsseg.data.presets.registry import PRESETS
from rsseg.errors import LabelError, OptionError, RasterError
from rsseg.evaluation import EvaluateOptions, Evaluation, Move, Pair, evaluate_maps, read_as
from tests.data.published import WRITERS, as_colors, as_values, class_ids, image
from tests.evaluation.files import (
    DEGREES,
    assert_counts,
    random_ids,
    shifted,
    write_boxes,
    write_ids,
    write_map,
)
from tests.making import write_raster

SIZE = (24, 40)
LEFT_OUT = {"isprs-eroded": (0, 0, 0), "loveda": 0, "cityscapes": 4, "ade20k": 0}
"""What stands for no label; whole references of ISPRS and the labels of UAVid have none."""


def made_up(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all classes as ids, with pixels without a label where there can be any, and a map wrong in places."""
    count = len(published_labels(name).classes)
    label = random_ids(*SIZE, seed=1, values=tuple(range(count)))
    label.ravel()[:count] = np.arange(count)
    if name in LEFT_OUT:
        label[5:9, 3:20] = 255
    other = random_ids(*SIZE, seed=2, values=tuple(range(count)))
    return label, np.where(random_ids(*SIZE, seed=3) == 0, other, np.where(label == 255, 0, label))


def handed_out(path: Path, ids: np.ndarray, name: str, **place: Any) -> Path:
    """Write class ids in the coding of a data set."""
    left_out: Any = {"left_out": LEFT_OUT[name]} if name in LEFT_OUT else {}
    if published_labels(name).coding.kind == "colour":
        pixels = as_colors(ids, "vaihingen" if name.startswith("isprs") else name, **left_out)
    else:
        pixels = as_values(ids, name, **left_out)
    return write_raster(path, pixels, **{**DEGREES, **place})


def options(name: str, **more: Any) -> EvaluateOptions:
    protocol = {"isprs-eroded": "isprs"}.get(name, name)
    return EvaluateOptions(protocol=protocol, erode="given" if name == "isprs-eroded" else None, **more)


def scored(pair: Pair, name: str, **more: Any) -> Evaluation:
    how = options(name, **more)
    return evaluate_maps(read_as([pair], name, erode=how.erode), options=how)


@pytest.mark.parametrize("name", PUBLISHED_LABELS)
def test_they_score_as_the_same_labels_do_as_ids(name: str, tmp_path: Path) -> None:
    label, prediction = made_up(name)
    table = published_labels(name).classes
    class_map = write_map(tmp_path / "map.tif", prediction.astype(np.uint8), table)

    found = scored(Pair(class_map, handed_out(tmp_path / "raw.tif", label, name)), name)

    decoded = Pair(class_map, write_ids(tmp_path / "ids.tif", label, **DEGREES))
    expected = evaluate_maps([decoded], options=options(name))
    assert found.summary == expected.summary
    assert found.classes == expected.classes == table
    assert_counts(found.confusion, label, prediction.astype(np.uint8), len(table))
    assert 0 < found.scores.overall_accuracy < 1
    assert found.notes[-1].startswith(f"labels are read as {name} hands them out, {len(table)} classes by ")
    assert ("left out" in found.notes[-1]) == (name in LEFT_OUT)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "coco-panoptic"])
def test_they_are_read_as_training_reads_them(preset: str, tmp_path: Path) -> None:
    names = {"vaihingen": "isprs", "potsdam": "isprs"}
    name = names.get(preset.partition("-")[0], preset) + ("-eroded" if preset.endswith("eroded") else "")
    labels = published_labels(name)
    ids = class_ids(len(labels.classes))
    if name == "isprs":
        ids[ids == 255] = 0

    plan = PRESETS[preset].plan(WRITERS[preset](tmp_path / "d", image(), ids))

    assert plan.classes == labels.classes
    for entry in (*plan.train, *plan.val):
        assert entry.coding is not None
        assert entry.coding.kind == labels.coding.kind
        np.testing.assert_array_equal(entry.coding.codes, labels.coding.codes)
        np.testing.assert_array_equal(entry.coding.ids, labels.coding.ids)


def test_what_was_handed_out_without_a_place_lies_on_the_map(tmp_path: Path) -> None:
    label, prediction = made_up("uavid")
    class_map = write_map(
        tmp_path / "map.tif", prediction.astype(np.uint8), published_labels("uavid").classes
    )
    colors = handed_out(tmp_path / "raw.png", label, "uavid", driver="PNG", crs=None, transform=None)

    assert_counts(scored(Pair(class_map, colors), "uavid").confusion, label, prediction.astype(np.uint8), 8)


def test_on_another_grid_they_are_decoded_before_they_are_warped(tmp_path: Path) -> None:
    label, prediction = made_up("isprs")
    class_map = write_map(
        tmp_path / "map.tif", prediction.astype(np.uint8), published_labels("isprs").classes
    )
    place = shifted(2.4, 1.3)

    found = scored(Pair(class_map, handed_out(tmp_path / "raw.tif", label, "isprs", **place)), "isprs")

    decoded = Pair(class_map, write_ids(tmp_path / "ids.tif", label, **place))
    expected = evaluate_maps([decoded], options=options("isprs"))
    np.testing.assert_array_equal(found.confusion.matrix, expected.confusion.matrix)
    assert found.confusion.scored


def test_they_are_eroded_after_they_are_decoded(tmp_path: Path) -> None:
    label = np.kron(random_ids(3, 5, seed=1, values=(0, 1, 5)), np.ones((8, 8), np.uint8))
    class_map = write_map(tmp_path / "map.tif", label, published_labels("isprs").classes)
    how = EvaluateOptions(protocol="isprs", erode=2)

    found = evaluate_maps(
        read_as([Pair(class_map, handed_out(tmp_path / "raw.tif", label, "isprs"))], "isprs", erode=2),
        options=how,
    )

    expected = evaluate_maps(
        [Pair(class_map, write_ids(tmp_path / "ids.tif", label, **DEGREES))], options=how
    )
    np.testing.assert_array_equal(found.confusion.matrix, expected.confusion.matrix)
    assert found.confusion.ignored == expected.confusion.ignored > 0


def test_their_classes_are_moved_by_name(tmp_path: Path) -> None:
    label, _ = made_up("loveda")
    built = np.isin(label, (1, 2)).astype(np.uint8)
    table = published_labels("loveda").classes
    names = replace(table, classes=table.classes[:2])
    class_map = write_map(tmp_path / "map.tif", built, names)
    moves = tuple(
        Move.parse(f"labels:{name}={'building' if name == 'road' else 'background'}")
        for name in table.names[2:]
    )
    how = EvaluateOptions(moves=moves)

    pairs = read_as(
        [Pair(class_map, handed_out(tmp_path / "raw.tif", label, "loveda"))], "loveda", erode=None
    )
    found = evaluate_maps(pairs, options=how)

    assert found.scores.overall_accuracy == 1.0
    assert found.confusion.ignored == np.count_nonzero(label == 255)


def test_a_map_that_names_no_classes_holds_their_ids(tmp_path: Path) -> None:
    label, prediction = made_up("loveda")
    class_map = write_ids(tmp_path / "map.tif", prediction.astype(np.uint8), **DEGREES)
    raw = handed_out(tmp_path / "raw.tif", label, "loveda")

    found = evaluate_maps(read_as([Pair(class_map, raw)], "loveda", erode=None))

    assert found.classes == published_labels("loveda").classes
    assert_counts(found.confusion, label, prediction.astype(np.uint8), 7)
    assert found.notes[0] == "the class maps do not name their classes; taken for those of loveda"


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        (
            "loveda",
            np.full((1, 8, 8), 8),
            r"has the value 8 at column 0, row 0 \(64 px nearby\), which stands for no",
        ),
        ("ade20k", np.full((1, 8, 8), 151), "has the value 151 at"),
        ("cityscapes", np.full((1, 8, 8), 34), "has the value 34 at"),
        ("isprs", np.zeros((3, 8, 8)), r"has the colour \(0, 0, 0\) at"),
        ("isprs-eroded", np.full((3, 8, 8), 1), r"has the colour \(1, 1, 1\) at"),
        ("uavid", np.full((3, 8, 8), 255), r"has the colour \(255, 255, 255\) at"),
        ("loveda", np.zeros((3, 8, 8)), "has 3 bands, expected one band"),
    ],
)
def test_values_that_do_not_fit_are_refused(
    name: str, pixels: np.ndarray, message: str, tmp_path: Path
) -> None:
    class_map = write_map(tmp_path / "map.tif", np.zeros((8, 8), np.uint8), published_labels(name).classes)
    raw = write_raster(tmp_path / "raw.tif", pixels.astype(np.uint8), **DEGREES)

    with pytest.raises(LabelError, match=message) as caught:
        scored(Pair(class_map, raw), name)

    assert caught.value.hint


@pytest.mark.parametrize("name", ["loveda", "cityscapes", "ade20k"])
def test_class_ids_that_name_their_classes_are_not_decoded_once_more(name: str, tmp_path: Path) -> None:
    label, prediction = made_up(name)
    table = published_labels(name).classes
    class_map = write_map(tmp_path / "map.tif", prediction.astype(np.uint8), table)
    ids = write_map(tmp_path / "ids.tif", label.astype(np.uint8), table)

    with pytest.raises(OptionError, match=r"ids\.tif: names its classes, so it holds class ids") as caught:
        scored(Pair(class_map, ids), name)

    assert caught.value.hint == "leave --labels-as out"


@pytest.mark.parametrize("name", ["loveda", "cityscapes", "ade20k"])
def test_the_255_of_class_ids_is_no_published_value(name: str, tmp_path: Path) -> None:
    class_map = write_map(tmp_path / "map.tif", np.zeros(SIZE, np.uint8), published_labels(name).classes)
    ids = np.full((1, *SIZE), 1, np.uint8)
    ids[0, 3, 7] = 255

    with pytest.raises(LabelError, match="has the value 255 at column 7, row 3") as caught:
        scored(Pair(class_map, write_raster(tmp_path / "ids.tif", ids, **DEGREES)), name)

    assert "255 for no label is how class ids are written" in str(caught.value.hint)


def test_what_a_file_of_values_declares_as_missing_is_no_label(tmp_path: Path) -> None:
    class_map = write_map(tmp_path / "map.tif", np.zeros(SIZE, np.uint8), published_labels("loveda").classes)
    values = np.full((1, *SIZE), 1, np.uint8)
    values[0, 3, 7] = 255

    raw = write_raster(tmp_path / "raw.tif", values, nodata=255, **DEGREES)

    assert scored(Pair(class_map, raw), "loveda").confusion.ignored == 1


@pytest.mark.parametrize(("name", "nodata"), [("uavid", 0), ("isprs", 255)])
def test_a_colour_is_a_class_whatever_nodata_says(name: str, nodata: int, tmp_path: Path) -> None:
    """Black is UAVid's clutter, and white the impervious surfaces of ISPRS."""
    label, prediction = made_up(name)
    table = published_labels(name).classes
    class_map = write_map(tmp_path / "map.tif", prediction.astype(np.uint8), table)

    found = scored(
        Pair(class_map, handed_out(tmp_path / "raw.tif", label, name, nodata=nodata)), name
    ).confusion

    assert_counts(found, label, prediction.astype(np.uint8), len(table))
    assert found.ignored == 0


def test_ids_where_colours_are_expected_are_refused(tmp_path: Path) -> None:
    ids = np.zeros((8, 8), np.uint8)
    class_map = write_map(tmp_path / "map.tif", ids, published_labels("isprs").classes)

    with pytest.raises(RasterError, match=r"ids\.tif: has 1 band"):
        scored(Pair(class_map, write_ids(tmp_path / "ids.tif", ids, **DEGREES)), "isprs")


@pytest.mark.parametrize(
    ("name", "erode", "message", "hint"),
    [
        ("whu", None, "labels of 'whu': unknown", "isprs, isprs-eroded, uavid, loveda, cityscapes, ade20k"),
        ("isprs-eroded", None, "came without the edges of objects", "add --erode given"),
        ("isprs-eroded", 3, "came without the edges of objects", "add --erode given"),
        ("isprs", "given", "these are whole references", "--labels-as isprs-eroded --erode given"),
        *(
            (name, "given", "never handed out without the edges of objects", "--erode 3 to erode them here")
            for name in ("uavid", "loveda", "cityscapes", "ade20k")
        ),
    ],
)
def test_what_would_give_scores_a_wrong_name_is_refused(
    name: str, erode: Any, message: str, hint: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        read_as([], name, erode=erode)

    assert hint in str(caught.value.hint)


def test_polygons_are_not_handed_out(tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path / "boxes.geojson", (0, 0, 4, 4))

    with pytest.raises(
        OptionError, match=r"boxes\.geojson: these labels are polygons; --labels-as loveda is about"
    ):
        read_as([Pair(tmp_path / "map.tif", boxes)], "loveda", erode=None)


def test_classes_that_go_by_other_names_are_refused(tmp_path: Path) -> None:
    label, prediction = made_up("loveda")
    class_map = write_map(
        tmp_path / "map.tif", prediction.astype(np.uint8), published_labels("uavid").classes
    )

    Path(f"{tmp_path}/raw.tif.aux.xml").write_text("<PAMDataset></PAMDataset>")

    with pytest.raises(
        LabelError, match=r"raw\.tif, read as loveda: has the classes background, building, road"
    ) as caught:
        scored(Pair(class_map, handed_out(tmp_path / "raw.tif", label, "loveda")), "loveda")

    assert str(caught.value.hint).endswith("--map FROM=TO")
