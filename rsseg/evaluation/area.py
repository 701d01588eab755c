"""How much ground a class covers, errors of the map allowed for, and how well that is known.

Pixels counted on a map are biased: a rare class gains more by false alarms than it loses. The stratified estimator
corrects this with a sample of ground truth: the map's classes are the strata, W_i is the share of the map that class i
covers, and n_ij of the n_i sampled pixels of map class i are really class j. Then

    p_ij = W_i n_ij / n_i    the share of the ground that is class j and mapped as i,
    p_j = sum_i p_ij         the share that is class j; times the total area, its area,
    S(p_j)^2 = sum_i (W_i p_ij - p_ij^2) / (n_i - 1),

and user's accuracy U_i = n_ii / n_i, producer's accuracy P_j = p_jj / p_j, overall accuracy sum_j p_jj, with their
standard errors. Intervals are 1.96 standard errors to each side; they are not cut at 0.

**What the standard errors assume.** Sampled pixels are drawn at random and independently within each stratum. Labels
that cover an area wall to wall are no such sample: their pixels are right or wrong together, and these standard errors
are then too small by a large factor. `with_block_errors` takes them from the block bootstrap instead. Neither helps
where the labelled ground differs from the rest of the map: then the estimate itself is off.

Source: Olofsson et al. 2014, Good practices for estimating area and assessing accuracy of land change, Remote Sensing
of Environment 148:42-57, equations 1 to 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import LabelError
from rsseg.evaluation.block_counts import BlockCounts
from rsseg.evaluation.bootstrap import Interval, ScoreIntervals, score_intervals
from rsseg.evaluation.values import Values

Floats = NDArray[np.float64]

_Z_95 = 1.96


@dataclass(frozen=True, eq=False, kw_only=True)
class AreaEstimates:
    """Areas in the unit of the mapped ones, accuracies from 0 to 1, each with its standard error; (K,) by class.

    NaN where the sample does not say: everything but the accuracies of single classes if a class that is on the map is
    not in the sample, and standard errors if it is there with one pixel only.

    Attributes:
        mapped: the areas on the map, which are biased.
        area: the estimated areas, which add up to the same total.
        users: user's accuracy, the share of a map class that is right; what `scores.py` calls precision, if the sample
            is in proportion to the map.
        producers: producer's accuracy, the share of a class that the map has; recall, likewise.
        overall: overall accuracy.
    """

    mapped: Floats
    area: Floats
    area_se: Floats
    users: Floats
    users_se: Floats
    producers: Floats
    producers_se: Floats
    overall: float
    overall_se: float

    @property
    def interval(self) -> Floats:
        """The 95 % intervals of the areas: (K, 2), low and high."""
        margin = _Z_95 * self.area_se
        return np.stack([self.area - margin, self.area + margin], axis=1)


def estimate_areas(sample: NDArray[np.int64], mapped: Floats) -> AreaEstimates:
    """Estimate the areas of classes from a sample of independent pixels.

    Args:
        sample: the confusion matrix of the sample (K, K), rows = reference (the paper has them as columns).
        mapped: the area of each class on the whole map (K,), in any unit.

    Raises:
        LabelError: the map has no area.
    """
    points = _estimated(sample, mapped)
    total = mapped.sum()
    weights, n = mapped / total, sample.sum(axis=0)
    p, share = _joint(sample, mapped), _terms(sample.T.astype(np.float64), n, weights)
    # W_i p_ij - p_ij^2 with p_ij = W_i share_ij, so that nothing falls below 0 by rounding.
    strata = _terms(weights[:, np.newaxis] ** 2 * share * (1 - share), n - 1, weights)
    within = _terms(points.users * (1 - points.users), n - 1, weights)
    # Equation 7 in shares of the ground: its first term is the class's own stratum, the others those of the rest.
    own = (1 - points.producers) ** 2 * weights**2 * within
    missed = strata - np.diag(np.diagonal(strata))
    variance = own + points.producers**2 * missed.sum(axis=0)
    return replace(
        points,
        area_se=total * np.sqrt(strata.sum(axis=0)),
        users_se=np.sqrt(_divided(points.users * (1 - points.users), n - 1)),
        producers_se=_divided(np.sqrt(variance), p.sum(axis=0)),
        overall_se=float(np.sqrt((weights**2 * within).sum())),
    )


def with_block_errors(
    counts: BlockCounts, mapped: Floats, *, replicates: int = 1000, seed: int = 0
) -> tuple[AreaEstimates, ScoreIntervals]:
    """Estimate the areas of classes from labels that cover blocks of ground, with standard errors by block bootstrap.

    A replicate without a class that is on the map says nothing and does not count. All but user's accuracies rest on
    every such class, so their standard errors are NaN where fewer than two blocks have one of them.

    Args:
        counts: confusion matrices of the blocks.
        mapped: the area of each class on the whole map (K,), in any unit.
        replicates: how many times blocks are drawn.
        seed: of the random numbers.

    Returns:
        The estimates, and what was drawn for their standard errors.

    Raises:
        LabelError: the map has no area.
        OptionError: there are fewer than two replicates.
    """
    strata = np.flatnonzero(mapped > 0).tolist()

    def values(sample: NDArray[np.int64]) -> Values:
        found = _estimated(sample, mapped)
        of_classes = {"area": found.area, "users": found.users, "producers": found.producers}
        return Values(
            summary={"overall": found.overall},
            classes={name: dict(enumerate(of.tolist())) for name, of in of_classes.items()},
            rests_on=dict.fromkeys(("overall", "area", "producers"), ("users", strata)),
        )

    found = score_intervals(counts, values, replicates=replicates, seed=seed)
    estimates = replace(
        _estimated(counts.total(), mapped),
        area_se=_errors(found.classes["area"]),
        users_se=_errors(found.classes["users"]),
        producers_se=_errors(found.classes["producers"]),
        overall_se=found.summary["overall"].se,
    )
    return estimates, found


def _estimated(sample: NDArray[np.int64], mapped: Floats) -> AreaEstimates:
    """The estimates without their standard errors."""
    if not mapped.sum() > 0:
        raise LabelError(f"the classes of the map cover an area of {mapped.sum():g}; expected more than 0")
    p = _joint(sample, mapped)
    shares, unknown = p.sum(axis=0), np.full(len(mapped), np.nan)
    return AreaEstimates(
        mapped=mapped,
        area=mapped.sum() * shares,
        area_se=unknown,
        users=_divided(np.diagonal(sample), sample.sum(axis=0)),
        users_se=unknown,
        producers=_divided(np.diagonal(p), shares),
        producers_se=unknown,
        overall=float(np.trace(p)),
        overall_se=float("nan"),
    )


def _joint(sample: NDArray[np.int64], mapped: Floats) -> Floats:
    """Shares of the ground (K, K) that are mapped as one class (rows) and really are another; see the module."""
    weights, n = mapped / mapped.sum(), sample.sum(axis=0)
    return _terms(weights[:, np.newaxis] * sample.T, n, weights)


def _terms(above: Floats, below: NDArray[np.int64], weights: Floats) -> Floats:
    """What each stratum, the first axis, adds to a sum: nothing if it is not on the map, NaN if the sample lacks it."""
    along = (slice(None),) + (np.newaxis,) * (above.ndim - 1)
    divided = _divided(above, np.broadcast_to(below[along], above.shape))
    return np.where(weights[along] > 0, divided, 0.0)


def _divided(above: Floats, below: NDArray[np.number]) -> Floats:
    """Divide, with NaN where there is nothing to divide by."""
    ratio = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _errors(intervals: Mapping[int, Interval]) -> Floats:
    """The standard errors (K,) of all classes."""
    return np.array([interval.se for interval in intervals.values()])
