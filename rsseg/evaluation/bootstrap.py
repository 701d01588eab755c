"""How far scores can be trusted: confidence intervals by the spatial block bootstrap.

Neighbouring pixels are right or wrong together: a million of them are not a million observations, and a standard error
that takes them for that is far too small. So the ground is cut into square blocks, of each of which counts are kept: a
confusion matrix, pixels at boundaries, objects found and missed, right pixels by confidence. A replicate draws as many
blocks as there are, with replacement, adds up their counts and takes the scores; the interval is between percentiles of
the scores of all replicates. So it serves every score that is a function of counts that add up.

Blocks have to be wider than errors hang together (a field, a building with its shadow): then they are nearly
independent. And there have to be enough of them: below some 30 the percentile interval is too narrow. What is said
holds for ground like that which is labelled, for this map; it does not know what another training run would give.

A class that is rare lies in few of the blocks, and its scores rest on those alone, as do means over classes: so each
score has its own number of blocks, and none has an interval that rests on a single one, which is the same in all
replicates that draw it. A replicate in which a score is undefined, as no block with the class was drawn, is left out
for it, and for every mean over that class: otherwise means would be over other classes in every replicate.

How blocks are counted, and why memory is bounded, is told in `block_counts`.

Sources: Künsch 1989, The Jackknife and the Bootstrap for General Stationary Observations, Annals of Statistics 17;
Lahiri 2003, Resampling Methods for Dependent Data, chapter 12; percentiles: Efron and Tibshirani 1993, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rsseg.evaluation.block_counts import BlockCounts, Counts, Place
from rsseg.evaluation.values import Key, ScoreFunction, Values, by_name
from rsseg.ranges import check_range

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LEVEL = 0.95
"""What share of intervals shall hold the truth, unless asked otherwise."""

FEW_BLOCKS = 30
"""With fewer blocks an interval is too narrow."""

_AT_A_TIME = 64
"""Replicates that are summed in one go."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """From `low` to `high`, and the standard error `se`; all NaN where the score rests on fewer than two blocks.

    `blocks` is how many it rests on: those that have the class, for a mean as many as the rarest of its classes.
    """

    low: float
    high: float
    se: float
    blocks: int

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside; a difference of two maps whose interval excludes 0 is hardly chance."""
        return value < self.low or value > self.high


@dataclass(frozen=True, kw_only=True)
class ScoreIntervals:
    """Intervals of scores, by name; those of classes by id.

    `values` are the scores themselves; `blocks` is how many there were, their sides doubled `doublings` times; `level`
    is what share of such intervals hold the truth; `left_out` are the replicates in which a score with an interval was
    undefined, most of all scores.
    """

    values: Values
    summary: Mapping[str, Interval]
    classes: Mapping[str, Mapping[int, Interval]]
    blocks: int
    doublings: int
    level: float
    replicates: int
    left_out: int


