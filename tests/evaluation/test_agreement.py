"""Which classes are compared, and classes that count as others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import LabelError, OptionError
from rsseg.evaluation import (
    PROTOCOLS,
    EvaluateOptions,
    Move,
    Pair,
    evaluate_maps,
)
from rsseg.evaluation.protocols import find_protocol
from tests.evaluation.files import (
    DEGREES,
    assert_counts,
    random_ids,
    write_ids,
    write_map,
)
from tests.making import THREE


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
    monkeypatch.setattr("rsseg.evaluation.counting._SIDE", 16)
    label = np.zeros((32, 32), np.uint8)
    label[20, 5:9] = 9
    pair = Pair(
        write_ids(tmp_path / "map.tif", np.zeros_like(label)), write_ids(tmp_path / "label.tif", label)
    )

    with pytest.raises(LabelError) as caught:
        evaluate_maps([pair], THREE)

    assert str(caught.value) == (
        f"{pair.labels} against {pair.prediction}, 32 x 8 px at column 0, row 16: labels hold id 9 (4 px); "
        "the 3 classes have ids 0 to 2, 255 is left out"
    )


# --- classes that count as others ------------------------------------------------------------------------------------


def moved(*texts: str) -> EvaluateOptions:
    return EvaluateOptions(moves=tuple(Move.parse(text) for text in texts))


def test_classes_are_merged_in_labels_and_map(tmp_path: Path) -> None:
    label, prediction = random_ids(9, 9, seed=1), random_ids(9, 9, seed=2)
    named = write_map(tmp_path / "map.tif", prediction)
    pair = Pair(named, write_ids(tmp_path / "label.tif", label, **DEGREES))
    merge = np.arange(256, dtype=np.uint8)
    merge[:3] = 0, 1, 0

    evaluation = evaluate_maps([pair], options=moved("blue=red"))

    assert evaluation.classes.names == ("red", "green")
    assert_counts(evaluation.confusion, merge[label], merge[prediction], 2)
    blue = [np.count_nonzero(ids == 2) for ids in (label, prediction)]
    assert evaluation.pairs[0].notes == (
        f"{pair.labels}: blue counted as red, {blue[0]} px",
        f"{named}: blue counted as red, {blue[1]} px",
    )


def test_labels_of_other_classes_are_brought_to_those_of_the_map(tmp_path: Path) -> None:
    label, prediction = random_ids(9, 9, seed=1, values=(0, 1)), random_ids(9, 9, seed=2)
    two = ClassTable((ClassInfo(0, "sea", "#000000"), ClassInfo(1, "red", "#FF0000")))
    pair = Pair(write_map(tmp_path / "map.tif", prediction), write_map(tmp_path / "label.tif", label, two))

    evaluation = evaluate_maps([pair], options=moved("labels:sea=blue"))

    assert evaluation.classes == THREE
    assert_counts(evaluation.confusion, np.array([2, 0], np.uint8)[label], prediction, 3)


def test_an_ignored_class_is_left_out_of_labels_and_means_but_stays_an_error(tmp_path: Path) -> None:
    label, prediction = random_ids(9, 9, seed=1), random_ids(9, 9, seed=2)
    pair = Pair(write_map(tmp_path / "map.tif", prediction), write_ids(tmp_path / "l.tif", label, **DEGREES))

    evaluation = evaluate_maps([pair], options=moved("blue=ignore"))

    expected = np.where(label == 2, 255, label).astype(np.uint8)
    assert_counts(evaluation.confusion, expected, prediction, 3)
    assert evaluation.confusion.matrix[:2, 2].sum() > 0
    assert evaluation.scores.mean_over == (0, 1)


def test_predictions_are_left_out_only_where_that_is_said_and_then_shown(tmp_path: Path) -> None:
    label, prediction = random_ids(9, 9, seed=1), random_ids(9, 9, seed=2)
    pair = Pair(write_map(tmp_path / "map.tif", prediction), write_ids(tmp_path / "l.tif", label, **DEGREES))

    evaluation = evaluate_maps([pair], options=moved("prediction:blue=ignore"))

    assert_counts(evaluation.confusion, label, np.where(prediction == 2, 255, prediction).astype(np.uint8), 3)
    assert evaluation.scores.mean_over == (0, 1, 2)


def test_ids_of_nameless_rasters_can_be_moved(tmp_path: Path) -> None:
    label = random_ids(9, 9, seed=1, values=(0, 1, 7, 200))
    prediction = random_ids(9, 9, seed=2, values=(0, 1))
    pair = Pair(write_ids(tmp_path / "map.tif", prediction), write_ids(tmp_path / "label.tif", label))
    merge = np.arange(256, dtype=np.uint8)
    merge[7], merge[200] = 1, 255

    for classes in (None, ClassTable.unnamed(2)):
        evaluation = evaluate_maps([pair], classes, options=moved("labels:7=1", "labels:200=ignore"))

        assert_counts(evaluation.confusion, merge[label], prediction, 2)


def test_renaming_makes_a_map_fit_a_protocol(tmp_path: Path) -> None:
    names = ["Impervious surfaces", "Building", "Low vegetation", "Tree", "Car", "Clutter/background"]
    table = ClassTable(tuple(ClassInfo(i, name, "#000000") for i, name in enumerate(names)))
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1, values=(0, 1, 5)), table)
    moves = ("Impervious surfaces=impervious_surface", "Clutter/background=clutter")
    options = replace(moved(*moves), protocol="isprs")

    evaluation = evaluate_maps([Pair(path, path)], options=options)

    assert evaluation.classes.names == ("impervious_surface", *names[1:5], "clutter")
    assert evaluation.scores.mean_over == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("move", "message"),
    [
        ("hut=red", "no raster has the class 'hut'"),
        ("labels:red=hut", "'hut' is no class that is compared"),
        ("17=red", "no raster has the class '17'"),
    ],
)
def test_moves_of_classes_that_do_not_exist_are_refused(tmp_path: Path, move: str, message: str) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    with pytest.raises(OptionError, match=message) as caught:
        evaluate_maps([Pair(path, path)], options=moved(move))

    assert "red, green, blue" in str(caught.value.hint)


def test_a_class_that_becomes_none_of_those_compared_is_refused(tmp_path: Path) -> None:
    class_map = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))
    sea = ClassTable((ClassInfo(0, "sea", "#000000"), ClassInfo(1, "red", "#FF0000")))
    labels = write_map(tmp_path / "label.tif", random_ids(8, 8, seed=1, values=(0, 1)), sea)

    with pytest.raises(
        LabelError, match=r"label\.tif: has the class 'sea'; compared are red, green"
    ) as caught:
        evaluate_maps([Pair(class_map, labels)], options=moved("blue=green"))

    assert "--map 'sea=CLASS'" in str(caught.value.hint)


def test_values_that_are_no_class_are_refused_before_they_are_moved(tmp_path: Path) -> None:
    named = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))
    labels = write_ids(tmp_path / "label.tif", np.full((8, 8), 9, np.uint8), **DEGREES)

    with pytest.raises(LabelError, match=r"label\.tif against .*: id 9 \(64 px with such ids\) is no class"):
        evaluate_maps([Pair(named, labels)], options=moved("blue=red"))


def test_something_must_be_left_for_the_means(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    with pytest.raises(OptionError, match="every class is left out of the means"):
        evaluate_maps([Pair(path, path)], options=moved("red=ignore", "green=ignore", "blue=ignore"))


def test_classes_given_are_those_compared_whatever_is_moved(tmp_path: Path) -> None:
    label, prediction = random_ids(9, 9, seed=1), random_ids(9, 9, seed=2)
    bare = Pair(
        write_ids(tmp_path / "map.tif", prediction, **DEGREES),
        write_ids(tmp_path / "label.tif", label, **DEGREES),
    )
    merge = np.array([0, 1, 1], np.uint8)
    merge = np.append(merge, np.full(253, 255, np.uint8))

    evaluation = evaluate_maps([bare], THREE, options=moved("blue=green"))

    assert evaluation.classes == THREE
    assert_counts(evaluation.confusion, merge[label], merge[prediction], 3)


def test_a_target_may_be_given_by_its_id(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    by_id = evaluate_maps([Pair(path, path)], options=moved("0=2"))
    by_name = evaluate_maps([Pair(path, path)], options=moved("red=blue"))

    assert by_id.classes.names == by_name.classes.names == ("blue", "green")
    assert by_id.to_dict()["confusion_matrix"] == by_name.to_dict()["confusion_matrix"]


@pytest.mark.parametrize("named", ["labels", "maps"])
def test_a_named_raster_says_what_a_nameless_one_holds_under_a_protocol(tmp_path: Path, named: str) -> None:
    """Not in the protocol's order: the names that are there count, and not the place of an id in the protocol."""
    names = ["building", "car", "clutter", "impervious_surface", "low_vegetation", "tree"]
    table = ClassTable(tuple(ClassInfo(i, name, "#000000") for i, name in enumerate(names)))
    ids = random_ids(8, 8, seed=1, values=(0, 1, 2))
    one, other = (
        write_map(tmp_path / "named.tif", ids, table),
        write_ids(tmp_path / "bare.tif", ids, **DEGREES),
    )
    pair = Pair(other, one) if named == "labels" else Pair(one, other)

    evaluation = evaluate_maps([pair], options=EvaluateOptions(protocol="isprs"))

    assert evaluation.classes.names == tuple(names)
    assert evaluation.scores.mean_over == (0, 1, 3, 4, 5)


