"""Scores: the published fixtures, definitions written out, and every undefined value."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import ArrayLike, NDArray

from rsseg.evaluation import confusion_matrix, scores_of
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES
from tests.conftest import PARITY
from tests.shared import shared_folder

TOLERANCE = 1e-12
SUMMARY_NAMES = {
    "oa": "overall_accuracy",
    "kappa": "kappa",
    "fwiou": "frequency_weighted_iou",
    "aa": "average_accuracy",
    "miou": "mean_iou",
    "mf1": "mean_f1",
}
"""Of the fixtures, and ours."""
VARIANTS = ("full", "eroded3", "full_lastclass_ignored", "eroded3_lastclass_ignored")

matrices = st.integers(1, 5).flatmap(
    lambda k: hnp.arrays(np.int64, (k, k), elements=st.one_of(st.just(0), st.integers(0, 50)))
)


def fixtures() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    folder = shared_folder("specs", "fixtures")
    with np.load(folder / "metrics.npz") as arrays:
        return json.loads((folder / "metrics.json").read_text()), dict(arrays)


def label_of(case: str, variant: str, arrays: dict[str, NDArray[Any]], classes: int) -> NDArray[np.uint8]:
    """The reference of a variant: eroded or not, the last class left out or not."""
    label = arrays[f"{case}/label_eroded3" if variant.startswith("eroded3") else f"{case}/label"].copy()
    if variant.endswith("lastclass_ignored"):
        label[label == classes - 1] = 255
    return label


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_matrix_and_scores_are_those_of_the_fixtures(
    case: str, variant: str, record_property: Callable[[str, object], None]
) -> None:
    document, arrays = fixtures()
    classes = document["cases"][case]["classes"]
    expected = document["cases"][case]["variants"][variant]

    matrix = confusion_matrix(label_of(case, variant, arrays, classes), arrays[f"{case}/pred"], classes)
    scores = scores_of(matrix)

    np.testing.assert_array_equal(matrix, arrays[f"{case}/{variant}/cm"])
    errors = [worst_error(getattr(scores, name), arrays[f"{case}/{variant}/{name}"]) for name in CLASS_SCORES]
    errors += [worst_error(getattr(scores, ours), expected[theirs]) for theirs, ours in SUMMARY_NAMES.items()]
    record_property(
        PARITY,
        f"{f'metrics {case} {variant}':48} float64  {max(errors):8.1e}  {TOLERANCE:8.1e}"
        f"  {max(errors) / TOLERANCE:6.3f}",
    )
    assert max(errors) <= TOLERANCE
    assert scores.pixels == expected["n"]


def worst_error(found: ArrayLike, expected: ArrayLike) -> float:
    """The largest difference; infinite where only one of the two is NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    both_undefined = np.isnan(found) & np.isnan(expected)
    return float(np.where(both_undefined, 0.0, np.nan_to_num(np.abs(found - expected), nan=np.inf)).max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_means_over_chosen_classes_are_those_of_the_fixtures(case: str, variant: str) -> None:
    document, arrays = fixtures()
    expected = document["cases"][case]["variants"][variant]
    classes = document["cases"][case]["classes"]
    excluded = document["cases"][case]["last_class_excluded_from_kept_means"]
    if excluded is None and variant.endswith("lastclass_ignored"):
        excluded = classes - 1

    scores = scores_of(arrays[f"{case}/{variant}/cm"], mean_over=[k for k in range(classes) if k != excluded])

    assert scores.mean_iou == pytest.approx(expected["miou_kept"], abs=1e-14)
    assert scores.mean_f1 == pytest.approx(expected["mf1_kept"], abs=1e-14)


def test_scores_of_several_images_come_from_the_summed_matrix() -> None:
    document, arrays = fixtures()
    expected = document["accumulated"]

    matrix = sum(
        confusion_matrix(arrays[f"{case}/label"], arrays[f"{case}/pred"], 6) for case in expected["cases"]
    )
    scores = scores_of(np.asarray(matrix))

    assert np.asarray(matrix).tolist() == expected["cm"]
    assert scores.iou == pytest.approx(expected["iou"], abs=1e-14)
    assert scores.mean_iou == pytest.approx(expected["miou"], abs=1e-14)
    assert scores.overall_accuracy == pytest.approx(expected["oa"], abs=1e-14)


def test_an_example_checked_by_hand() -> None:
    scores = scores_of(np.array([[3, 1], [2, 4]]))

    assert scores.iou == pytest.approx((3 / 6, 4 / 7))
    assert scores.f1 == pytest.approx((6 / 9, 8 / 11))
    assert scores.precision == pytest.approx((3 / 5, 4 / 5))
    assert scores.recall == pytest.approx((3 / 4, 4 / 6))
    assert scores.overall_accuracy == pytest.approx(7 / 10)
    assert scores.mean_iou == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert scores.mean_f1 == pytest.approx((6 / 9 + 8 / 11) / 2)
    assert scores.kappa == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert scores.average_accuracy == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert scores.frequency_weighted_iou == pytest.approx(0.4 * 3 / 6 + 0.6 * 4 / 7)
    assert scores.pixels == 10


@given(matrices)
def test_class_scores_are_their_definitions(matrix: NDArray[np.int64]) -> None:
    scores = scores_of(matrix)

    for k in range(len(matrix)):
        tp = int(matrix[k, k])
        fp, fn = int(matrix[:, k].sum()) - tp, int(matrix[k].sum()) - tp
        expected = {
            "iou": (tp, tp + fp + fn),
            "f1": (2 * tp, 2 * tp + fp + fn),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
        }
        for name, (above, below) in expected.items():
            value = above / below if below else math.nan
            assert getattr(scores, name)[k] == pytest.approx(value, nan_ok=True)


@given(matrices)
def test_kappa_is_its_definition(matrix: NDArray[np.int64]) -> None:
    n = matrix.sum()
    kappa = scores_of(matrix).kappa

    agreement = np.trace(matrix) / n if n else 0.0
    chance = (matrix.sum(0) / n) @ (matrix.sum(1) / n) if n else 1.0

    expected = (agreement - chance) / (1 - chance) if chance < 1 - 1e-9 else math.nan
    assert kappa == pytest.approx(expected, nan_ok=True, abs=1e-9)


@given(matrices, st.randoms())
def test_the_order_of_the_classes_does_not_change_the_means(matrix: NDArray[np.int64], random: Any) -> None:
    order = list(range(len(matrix)))
    random.shuffle(order)

    one, other = scores_of(matrix), scores_of(matrix[np.ix_(order, order)])

    for name in SUMMARY_SCORES:
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)


