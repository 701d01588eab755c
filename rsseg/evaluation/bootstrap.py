"""How far scores can be trusted: confidence intervals by the spatial block bootstrap.

Neighbouring pixels are right or wrong together: a million of them are not a million observations, and a standard error
that takes them for that is far too small. So the ground is cut into square blocks, of each of which counts are kept: a
confusion matrix, pixels at boundaries, objects found and missed, right pixels by confidence. A replicate draws as many
blocks as there are, with replacement, adds up their counts and takes the scores; the interval is between percentiles of
the scores of all replicates. So it serves every score that is a function of counts that add up.

Blocks have to be wider than errors hang together (a field, a building with its shadow): then they are nearly
independent. And there have to be enough of them: below some 30 the percentile interval is too narrow. What is said
holds for ground like that which is labelled, for this map; it does not know what another training run would give.

How blocks are counted, and why memory is bounded, is told in `block_counts`.

Sources: Künsch 1989, The Jackknife and the Bootstrap for General Stationary Observations, Annals of Statistics 17;
Lahiri 2003, Resampling Methods for Dependent Data, chapter 12; percentiles: Efron and Tibshirani 1993, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.evaluation.block_counts import BlockCounts, Counts
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES, scores_of
from rsseg.ranges import check_range

LEVEL = 0.95
"""What share of intervals shall hold the truth, unless asked otherwise."""

FEW_BLOCKS = 30
"""With fewer blocks an interval is too narrow."""

_AT_A_TIME = 64
"""Replicates that are summed in one go."""

_MOST_CELLS = 2**22
"""Cells of all blocks that are summed in one go."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """From `low` to `high`, and the standard error `se`; all NaN where fewer than two blocks have the score."""

    low: float
    high: float
    se: float

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside; a difference of two maps whose interval excludes 0 is hardly chance."""
        return value < self.low or value > self.high


@dataclass(frozen=True, kw_only=True)
class Values:
    """Scores by name, NaN where undefined: those that are one number, and those of classes, by id."""

    summary: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


ScoreFunction = Callable[[Counts], Values]
"""Takes the scores of counts that were added up; whatever the counts, the names and ids are the same."""


@dataclass(frozen=True, kw_only=True)
class ScoreIntervals:
    """Intervals of scores, by name; those of classes by id.

    `values` are the scores themselves; `blocks` is how many there were, their sides doubled `doublings` times; `level`
    is what share of such intervals hold the truth.
    """

    values: Values
    summary: Mapping[str, Interval]
    classes: Mapping[str, Mapping[int, Interval]]
    blocks: int
    doublings: int
    level: float
    replicates: int


def matrix_values(matrix: Counts, mean_over: Sequence[int] | None = None) -> Values:
    """Every score of `scores.py` of a confusion matrix (K, K); means are over all classes by default."""
    scores: Any = scores_of(matrix, mean_over=mean_over)
    return Values(
        summary={name: getattr(scores, name) for name in SUMMARY_SCORES},
        classes={name: dict(enumerate(getattr(scores, name))) for name in CLASS_SCORES},
    )


def score_intervals(
    counts: BlockCounts,
    scores: ScoreFunction,
    *,
    replicates: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> ScoreIntervals:
    """Say between what every score lies.

    A replicate in which a score is undefined, as no block with the class was drawn, does not count for it.

    Args:
        counts: the blocks, summed over everything.
        scores: takes the scores of counts that were added up.
        replicates: how many times blocks are drawn.
        level: what share of intervals shall hold the truth.
        seed: of the random numbers; the same seed gives the same intervals.

    Raises:
        OptionError: there are fewer than two replicates, or the level is none.
    """
    drawn = resampled(counts.arrays(), replicates=replicates, seed=seed)
    found = np.array([_listed(scores(sums)) for sums in drawn])
    return _named(found, scores(counts.total()), counts=counts, blocks=len(counts.blocks), level=level)


def difference_intervals(
    a: BlockCounts,
    b: BlockCounts,
    scores: ScoreFunction,
    *,
    replicates: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> ScoreIntervals:
    """Say between what the scores of map A less those of map B lie, both on the same labels.

    A replicate takes the same blocks of both, so that ground which is hard for both cancels. Arguments and errors are
    those of `score_intervals`.
    """
    doublings = max(a.doublings, b.doublings)
    a, b = a.doubled(doublings), b.doubled(doublings)
    places = sorted({*a.blocks, *b.blocks})
    # The same seed draws the same blocks.
    drawn = [resampled(counts.arrays(places), replicates=replicates, seed=seed) for counts in (a, b)]
    found = np.array([_listed(_gaps(scores(x), scores(y))) for x, y in zip(*drawn, strict=True)])
    values = _gaps(scores(a.total()), scores(b.total()))
    return _named(found, values, counts=a, blocks=len(places), level=level)


def resampled(blocks: Counts, *, replicates: int, seed: int) -> Iterator[Counts]:
    """Sums over as many blocks as there are, drawn with replacement, once for each replicate.

    Args:
        blocks: (N, ...) counts of each.
        replicates: how many sums to give.
        seed: of the random numbers; the same seed draws the same of any N blocks.

    Raises:
        OptionError: there are fewer than two replicates.
    """
    check_range("replicates", replicates, low=2)
    rng = np.random.default_rng(seed)
    count = len(blocks)
    flat = blocks.reshape(count, math.prod(blocks.shape[1:]))
    width = max(_MOST_CELLS // max(count, 1), 1)
    for start in range(0, replicates, _AT_A_TIME):
        size = min(_AT_A_TIME, replicates - start)
        draws = rng.integers(max(count, 1), size=(size, count))
        times = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(np.float64)
        sums = np.empty((size, flat.shape[1]), dtype=np.int64)
        for left in range(0, flat.shape[1], width):
            part = slice(left, left + width)
            sums[:, part] = times @ flat[:, part].astype(
                np.float64
            )  # whole numbers below 2^53: sums are exact
        yield from sums.reshape(size, *blocks.shape[1:])


def interval_of(values: NDArray[np.float64], *, blocks: int, level: float) -> Interval:
    """The interval between percentiles of a score's replicates (R,), those that are NaN left out.

    Raises:
        OptionError: the level is not above 0 and below 1.
    """
    check_range("level", level, low=0.5, high=0.9999)
    defined = values[~np.isnan(values)]
    if blocks < 2 or defined.size < 2:
        return Interval(low=math.nan, high=math.nan, se=math.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), se=float(defined.std(ddof=1)))


def _gaps(a: Values, b: Values) -> Values:
    """The scores of one map less those of another."""
    return Values(
        summary={name: value - b.summary[name] for name, value in a.summary.items()},
        classes={
            name: {k: value - b.classes[name][k] for k, value in of.items()} for name, of in a.classes.items()
        },
    )


def _listed(values: Values) -> list[float]:
    """All scores one behind the other."""
    return [*values.summary.values(), *(value for of in values.classes.values() for value in of.values())]


def _named(
    found: NDArray[np.float64], values: Values, *, counts: BlockCounts, blocks: int, level: float
) -> ScoreIntervals:
    """The intervals of scores (R, all of them) under the names of the scores."""
    intervals = iter([interval_of(column, blocks=blocks, level=level) for column in found.T])
    return ScoreIntervals(
        values=values,
        summary={name: next(intervals) for name in values.summary},
        classes={name: {k: next(intervals) for k in of} for name, of in values.classes.items()},
        blocks=blocks,
        doublings=counts.doublings,
        level=level,
        replicates=len(found),
    )