def score_intervals(
    counts: BlockCounts,
    scores: ScoreFunction,
    *,
    replicates: int = 1000,
    level: float = LEVEL,
    seed: int = 0,
) -> ScoreIntervals:
    """Say between what every score lies.

    A replicate in which a score is undefined, as no block with the class was drawn, does not count for it, nor for a
    mean over classes of which one is undefined that is defined on the whole.

    Args:
        counts: the blocks, summed over everything.
        scores: takes the scores of counts that were added up.
        replicates: how many times blocks are drawn.
        level: what share of intervals shall hold the truth.
        seed: of the random numbers; the same seed gives the same intervals.

    Raises:
        OptionError: there are fewer than two replicates, or the level is none.
    """
    places = sorted(counts.blocks)
    drawn = _drawn(counts, places, scores, replicates=replicates, seed=seed)
    return drawn.intervals(blocks=len(places), doublings=counts.doublings, level=level)


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

    A replicate takes the same blocks of both, so that ground which is hard for both cancels. A difference rests on as
    many blocks as that of the two scores which has fewer. Arguments and errors are those of `score_intervals`.
    """
    doublings = max(a.doublings, b.doublings)
    a, b = a.doubled(doublings), b.doubled(doublings)
    places = sorted({*a.blocks, *b.blocks})
    # The same seed draws the same blocks.
    of_a, of_b = (_drawn(counts, places, scores, replicates=replicates, seed=seed) for counts in (a, b))
    return of_a.less(of_b).intervals(blocks=len(places), doublings=doublings, level=level)


def resampled(blocks: csr_array, *, replicates: int, seed: int) -> Iterator[Counts]:
    """Sums (cells,) over as many blocks as there are, drawn with replacement, once for each replicate.

    Args:
        blocks: (N, cells) counts of each, as `BlockCounts.rows` gives them; an array does as well.
        replicates: how many sums to give.
        seed: of the random numbers; the same seed draws the same of any N blocks.

    Raises:
        OptionError: there are fewer than two replicates.
    """
    check_range("replicates", replicates, low=2)
    rng = np.random.default_rng(seed)
    count = blocks.shape[0]
    for start in range(0, replicates, _AT_A_TIME):
        size = min(_AT_A_TIME, replicates - start)
        draws = rng.integers(max(count, 1), size=(size, count))
        times = np.stack([np.bincount(draw, minlength=count) for draw in draws]).astype(np.float64)
        # Whole numbers below 2^53: sums are exact.
        yield from (times @ blocks).astype(np.int64, order="C")


def interval_of(values: NDArray[np.float64], *, blocks: int, level: float) -> Interval:
    """The interval between percentiles of a score's replicates (R,), those that are NaN left out.

    None (all NaN) where the score rests on a single block, or where fewer than half of the replicates have it: what is
    left out is no chance selection.

    Args:
        values: see above.
        blocks: how many the score rests on.
        level: what share of intervals shall hold the truth.

    Raises:
        OptionError: the level is not above 0 and below 1.
    """
    check_range("level", level, low=0.5, high=0.9999)
    defined = values[~np.isnan(values)]
    if blocks < 2 or defined.size < max(2, len(values) / 2):
        return Interval(low=math.nan, high=math.nan, se=math.nan, blocks=blocks)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), se=float(defined.std(ddof=1)), blocks=blocks)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Drawn:
    """Scores, one to a column: their values (S,), those of replicates (R, S), how many blocks each rests on (S,)."""

    keys: tuple[Key, ...]
    values: NDArray[np.float64]
    found: NDArray[np.float64]
    blocks: NDArray[np.int64]

    def less(self, other: _Drawn) -> _Drawn:
        """The scores of one map less those of another."""
        return _Drawn(
            keys=self.keys,
            values=self.values - other.values,
            found=self.found - other.found,
            blocks=np.minimum(self.blocks, other.blocks),
        )

    def intervals(self, *, blocks: int, doublings: int, level: float) -> ScoreIntervals:
        """The intervals of all scores under their names."""
        of_all = [
            interval_of(column, blocks=least, level=level)
            for column, least in zip(self.found.T, self.blocks.tolist(), strict=True)
        ]
        summary, classes = by_name(self.keys, of_all)
        values = by_name(self.keys, self.values.tolist())
        undefined = np.isnan(self.found).sum(axis=0)
        return ScoreIntervals(
            values=Values(summary=values[0], classes=values[1]),
            summary=summary,
            classes=classes,
            blocks=blocks,
            doublings=doublings,
            level=level,
            replicates=len(self.found),
            left_out=int(undefined[[not math.isnan(interval.se) for interval in of_all]].max(initial=0)),
        )


def _drawn(
    counts: BlockCounts, places: Sequence[Place], scores: ScoreFunction, *, replicates: int, seed: int
) -> _Drawn:
    """The scores of all, and of replicates that draw from the blocks at some places."""
    whole = scores(counts.total())
    keys, values = whole.keys(), np.array(whole.listed())
    sums = resampled(counts.rows(places), replicates=replicates, seed=seed)
    found = np.array([_scored(scores, of) for of in (each.reshape(counts.shape) for each in sums)])
    blocks = _blocks_of_scores(counts, places, scores, whole)
    for column, (name, _) in enumerate(keys):
        if name in whole.rests_on:
            of, ids = whole.rests_on[name]
            needed = [
                i
                for i, key in enumerate(keys)
                if key[0] == of and key[1] in ids and not math.isnan(values[i])
            ]
            found[np.isnan(found[:, needed]).any(axis=1), column] = math.nan
            blocks[column] = blocks[needed].min(initial=len(places))
    return _Drawn(keys=keys, values=values, found=found, blocks=blocks)


def _blocks_of_scores(
    counts: BlockCounts, places: Sequence[Place], scores: ScoreFunction, whole: Values
) -> NDArray[np.int64]:
    """In how many blocks something counts (S,): for a class in those whose own counts give it a score."""
    filled = [place for place in places if place in counts.blocks and counts.blocks[place].cells.size]
    of_all = np.full(len(whole.summary), len(filled))
    if not whole.classes:
        return of_all
    of_classes = np.zeros(len(whole.listed()) - len(of_all), dtype=np.int64)
    for place in filled:
        of_classes += ~np.isnan(_scored(scores, counts.arrays([place])[0])[len(of_all) :])
    return np.concatenate([of_all, of_classes])


def _scored(scores: ScoreFunction, counts: Counts) -> NDArray[np.float64]:
    """All scores of some counts, one behind the other."""
    return np.array(scores(counts).listed())