@given(matrices, st.integers(2, 9))
def test_scores_do_not_depend_on_how_often_the_same_pixels_come(
    matrix: NDArray[np.int64], times: int
) -> None:
    one, other = scores_of(matrix).to_dict(), scores_of(matrix * times).to_dict()

    for name in (*CLASS_SCORES, *SUMMARY_SCORES):
        assert other[name] == pytest.approx(one[name])


def test_a_class_in_neither_is_undefined_and_in_no_mean() -> None:
    scores = scores_of(np.array([[4, 1, 0], [1, 4, 0], [0, 0, 0]]))

    assert math.isnan(scores.iou[2])
    assert math.isnan(scores.f1[2])
    assert scores.mean_iou == pytest.approx(4 / 6)


def test_a_class_that_is_predicted_but_not_there_counts_as_zero() -> None:
    scores = scores_of(np.array([[4, 1], [0, 0]]))

    assert (scores.iou[1], scores.f1[1], scores.precision[1]) == (0.0, 0.0, 0.0)
    assert math.isnan(scores.recall[1])
    assert scores.mean_iou == pytest.approx(0.8 / 2)
    assert scores.average_accuracy == pytest.approx(0.8)


def test_a_class_that_is_never_predicted_has_no_precision_but_counts_as_zero() -> None:
    scores = scores_of(np.array([[4, 0], [1, 0]]))

    assert (scores.iou[1], scores.f1[1], scores.recall[1]) == (0.0, 0.0, 0.0)
    assert math.isnan(scores.precision[1])
    assert scores.mean_f1 == pytest.approx((8 / 9) / 2)


def test_one_class_everywhere_is_perfect_but_has_no_kappa() -> None:
    scores = scores_of(np.array([[9, 0], [0, 0]]))

    assert scores.overall_accuracy == 1.0
    assert scores.mean_iou == 1.0
    assert math.isnan(scores.kappa)


def test_no_pixel_leaves_everything_undefined() -> None:
    values = scores_of(np.zeros((2, 2), dtype=np.int64)).to_dict()

    assert {name: values[name] for name in SUMMARY_SCORES} == dict.fromkeys(SUMMARY_SCORES)
    assert {name: values[name] for name in CLASS_SCORES} == {name: [None, None] for name in CLASS_SCORES}
    assert values["pixels"] == 0


def test_counts_beyond_32_bits_stay_exact() -> None:
    scores = scores_of(np.array([[3, 1], [2, 4]]) * 10**10)

    assert scores.kappa == pytest.approx(0.4)
    assert scores.pixels == 10**11


def test_scores_as_json_keep_every_value() -> None:
    text = json.dumps(scores_of(np.array([[3, 1], [0, 0]])).to_dict(), allow_nan=False)

    values = json.loads(text)
    assert values["iou"] == [0.75, 0.0]
    assert values["recall"] == [0.75, None]
    assert values["mean_over"] == [0, 1]
