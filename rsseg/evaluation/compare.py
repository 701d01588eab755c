"""Which of two maps is better on the same labels, and where they differ.

* **Where**: every labelled pixel is right in both, in A only, in B only, or in neither.
* **McNemar's test** looks at the pixels that one map has right and the other wrong, b and c of them: with equally good
  maps each is a toss of a coin. chi^2 = (b - c)^2 / (b + c), with Yates's continuity correction
  (|b - c| - 1)^2 / (b + c), one degree of freedom; with few such pixels (below 25) the exact binomial test.
* **Kappa z-test**: z = (kappa_A - kappa_B) / sqrt(var_A + var_B), with the large-sample variance of kappa by the delta
  method. It takes the two maps for independent samples; on the same pixels they are not, which makes it say "no
  difference" too often. It is here as the literature uses it.

**Caution.** Both tests take pixels for independent observations. Neighbouring pixels are not (`bootstrap.py`), and with
millions of them any difference becomes "significant". Use them on a sample of scattered points; for labels that cover
ground wall to wall the interval of `bootstrap.difference_intervals` is the answer.

Sources: McNemar 1947; Foody 2004, Thematic Map Comparison, Photogrammetric Engineering and Remote Sensing 70:627-633;
Congalton and Green, Assessing the Accuracy of Remotely Sensed Data, chapter 5; the variance is that of Fleiss, Cohen
and Everitt 1969.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.confusion import Confusion, count_pixels, pair_table
from rsseg.evaluation.counters import Counter, Seen
from rsseg.evaluation.scores import scores_of

BOTH, A_ONLY, B_ONLY, NEITHER = range(4)
"""What `outcomes` gives: which of the maps are right."""


@dataclass(frozen=True, eq=False)
class ComparisonCounts:
    """Pixels that have a label and a class in both maps; counts of windows and images add up with `+`.

    `a` and `b` are the confusions of the two maps on these pixels; where either has no class, the label counts as
    nodata in both. `outcomes` (K, 4) are the pixels of each reference class that both, A only, B only, or neither has
    right.
    """

    a: Confusion
    b: Confusion
    outcomes: NDArray[np.int64]

    @classmethod
    def empty(cls, classes: int) -> ComparisonCounts:
        """The counts of no pixel: what a sum begins with."""
        none = Confusion.empty(classes)
        return cls(none, none, np.zeros((classes, 4), dtype=np.int64))

    def __add__(self, other: ComparisonCounts) -> ComparisonCounts:
        return ComparisonCounts(self.a + other.a, self.b + other.b, self.outcomes + other.outcomes)


@dataclass(frozen=True, kw_only=True)
class ComparisonCounter:
    """Counts how two maps do, of pairs that have a second one.

    Args:
        classes: how many there are, K.
        margin: none is needed.
    """

    classes: int
    margin: int = 0

    def empty(self) -> ComparisonCounts:
        """See `Counter`."""
        return ComparisonCounts.empty(self.classes)

    def count(self, seen: Seen) -> ComparisonCounts:
        """See `Counter`."""
        return count_comparison(*seen.kept(), seen.kept_other(), self.classes)


@dataclass(frozen=True, kw_only=True)
class WhereBothHaveData:
    """Lets another counter see only the pixels where both maps have a class, for the sake of a fair comparison.

    Args:
        counter: what counts.
        second: whether it sees the second map as the prediction, instead of the first.
    """

    counter: Counter
    second: bool

    @property
    def margin(self) -> int:
        """That of the other counter."""
        return self.counter.margin

    def empty(self) -> Any:
        """See `Counter`."""
        return self.counter.empty()

    def count(self, seen: Seen) -> Any:
        """See `Counter`."""
        assert seen.other is not None
        prediction = seen.other if self.second else seen.prediction
        missing = (seen.prediction == NODATA_CLASS) | (seen.other == NODATA_CLASS)
        return self.counter.count(
            replace(seen, prediction=np.where(missing, np.uint8(NODATA_CLASS), prediction))
        )


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """McNemar's test. `a_only` and `b_only` are the pixels that speak for each map; without any, all is NaN.

    `chi2` with `p`; the same with continuity correction; and the p value of the exact two-sided binomial test.
    """

    a_only: int
    b_only: int
    chi2: float
    p: float
    chi2_corrected: float
    p_corrected: float
    p_exact: float


@dataclass(frozen=True, kw_only=True)
class KappaTest:
    """The kappa z-test, NaN where either kappa is, or both standard errors are 0; A is better where z is positive."""

    kappa_a: float
    kappa_b: float
    se_a: float
    se_b: float
    z: float
    p: float


def outcomes(label: NDArray[np.uint8], a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Which maps are right at each pixel: `BOTH`, `A_ONLY`, `B_ONLY`, `NEITHER`; 255 where one lacks label or class."""
    found: NDArray[np.uint8] = (a != label).view(np.uint8) * np.uint8(B_ONLY) + (b != label).view(np.uint8)
    found[(label == IGNORE_INDEX) | (a == NODATA_CLASS) | (b == NODATA_CLASS)] = IGNORE_INDEX
    return found


