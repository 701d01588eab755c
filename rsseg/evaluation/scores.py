"""Scores of a confusion matrix: the usual ones, with their undefined values stated.

With TP the diagonal, FP the rest of a column and FN the rest of a row of the summed matrix:
precision = TP/(TP+FP), recall = TP/(TP+FN), F1 = 2TP/(2TP+FP+FN), IoU = TP/(TP+FP+FN), overall accuracy OA =
sum TP / n, and Cohen's kappa = (OA - e)/(1 - e) with e the agreement expected of independent choices.

0/0 is NaN: IoU and F1 of a class that is in neither reference nor prediction (means leave it out), recall of
a class that is not in the reference, precision of one that is never predicted, kappa where e is 1,
everything without a pixel. A class that is predicted but not in the reference has IoU = F1 = 0 and counts in
the means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUMMARY_SCORES = (
    "overall_accuracy",
    "mean_iou",
    "mean_f1",
    "kappa",
    "average_accuracy",
    "frequency_weighted_iou",
)
"""The scores that are one number."""

CLASS_SCORES = ("iou", "f1", "precision", "recall")
"""The scores that are one number per class."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores from 0 to 1 (kappa from -1), NaN where undefined; per class in the order of the ids.

    `mean_iou` and `mean_f1` are means over the classes in `mean_over` that are not NaN; `average_accuracy` is
    the mean recall of the classes in the reference; `pixels` is how many pixels were compared.
    """

    iou: tuple[float, ...]
    f1: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    overall_accuracy: float
    mean_iou: float
    mean_f1: float
    kappa: float
    average_accuracy: float
    frequency_weighted_iou: float
    pixels: int
    mean_over: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def scores_of(matrix: NDArray[np.int64], *, mean_over: Sequence[int] | None = None) -> Scores:
    """Compute all scores of a confusion matrix that was summed over everything.

    Args:
        matrix: (K, K), rows = reference.
        mean_over: ids of the classes whose scores are averaged; all of them by default. The others stay in
            the matrix and so in the other classes' errors.
    """
    hits = np.diagonal(matrix).astype(np.float64)
    reference, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    iou, f1 = _ratio(hits, reference + predicted - hits), _ratio(2 * hits, reference + predicted)
    recall = _ratio(hits, reference)
    kept = list(range(len(matrix)) if mean_over is None else mean_over)
    return Scores(
        iou=_floats(iou),
        f1=_floats(f1),
        precision=_floats(_ratio(hits, predicted)),
        recall=_floats(recall),
        overall_accuracy=_fraction(int(hits.sum()), int(matrix.sum())),
        mean_iou=_mean(iou[kept]),
        mean_f1=_mean(f1[kept]),
        kappa=_kappa(matrix),
        average_accuracy=_mean(recall),
        frequency_weighted_iou=_weighted_mean(iou, reference),
        pixels=int(matrix.sum()),
        mean_over=tuple(kept),
    )


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, with NaN for 0/0."""
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _fraction(above: int, below: int) -> float:
    return above / below if below else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _weighted_mean(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    """The mean weighted by pixels; values without a weight, NaN or not, do not count."""
    used = weights > 0
    return float(np.average(values[used], weights=weights[used])) if used.any() else math.nan


def _kappa(matrix: NDArray[np.int64]) -> float:
    """Cohen's kappa, in whole numbers until the last division, so that perfect chance is seen exactly."""
    pixels, hits = int(matrix.sum()), int(np.trace(matrix))
    reference, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    chance = sum(r * p for r, p in zip(reference, predicted, strict=True))
    return _fraction(hits * pixels - chance, pixels**2 - chance)


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