# --- second maps -----------------------------------------------------------------------------------------------------


def test_second_maps_of_other_classes_are_refused_and_can_be_moved(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1)
    one = write_map(tmp_path / "one.tif", ids)
    other = write_map(tmp_path / "other.tif", ids, replace_name(THREE, "red", "crimson"))

    with pytest.raises(LabelError, match=r"other\.tif.*crimson"):
        evaluate_maps([Pair(one, one, other=other)])
    options = EvaluateOptions(moves=(Move.parse("crimson=red"),))
    found = evaluate_maps([Pair(one, one, other=other)], options=options)

    assert found.sections[0].scores["mean_iou_b"] == 1.0


def test_unnamed_second_maps_have_the_classes_of_the_first(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1)
    named = write_map(tmp_path / "named.tif", ids)
    bare = write_ids(tmp_path / "bare.tif", ids, **DEGREES)

    for pair in (Pair(named, named, other=bare), Pair(named, bare, other=named)):
        assert evaluate_maps([pair]).classes == THREE
        assert evaluate_maps([pair]).sections[0].scores["mean_iou_difference"] == 0


def test_moves_of_unnamed_maps_take_the_names_of_their_labels(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1)
    named = write_map(tmp_path / "named.tif", ids)
    bare = write_ids(tmp_path / "bare.tif", ids, **DEGREES)

    found = evaluate_maps([Pair(bare, named)], options=EvaluateOptions(moves=(Move.parse("red=blue"),)))

    assert found.classes.names == ("blue", "green")
    assert found.scores.mean_iou == 1.0
    assert found.notes == (f"the class maps do not name their classes; taken for those of {named}",)


