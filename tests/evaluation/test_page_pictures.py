"""Pictures inside the page: what they say of each pixel, and that they can be decoded."""

from __future__ import annotations

import base64
import io
import re
import zlib
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from rsseg.classes import ClassInfo, ClassTable
from rsseg.evaluation.page.pictures import (
    FALSE,
    FOUND,
    MISSED,
    NOT_COMPARED,
    OTHERS,
    OUTCOMES,
    RIGHT,
    UNLABELLED,
    WRONG,
    draw_layers,
    outcomes_of,
)
from rsseg.evaluation.page.places import LEGEND, outcome_codes
from tests.evaluation.files import random_ids

LABEL = np.array([[0, 0, 1, 1, 2, 1, 255, 255]], np.uint8)
PREDICTION = np.array([[0, 1, 1, 2, 0, 255, 0, 255]], np.uint8)
CLASSES = ClassTable(
    (ClassInfo(0, "ground", "#000000"), ClassInfo(1, "house", "#FF0000"), ClassInfo(2, "sea", "#0000FF"))
)


def decoded(uri: str) -> np.ndarray:
    """Red, green, blue and opacity (rows, cols, 4)."""
    head, encoded = uri.split(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGBA"))


def test_pixels_are_right_wrong_not_compared_or_unlabelled() -> None:
    assert outcomes_of(LABEL, PREDICTION).tolist() == [
        [RIGHT, WRONG, RIGHT, WRONG, WRONG, NOT_COMPARED, UNLABELLED, UNLABELLED]
    ]


def test_errors_of_one_class_are_told_apart() -> None:
    assert outcomes_of(LABEL, PREDICTION, 1).tolist() == [
        [RIGHT, FALSE, FOUND, MISSED, OTHERS, NOT_COMPARED, UNLABELLED, UNLABELLED]
    ]


@pytest.mark.parametrize("focus", [None, 0, 1, 2])
def test_all_that_can_be_in_a_picture_looks_different_and_is_in_the_legend(focus: int | None) -> None:
    label, prediction = random_ids(30, 30, seed=1), random_ids(30, 30, seed=2)
    shown = outcome_codes(focus, classes=3)

    assert set(np.unique(outcomes_of(label, prediction, focus))) == shown
    assert len({OUTCOMES[code].rgba for code in shown}) == len(shown)
    assert set(LEGEND) == set(range(len(OUTCOMES)))
    assert outcome_codes(0, classes=2) == set(LEGEND) - {WRONG, OTHERS}


def test_the_picture_of_errors_has_the_colours_of_the_legend() -> None:
    layers = draw_layers(np.stack([LABEL, PREDICTION]), None, classes=CLASSES, focus=1)

    expected = [OUTCOMES[code].rgba for code in outcomes_of(LABEL, PREDICTION, 1)[0]]
    found = decoded(layers.difference)[0]
    assert [tuple(c)[:3] for c in found if c[3]] == [c[:3] for c in expected if c[3]]
    assert [c[3] for c in found] == [c[3] for c in expected]
    assert layers.image == ""


def test_rows_of_ids_are_not_filtered_for_the_script_undoes_no_filter() -> None:
    ids = random_ids(40, 60, seed=1)
    uri = draw_layers(np.stack([ids, ids]), None, classes=CLASSES, focus=None).label

    png, packed, at = base64.b64decode(uri.split(",")[1]), b"", 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        packed += png[at + 8 : at + 8 + size] if png[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size

    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(40, 61)
    assert (rows[:, 0] == 0).all()
    np.testing.assert_array_equal(rows[:, 1:], ids)


def test_the_script_knows_every_outcome_by_its_name() -> None:
    script = files("rsseg.evaluation.page").joinpath("page.js").read_text(encoding="utf-8")

    named = set(re.findall(r'codeOf(?:\["|\.)([a-z]+(?: [a-z]+(?="))?)', script))

    assert named == {outcome.name for outcome in OUTCOMES}


def test_over_an_image_a_black_class_is_clear_and_others_are_not_opaque() -> None:
    image = np.full((1, 8, 3), 90, np.uint8)

    layers = draw_layers(np.stack([LABEL, PREDICTION]), image, classes=CLASSES, focus=None)

    ground, _, house = decoded(layers.label)[0, :3]
    assert ground[3] == 0
    assert tuple(house[:3]) == (255, 0, 0)
    assert 0 < house[3] < 255
    assert abs(decoded(layers.image)[..., :3].astype(int) - 90).max() <= 2


def test_without_an_image_classes_have_their_colours() -> None:
    label = decoded(draw_layers(np.stack([LABEL, PREDICTION]), None, classes=CLASSES, focus=None).label)

    assert label[0, [0, 2, 4]].tolist() == [[0, 0, 0, 255], [255, 0, 0, 255], [0, 0, 255, 255]]