def count_comparison(
    label: NDArray[np.uint8], a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int
) -> ComparisonCounts:
    """Count how two maps do on the same labels, on the pixels where both have a class.

    Counts of parts add up to the counts of the whole, however the pixels are cut.

    Args:
        label: class ids of the reference, any shape, 255 where nothing counts.
        a: class ids of one map, 255 without data, the same shape.
        b: of the other.
        classes: how many classes there are, K.

    Raises:
        LabelError: a label or a prediction is no class.
    """
    missing = (a == NODATA_CLASS) | (b == NODATA_CLASS)
    return ComparisonCounts(
        a=count_pixels(label, np.where(missing, NODATA_CLASS, a), classes),
        b=count_pixels(label, np.where(missing, NODATA_CLASS, b), classes, what="the second map"),
        outcomes=pair_table(label, outcomes(label, a, b))[:classes, :4].copy(),
    )


def mcnemar(counts: ComparisonCounts) -> McNemar:
    """McNemar's test of two maps being right equally often."""
    from scipy.special import betainc  # 0.1 s that only those pay who ask for it

    a_only, b_only = (int(n) for n in counts.outcomes.sum(axis=0)[[A_ONLY, B_ONLY]])
    unlike, gap = a_only + b_only, abs(a_only - b_only)
    chi2 = gap**2 / unlike if unlike else math.nan
    corrected = max(gap - 1, 0) ** 2 / unlike if unlike else math.nan
    fewer = min(a_only, b_only)
    # The binomial distribution's lower tail, for any number of pixels.
    tail = float(betainc(unlike - fewer, fewer + 1, 0.5)) if unlike else math.nan
    return McNemar(
        a_only=a_only,
        b_only=b_only,
        chi2=chi2,
        p=_chi2_tail(chi2),
        chi2_corrected=corrected,
        p_corrected=_chi2_tail(corrected),
        p_exact=min(2 * tail, 1.0),
    )


def kappa_test(a: NDArray[np.int64], b: NDArray[np.int64]) -> KappaTest:
    """The z-test of two kappas being equal, from the confusion matrices (K, K) of two maps, rows = reference."""
    kappas = [scores_of(matrix).kappa for matrix in (a, b)]
    variances = [kappa_variance(matrix) for matrix in (a, b)]
    error = math.sqrt(sum(variances))
    z = (kappas[0] - kappas[1]) / error if error else math.nan
    return KappaTest(
        kappa_a=kappas[0],
        kappa_b=kappas[1],
        se_a=math.sqrt(variances[0]),
        se_b=math.sqrt(variances[1]),
        z=z,
        p=math.erfc(abs(z) / math.sqrt(2)),
    )


def kappa_variance(matrix: NDArray[np.int64]) -> float:
    """The large-sample variance of kappa for independent pixels; NaN without pixels, or where kappa is undefined.

    With the shares p_ij of the pixels, kappa = (o - e) / (1 - e), o = sum_i p_ii and e = sum_i r_i c_i of the sums of
    rows and columns, the derivative by p_ij is g_ij = [i = j] / (1 - e) - (1 - o) / (1 - e)^2 (r_j + c_i), and by the
    delta method the variance is (sum p_ij g_ij^2 - (sum p_ij g_ij)^2) / n.
    """
    n = int(matrix.sum())
    if math.isnan(scores_of(matrix).kappa):
        return math.nan
    p = matrix / n
    rows, cols = p.sum(axis=1), p.sum(axis=0)
    agree, chance = float(np.trace(p)), float(rows @ cols)
    slope = np.eye(len(p)) / (1 - chance) - (1 - agree) / (1 - chance) ** 2 * np.add.outer(cols, rows)
    return max(float((p * slope**2).sum() - (p * slope).sum() ** 2), 0.0) / n


def _chi2_tail(chi2: float) -> float:
    """The probability of a larger value, with one degree of freedom."""
    return math.erfc(math.sqrt(chi2 / 2))