def test_a_confidence_or_second_map_for_some_pairs_only_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", random_ids(8, 8, seed=1))

    with pytest.raises(OptionError, match="1 of 2 pairs have a second map"):
        evaluate_maps([Pair(path, path), Pair(path, path, other=path)])
    with pytest.raises(OptionError, match="1 of 2 pairs have a confidence"):
        evaluate_maps([Pair(path, path, confidence=path), Pair(path, path)])


def replace_name(classes: ClassTable, old: str, new: str) -> ClassTable:
    return ClassTable(tuple(replace(c, name=new) if c.name == old else c for c in classes))


# --- label files as they were handed out -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("loveda", 7), ("ade20k", 150)])
@pytest.mark.parametrize("named", [False, True])
def test_how_ids_of_nameless_labels_are_read_is_said(
    tmp_path: Path, name: str, count: int, *, named: bool
) -> None:
    ids = random_ids(8, 8, seed=1, values=(0, 1, count - 1))
    labels = write_ids(tmp_path / "label.tif", ids, **DEGREES)
    classes = find_protocol(name).own_classes()
    assert classes is not None
    class_map = write_map(tmp_path / "map.tif", ids, classes) if named else labels
    options = EvaluateOptions(protocol=name)

    notes = evaluate_maps([Pair(class_map, labels)], options=options).notes

    assert notes[-1].startswith(f"ids are taken as 0 to {count - 1}; ")
    assert f"hold 1 to {count} and 0 for no " in notes[-1]
    assert notes[-1].endswith(f"--labels-as {name}")
    if named:
        assert evaluate_maps([Pair(labels, class_map)], options=options).notes == ()


def test_the_highest_id_of_label_files_as_handed_out_shows_what_they_are(tmp_path: Path) -> None:
    ids = random_ids(8, 8, seed=1, values=(0, 1, 6))
    class_map = write_ids(tmp_path / "map.tif", ids)
    labels = write_ids(tmp_path / "label.tif", ids + 1)
    options = EvaluateOptions(protocol="loveda")

    with pytest.raises(LabelError, match=rf"labels hold id 7 \({np.count_nonzero(ids == 6)} px\)") as caught:
        evaluate_maps([Pair(class_map, labels)], options=options)

    assert str(caught.value.hint) == PROTOCOLS["loveda"].handed_out
    assert "--labels-as loveda" in PROTOCOLS["loveda"].handed_out
    sorted_out = replace(options, moves=(Move.parse("labels:7=ignore"),))
    assert evaluate_maps([Pair(class_map, labels)], options=sorted_out).confusion.ignored == np.count_nonzero(
        ids == 6
    )
