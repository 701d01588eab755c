"""What users say about polygons."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import OptionError
from rsseg.evaluation.rules import LabelRules

TWO = ClassTable((ClassInfo(0, "ground", "#000000"), ClassInfo(1, "building", "#FF0000")))
THREE = ClassTable((*TWO.classes, ClassInfo(2, "road", "#808080")))

POLYGONS = Path("houses.geojson")
PIXELS = Path("labels.tif")


@pytest.mark.parametrize(
    ("given", "class_id", "between"), [("building", 1, 0), ("ground", 0, 1), ("1", 1, 0)]
)
def test_of_two_classes_the_other_one_lies_between_the_features(
    given: str, class_id: int, between: int
) -> None:
    ids = LabelRules(class_name=given).class_ids(TWO)

    assert (ids.class_id, ids.unlabelled) == (class_id, between)


@pytest.mark.parametrize("classes", [THREE, None])
def test_of_more_classes_somebody_has_to_say_what_lies_between(classes: ClassTable | None) -> None:
    with pytest.raises(OptionError, match="what the pixels between are is not said") as caught:
        LabelRules(class_name="1").class_ids(classes)

    assert "--unlabelled" in str(caught.value.hint)


@pytest.mark.parametrize(("given", "expected"), [("ignore", 255), ("road", 2), ("0", 0)])
def test_what_lies_between_can_be_said(given: str, expected: int | None) -> None:
    assert LabelRules(class_name="building", unlabelled=given).class_ids(THREE).unlabelled == expected


def test_values_of_an_attribute_keep_their_order_and_the_rest_is_ignored() -> None:
    rules = LabelRules(attribute="kind", values={"street": "road", "house": "building", "hut": "1"})

    ids = rules.class_ids(THREE)

    assert list(ids.values.items()) == [("street", 2), ("house", 1), ("hut", 1)]
    assert (ids.class_id, ids.unlabelled) == (None, None)


@pytest.mark.parametrize("given", ["ignore", "255"])
@pytest.mark.parametrize("classes", [THREE, None])
def test_a_value_can_be_left_out(given: str, classes: ClassTable | None) -> None:
    rules = LabelRules(attribute="kind", values={"None": given, "house": "1"})

    assert rules.class_ids(classes).values == {"None": 255, "house": 1}


def test_a_class_may_be_called_ignore() -> None:
    table = ClassTable((ClassInfo(0, "ignore", "#000000"), ClassInfo(1, "building", "#FF0000")))

    assert LabelRules(attribute="kind", values={"a": "ignore"}).class_ids(table).values == {"a": 0}


def test_a_name_made_of_digits_is_a_name_first() -> None:
    table = ClassTable((ClassInfo(0, "1", "#000000"), ClassInfo(1, "0", "#FF0000")))

    assert LabelRules(class_name="1").class_ids(table).class_id == 0


@pytest.mark.parametrize("name", ["house", "3", "-1", "1.0"])
def test_a_class_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="no such class") as caught:
        LabelRules(class_name=name, unlabelled="ignore").class_ids(THREE)

    assert caught.value.hint == "classes are: ground, building, road"


def test_names_need_a_table_of_classes_but_ids_do_not() -> None:
    assert LabelRules(class_name="7", unlabelled="0").class_ids(None).class_id == 7
    with pytest.raises(OptionError, match="class maps do not name their classes") as caught:
        LabelRules(class_name="building", unlabelled="0").class_ids(None)
    assert "--classes" in str(caught.value.hint)


def test_rules_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        LabelRules(class_name="building", attribute="kind", values={"house": "building"})
    with pytest.raises(OptionError, match="belong together"):
        LabelRules(attribute="kind")
    with pytest.raises(OptionError, match="belong together"):
        LabelRules(values={"house": "building"})


def test_polygons_need_a_class() -> None:
    LabelRules(class_name="building").check_fits(POLYGONS)
    with pytest.raises(
        OptionError, match="these labels are polygons; which class they are is not said"
    ) as caught:
        LabelRules(aoi=Path("val.geojson")).check_fits(POLYGONS)
    assert "--class building" in str(caught.value.hint)


@pytest.mark.parametrize(
    "rules",
    [
        LabelRules(class_name="building"),
        LabelRules(attribute="kind", values={"house": "building"}),
        LabelRules(unlabelled="ignore"),
        LabelRules(layer="houses"),
    ],
)
def test_pixels_have_their_class(rules: LabelRules) -> None:
    LabelRules(aoi=Path("val.geojson")).check_fits(PIXELS)
    with pytest.raises(OptionError, match="these labels are pixels"):
        rules.check_fits(PIXELS)
