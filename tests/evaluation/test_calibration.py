"""Calibration: the definitions pixel by pixel, cuts, and confidences made to be right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.errors import OptionError
from rsseg.evaluation.calibration import (
    LEVELS,
    ConfidenceCounter,
    ConfidenceCounts,
    calibration_of,
    count_confidence,
)
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

Ids = NDArray[np.uint8]

SIZE = 40
ids = hnp.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 255]))
confidences = hnp.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 17, 127, 128, 203, 253, 254, 255]))


def used(label: Ids, prediction: Ids, confidence: Ids) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence from 0 to 1 and whether it was right, of the pixels that count."""
    kept = (label != 255) & (prediction != 255) & (confidence != 255)
    return confidence[kept] / 254, label[kept] == prediction[kept]


@given(ids, ids, confidences, st.integers(1, 30))
def test_figures_are_their_definitions(label: Ids, prediction: Ids, confidence: Ids, bins: int) -> None:
    found = calibration_of(count_confidence(label, prediction, confidence), bins=bins)

    sure, right = used(label, prediction, confidence)
    assert found.pixels == sure.size
    if not sure.size:
        assert all(math.isnan(v) for v in (found.ece, found.mce, found.brier, found.accuracy))
        return
    gaps = []
    for b in found.curve:
        inside = (sure > b.low + 1e-12) & (sure <= b.high + 1e-12) | ((b.low == 0) & (sure == 0))
        assert b.pixels == inside.sum()
        if inside.any():
            assert b.accuracy == pytest.approx(right[inside].mean())
            assert b.confidence == pytest.approx(sure[inside].mean())
            gaps.append((inside.mean(), abs(right[inside].mean() - sure[inside].mean())))
    assert found.ece == pytest.approx(sum(share * gap for share, gap in gaps))
    assert found.mce == pytest.approx(max(gap for _, gap in gaps))
    assert found.brier == pytest.approx(((sure - right) ** 2).mean())
    assert (found.accuracy, found.confidence) == pytest.approx((right.mean(), sure.mean()))


@given(ids, ids, confidences, st.integers(0, SIZE))
def test_parts_add_up_to_the_whole(label: Ids, prediction: Ids, confidence: Ids, cut: int) -> None:
    parts = [
        count_confidence(label[part], prediction[part], confidence[part])
        for part in (slice(cut), slice(cut, None))
    ]

    whole = count_confidence(label, prediction, confidence)
    total = parts[0] + parts[1]
    np.testing.assert_array_equal(total.pixels, whole.pixels)
    np.testing.assert_array_equal(total.right, whole.right)


def test_confidence_that_comes_true_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 255, 200_000).astype(np.uint8)
    prediction = (rng.random(confidence.size) < confidence / 254).astype(np.uint8)

    found = calibration_of(count_confidence(np.ones_like(prediction), prediction, confidence))

    assert found.ece < 0.005
    assert found.confidence == pytest.approx(found.accuracy, abs=0.005)


def test_a_map_that_is_always_sure_and_right_half_the_time() -> None:
    label, prediction = np.uint8([0, 1]), np.uint8([0, 0])

    found = calibration_of(count_confidence(label, prediction, np.uint8([254, 254])), bins=10)

    assert (found.ece, found.mce, found.brier, found.confidence, found.accuracy) == (0.5, 0.5, 0.5, 1, 0.5)
    assert [b.pixels for b in found.curve] == [0] * 9 + [2]
    assert math.isnan(found.curve[0].accuracy)


def test_every_level_may_be_a_bin_of_its_own() -> None:
    every = np.arange(LEVELS, dtype=np.uint8)

    found = calibration_of(count_confidence(every, every, every), bins=LEVELS - 1)

    assert [b.pixels for b in found.curve] == [2] + [1] * 253  # 0 shares the first bin with 1


def test_counts_begin_with_none() -> None:
    assert math.isnan(calibration_of(ConfidenceCounts.empty()).ece)


@pytest.mark.parametrize("bins", [0, 256])
def test_a_number_of_bins_that_cannot_be_is_refused(bins: int) -> None:
    with pytest.raises(
        OptionError, match=f"calibration bins is {bins}; it must be at least 1 and at most 255"
    ):
        calibration_of(ConfidenceCounts.empty(), bins=bins)


@given(st.integers(0, 2**32))
def test_any_windows_give_the_same_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, prediction = (rng.choice(np.array([0, 1, 255], np.uint8), (6, 7)) for _ in range(2))
    confidence = rng.integers(250, 256, (6, 7), dtype=np.uint8)

    windows = any_partition(Window(0, 0, 7, 6), rng)
    found = counted(ConfidenceCounter(), label, prediction, windows, confidence=confidence)

    whole = count_confidence(label, prediction, confidence)
    np.testing.assert_array_equal(found.pixels, whole.pixels)
    np.testing.assert_array_equal(found.right, whole.right)
