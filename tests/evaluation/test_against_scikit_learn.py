"""The counts and scores of random scenes against scikit-learn's, and the erosion against scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics

from rsseg.evaluation import count_pixels, scores_of
from rsseg.evaluation.boundary import erode_boundaries

TOLERANCE = 1e-12


def scene(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """Labels in patches and a prediction that is wrong at places, of any size and number of classes."""
    rng = np.random.default_rng(seed)
    classes, height, width = int(rng.integers(2, 9)), *rng.integers(20, 90, 2).tolist()
    coarse = rng.integers(0, classes, (height // 6 + 1, width // 6 + 1)).astype(np.uint8)
    label = coarse.repeat(6, axis=0).repeat(6, axis=1)[:height, :width].copy()
    prediction = np.where(rng.random(label.shape) < 0.3, rng.integers(0, classes, label.shape), label)
    label[rng.random(label.shape) < 0.1] = 255
    return label, prediction.astype(np.uint8), classes


@pytest.mark.parametrize("seed", range(12))
def test_counts_and_scores_are_those_of_scikit_learn(seed: int) -> None:
    label, prediction, classes = scene(seed)
    truth, found, ids = label[label != 255], prediction[label != 255], list(range(classes))
    usual: dict[str, Any] = {"labels": ids, "average": None, "zero_division": np.nan}

    counts = count_pixels(label, prediction, classes)
    scores = scores_of(counts.matrix)

    np.testing.assert_array_equal(counts.matrix, metrics.confusion_matrix(truth, found, labels=ids))
    for ours, theirs in {
        "iou": metrics.jaccard_score(truth, found, labels=ids, average=None, zero_division=0),
        "f1": metrics.f1_score(truth, found, **usual),
        "precision": metrics.precision_score(truth, found, **usual),
        "recall": metrics.recall_score(truth, found, **usual),
        "overall_accuracy": metrics.accuracy_score(truth, found),
        "kappa": metrics.cohen_kappa_score(truth, found),
        "average_accuracy": metrics.balanced_accuracy_score(truth, found),
    }.items():
        np.testing.assert_allclose(getattr(scores, ours), theirs, rtol=0, atol=TOLERANCE, err_msg=ours)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1, 3, 5])
def test_erosion_is_that_of_scipy(seed: int, radius: int) -> None:
    """Kept is where the smallest and the largest label in its disc (where that is in the image) are one."""
    label, _, _ = scene(seed)
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc = x**2 + y**2 <= radius**2
    wide = label.astype(np.int16)
    largest = ndimage.maximum_filter(wide, footprint=disc, mode="constant", cval=-1)
    smallest = ndimage.minimum_filter(wide, footprint=disc, mode="constant", cval=999)

    eroded = erode_boundaries(label, radius=radius)

    np.testing.assert_array_equal(eroded, np.where(largest == smallest, label, 255))
