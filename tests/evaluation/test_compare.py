"""Comparing two maps: counting one by one, the tests of SciPy, and the variance of kappa by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from rsseg.errors import LabelError
from rsseg.evaluation import confusion_matrix, scores_of
from rsseg.evaluation.compare import (
    A_ONLY,
    B_ONLY,
    BOTH,
    NEITHER,
    ComparisonCounter,
    ComparisonCounts,
    WhereBothHaveData,
    count_comparison,
    kappa_test,
    kappa_variance,
    mcnemar,
    outcomes,
)
from rsseg.evaluation.counters import ConfusionCounter
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

Ids = NDArray[np.uint8]

CLASSES = 3
maps = hnp.arrays(np.uint8, 30, elements=st.sampled_from([0, 1, 2, 255]))


@given(maps, maps, maps)
def test_counts_are_those_of_counting_one_by_one(label: Ids, a: Ids, b: Ids) -> None:
    found = count_comparison(label, a, b, CLASSES)

    expected = np.zeros((CLASSES, 4), dtype=np.int64)
    for reference, one, other in zip(label, a, b, strict=True):
        if 255 not in (reference, one, other):
            which = {
                (True, True): BOTH,
                (True, False): A_ONLY,
                (False, True): B_ONLY,
                (False, False): NEITHER,
            }
            expected[reference, which[bool(one == reference), bool(other == reference)]] += 1
    np.testing.assert_array_equal(found.outcomes, expected)


@given(maps, maps, maps)
def test_both_matrices_are_of_the_pixels_that_all_three_have(label: Ids, a: Ids, b: Ids) -> None:
    found = count_comparison(label, a, b, CLASSES)

    common = (label != 255) & (a != 255) & (b != 255)
    np.testing.assert_array_equal(found.a.matrix, confusion_matrix(label[common], a[common], CLASSES))
    np.testing.assert_array_equal(found.b.matrix, confusion_matrix(label[common], b[common], CLASSES))
    assert found.a.nodata == found.b.nodata == ((label != 255) & ~common).sum()
    assert found.outcomes.sum() == common.sum()


@given(maps, maps, maps, st.integers(0, 30))
def test_parts_add_up_to_the_whole(label: Ids, a: Ids, b: Ids, cut: int) -> None:
    parts = [count_comparison(label[p], a[p], b[p], CLASSES) for p in (slice(cut), slice(cut, None))]

    total, whole = parts[0] + parts[1], count_comparison(label, a, b, CLASSES)
    np.testing.assert_array_equal(total.outcomes, whole.outcomes)
    np.testing.assert_array_equal(total.a.matrix, whole.a.matrix)
    np.testing.assert_array_equal(total.b.matrix, whole.b.matrix)


def test_outcomes_pixel_by_pixel() -> None:
    label, a, b = (
        np.uint8([1, 1, 1, 1, 255, 1, 1]),
        np.uint8([1, 1, 0, 0, 1, 255, 1]),
        np.uint8([1, 0, 1, 2, 1, 1, 255]),
    )

    assert outcomes(label, a, b).tolist() == [BOTH, A_ONLY, B_ONLY, NEITHER, 255, 255, 255]


def counts_of(a_only: int, b_only: int) -> ComparisonCounts:
    label = np.zeros(a_only + b_only + 5, dtype=np.uint8)
    a, b = label.copy(), label.copy()
    b[:a_only] = 1
    a[a_only : a_only + b_only] = 1
    return count_comparison(label, a, b, 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_that_of_scipy(a_only: int, b_only: int) -> None:
    found = mcnemar(counts_of(a_only, b_only))

    assert (found.a_only, found.b_only) == (a_only, b_only)
    if a_only + b_only == 0:
        assert all(math.isnan(v) for v in (found.chi2, found.p, found.chi2_corrected, found.p_exact))
        return
    expected = stats.chisquare([a_only, b_only])  # against equal halves: the same statistic
    assert found.chi2 == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.p_corrected == pytest.approx(stats.chi2.sf(found.chi2_corrected, 1))
    assert found.p_exact == pytest.approx(stats.binomtest(a_only, a_only + b_only).pvalue)


def test_mcnemar_by_hand() -> None:
    found = mcnemar(counts_of(30, 12))

    assert found.chi2 == pytest.approx(18**2 / 42)
    assert found.chi2_corrected == pytest.approx(17**2 / 42)


def test_the_continuity_correction_goes_no_further_than_equality() -> None:
    assert mcnemar(counts_of(7, 7)).chi2_corrected == 0.0


def test_mcnemar_of_more_pixels_than_a_large_raster_has() -> None:
    counts = counts_of(1, 1)
    million = ComparisonCounts(counts.a, counts.b, counts.outcomes * 10**10)

    assert mcnemar(million).p_exact == pytest.approx(1.0, abs=1e-4)


MATRIX = np.array([[65, 6, 0, 4], [4, 81, 11, 7], [22, 5, 85, 3], [24, 8, 19, 90]])


def test_the_variance_of_kappa_is_that_of_congalton_and_green() -> None:
    """Their formula with four sums theta, which is the delta method written differently."""
    p = MATRIX / MATRIX.sum()
    rows, cols = p.sum(axis=1), p.sum(axis=0)
    t1, t2 = np.trace(p), rows @ cols
    t3 = (np.diagonal(p) * (rows + cols)).sum()
    t4 = sum(p[i, j] * (rows[j] + cols[i]) ** 2 for i in range(4) for j in range(4))
    expected = (
        t1 * (1 - t1) / (1 - t2) ** 2
        + 2 * (1 - t1) * (2 * t1 * t2 - t3) / (1 - t2) ** 3
        + (1 - t1) ** 2 * (t4 - 4 * t2**2) / (1 - t2) ** 4
    ) / MATRIX.sum()

    assert kappa_variance(MATRIX) == pytest.approx(expected)


@pytest.mark.parametrize("matrix", [MATRIX, np.array([[180, 10], [40, 20]])])
def test_the_variance_of_kappa_is_the_spread_of_samples(matrix: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(6)
    shares = matrix.ravel() / matrix.sum()
    samples = rng.multinomial(matrix.sum(), shares, size=4000).reshape(-1, *matrix.shape)

    spread = np.var([scores_of(sample).kappa for sample in samples])

    assert kappa_variance(matrix) == pytest.approx(spread, rel=0.07)


def test_equally_good_maps_differ_one_time_in_twenty() -> None:
    rng = np.random.default_rng(9)
    shares = MATRIX.ravel() / MATRIX.sum()
    samples = rng.multinomial(400, shares, size=(2000, 2)).reshape(2000, 2, 4, 4)

    tests = [kappa_test(a, b) for a, b in samples]

    assert np.mean([t.p < 0.05 for t in tests]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([t.z > 0 for t in tests]) == pytest.approx(0.5, abs=0.04)


def test_the_better_map_has_the_sign() -> None:
    better = np.array([[90, 10], [10, 90]])
    found = kappa_test(better, MATRIX[:2, :2] + np.array([[0, 40], [40, 0]]))

    assert found.z > 1.96
    assert found.p == pytest.approx(2 * stats.norm.sf(found.z))
    assert found.z == pytest.approx((found.kappa_a - found.kappa_b) / math.hypot(found.se_a, found.se_b))
    assert found.se_a == pytest.approx(math.sqrt(kappa_variance(better)))


@pytest.mark.parametrize("matrix", [np.zeros((2, 2), int), np.array([[7, 0], [0, 0]])])
def test_an_undefined_kappa_has_no_test(matrix: NDArray[np.int64]) -> None:
    found = kappa_test(matrix, MATRIX[:2, :2])

    assert math.isnan(found.se_a)
    assert math.isnan(found.z)
    assert math.isnan(found.p)


def test_two_perfect_maps_have_no_test_but_a_kappa() -> None:
    found = kappa_test(np.diag([3, 4]), np.diag([3, 4]))

    assert (found.kappa_a, found.se_a) == (1.0, 0.0)
    assert math.isnan(found.p)


def test_counts_begin_with_none() -> None:
    counts = ComparisonCounts.empty(2) + counts_of(3, 1)

    assert (mcnemar(counts).a_only, mcnemar(counts).b_only) == (3, 1)


def test_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LabelError, match="the second map holds id 5"):
        count_comparison(np.uint8([0]), np.uint8([0]), np.uint8([5]), 2)


squares = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 255]))


@given(squares, squares, squares, st.integers(0, 2**32))
def test_any_windows_give_the_same_comparison(label: Ids, a: Ids, b: Ids, seed: int) -> None:
    windows = any_partition(Window(0, 0, 7, 6), np.random.default_rng(seed))

    found = counted(ComparisonCounter(classes=CLASSES), label, a, windows, other=b)

    whole = count_comparison(label, a, b, CLASSES)
    np.testing.assert_array_equal(found.outcomes, whole.outcomes)
    np.testing.assert_array_equal(found.b.matrix, whole.b.matrix)


@given(squares, squares, squares)
def test_both_maps_are_counted_where_both_have_data(label: Ids, a: Ids, b: Ids) -> None:
    whole = count_comparison(label, a, b, CLASSES)

    for second, expected in ((False, whole.a), (True, whole.b)):
        counter = WhereBothHaveData(counter=ConfusionCounter(CLASSES), second=second)
        found = counted(counter, label, a, other=b)
        np.testing.assert_array_equal(found.matrix, expected.matrix)
        assert (found.ignored, found.nodata) == (expected.ignored, expected.nodata)
