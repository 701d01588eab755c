"""The confusion matrix: laws, an obvious second version, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.errors import LabelError
from rsseg.evaluation import Confusion, confusion_matrix, count_pixels

CLASSES = 4

ids = st.sampled_from([*range(CLASSES), 255])


def maps(shape: tuple[int, int] = (9, 7)) -> st.SearchStrategy[NDArray[np.uint8]]:
    return hnp.arrays(np.uint8, shape, elements=ids)


def counted_one_by_one(label: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> Confusion:
    """The definition, pixel by pixel."""
    matrix = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    ignored = nodata = 0
    for reference, predicted in zip(label.flat, prediction.flat, strict=True):
        if reference == IGNORE_INDEX:
            ignored += 1
        elif predicted == NODATA_CLASS:
            nodata += 1
        else:
            matrix[reference, predicted] += 1
    return Confusion(matrix, ignored, nodata)


def assert_equal(found: Confusion, expected: Confusion) -> None:
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert (found.ignored, found.nodata) == (expected.ignored, expected.nodata)


@given(maps(), maps())
def test_equals_counting_one_by_one(label: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
    found = count_pixels(label, prediction, CLASSES)

    assert_equal(found, counted_one_by_one(label, prediction))


@given(maps(), maps())
def test_every_pixel_is_counted_once(label: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
    found = count_pixels(label, prediction, CLASSES)

    assert found.scored + found.ignored + found.nodata == label.size
    assert found.labelled == (label != IGNORE_INDEX).sum()


@given(maps(), maps(), st.integers(0, 9))
def test_parts_add_up_to_the_whole(label: NDArray[np.uint8], prediction: NDArray[np.uint8], cut: int) -> None:
    upper = count_pixels(label[:cut], prediction[:cut], CLASSES)
    lower = count_pixels(label[cut:], prediction[cut:], CLASSES)

    assert_equal(upper + lower, count_pixels(label, prediction, CLASSES))


@given(maps(), maps())
def test_exchanging_label_and_prediction_transposes_the_matrix(
    label: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> None:
    matrix = confusion_matrix(label, prediction, CLASSES)

    np.testing.assert_array_equal(confusion_matrix(prediction, label, CLASSES), matrix.T)


def test_more_pixels_than_are_counted_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsseg.evaluation.confusion._CHUNK", 10)
    rng = np.random.default_rng(1)
    label, prediction = rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), size=(2, 9, 7))

    found = count_pixels(label, prediction, CLASSES)

    assert_equal(found, counted_one_by_one(label, prediction))


def test_arrays_that_are_views_of_others_are_counted_alike() -> None:
    whole = np.arange(64, dtype=np.uint8).reshape(8, 8) % CLASSES

    found = confusion_matrix(whole[::2, 1::3], whole.T[::2, 1::3], CLASSES)

    np.testing.assert_array_equal(
        found, confusion_matrix(whole[::2, 1::3].copy(), whole.T[::2, 1::3].copy(), CLASSES)
    )


def test_rows_are_the_reference() -> None:
    label, prediction = np.array([0, 0, 1], np.uint8), np.array([1, 1, 1], np.uint8)

    assert confusion_matrix(label, prediction, 2).tolist() == [[0, 2], [0, 1]]


def test_no_pixel_gives_zeros_of_the_right_kind() -> None:
    found = count_pixels(np.zeros((0, 5), np.uint8), np.zeros((0, 5), np.uint8), 3)

    assert_equal(found, Confusion.empty(3))
    assert found.matrix.dtype == np.int64
    assert found.nodata_share == 0.0


def test_255_classes_use_all_ids_but_nodata() -> None:
    label = np.arange(256, dtype=np.uint8)

    found = count_pixels(label, label, 255)

    assert_equal(found, Confusion(np.eye(255, dtype=np.int64), ignored=1))


def test_the_share_without_a_prediction_is_of_labelled_pixels() -> None:
    label = np.array([0, 1, 1, 1, 255, 255], np.uint8)
    prediction = np.array([0, 1, 1, 255, 255, 0], np.uint8)

    assert count_pixels(label, prediction, 2).nodata_share == 0.25


def test_a_label_outside_the_classes_is_refused_with_id_and_count() -> None:
    label = np.array([0, 7, 7, 200, 1], np.uint8)

    with pytest.raises(LabelError, match=r"labels hold id 7 \(2 px\), id 200 \(1 px\); the 2 classes have"):
        count_pixels(label, np.zeros(5, np.uint8), 2)


def test_a_prediction_outside_the_classes_is_refused() -> None:
    prediction = np.array([2, 3, 4, 5, 5], np.uint8)

    with pytest.raises(LabelError, match=r"the class map holds id 2 \(1 px\), .* and 1 more; the 2 classes"):
        count_pixels(np.zeros(5, np.uint8), prediction, 2)


def test_a_prediction_outside_the_classes_does_not_matter_where_the_label_is_ignored() -> None:
    found = count_pixels(np.array([255, 0], np.uint8), np.array([9, 0], np.uint8), 1)

    assert_equal(found, Confusion(np.ones((1, 1), dtype=np.int64), ignored=1))


@pytest.mark.parametrize(
    ("label", "prediction"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)),
        (np.zeros(3, np.int64), np.zeros(3, np.uint8)),
        (np.zeros(3, np.uint8), np.zeros(3, np.float32)),
    ],
)
def test_arrays_of_another_kind_are_a_mistake_of_the_caller(
    label: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match="label is"):
        confusion_matrix(label, prediction, 2)
