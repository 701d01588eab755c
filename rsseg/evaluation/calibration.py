"""Whether the confidence of a map can be believed: of the pixels said to be 80 % sure, are 80 % right?

Confidence is what `rsseg predict --confidence` writes: the probability of the decided class, uint8, 0 to 254 for 0 to
1, 255 without data (docs/decisions/0011). Its 255 levels are counted one by one, so all figures are exact, whatever
bins they are shown in afterwards.

With n_b pixels in bin b, their accuracy a_b and mean confidence c_b, of n pixels in all:

* expected calibration error ECE = sum_b n_b / n |a_b - c_b|, and maximum calibration error MCE = max_b |a_b - c_b|
  over bins with a pixel; both depend on the bins (small in few wide ones);
* Brier score of the decided class = mean (c - right)^2 with right 0 or 1, which does not.

The bins are equally wide, the m-th of B is ((m - 1) / B, m / B], and 0 belongs to the first.

Where `--min-area` gave a pixel the class of its surroundings, confidence is still that of the class before.

Sources: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599, equations 2 to 5; Brier 1950.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.block_counter import Strip
from rsseg.evaluation.confusion import pair_table
from rsseg.evaluation.counters import Seen
from rsseg.ranges import check_range

LEVELS = 255
"""Confidence 0 to 254; 255 is no data."""

_WRONG, _RIGHT, _LEFT_OUT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class ConfidenceCounts:
    """Pixels, and those of them that are right, at each of the 255 levels of confidence; they add up with `+`."""

    pixels: NDArray[np.int64]
    right: NDArray[np.int64]

    @classmethod
    def empty(cls) -> ConfidenceCounts:
        """The counts of no pixel: what a sum begins with."""
        return cls.of(np.zeros((2, LEVELS), dtype=np.int64))

    @classmethod
    def of(cls, counts: NDArray[np.int64]) -> ConfidenceCounts:
        """The wrong and the right ones (2, 255), as `ConfidenceCounter.shape` has them."""
        return cls(pixels=counts[_WRONG] + counts[_RIGHT], right=counts[_RIGHT])

    def __add__(self, other: ConfidenceCounts) -> ConfidenceCounts:
        return ConfidenceCounts(self.pixels + other.pixels, self.right + other.right)


class ReliabilityBin(NamedTuple):
    """A bin of confidence from `low` to `high`; without a pixel its mean confidence and accuracy are NaN."""

    low: float
    high: float
    pixels: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of a map; all NaN without a pixel. `confidence` above `accuracy` means too sure of itself."""

    ece: float
    mce: float
    brier: float
    confidence: float
    accuracy: float
    pixels: int
    curve: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class ConfidenceCounter:
    """Counts right pixels by confidence, of pairs that have it, in all or as a `PixelCounter`."""

    margin: int = 0

    def empty(self) -> ConfidenceCounts:
        """See `Counter`."""
        return ConfidenceCounts.empty()

    def count(self, seen: Seen) -> ConfidenceCounts:
        """See `Counter`."""
        return count_confidence(*seen.kept(), seen.kept_confidence())

    @property
    def shape(self) -> tuple[int, int]:
        """Wrong and right pixels, at each of the levels."""
        return 2, LEVELS

    def cells(self, seen: Seen, strips: Iterable[Strip]) -> Iterator[NDArray[np.signedinteger[Any]]]:
        """See `PixelCounter`."""
        for strip in strips:
            part = replace(seen, keep=strip.window)
            outcome, confidence = _outcome(*part.kept()), part.kept_confidence()
            used = (outcome != _LEFT_OUT) & (confidence < LEVELS)
            cells = np.broadcast_to(strip.firsts, used.shape)[used]
            cells += outcome[used] * np.uint16(LEVELS) + confidence[used]
            yield cells


def count_confidence(
    label: NDArray[np.uint8], prediction: NDArray[np.uint8], confidence: NDArray[np.uint8]
) -> ConfidenceCounts:
    """Count right pixels by confidence; pixels without label, prediction or confidence (255) are left out.

    Counts of parts add up to the counts of the whole, however the pixels are cut.

    Args:
        label: class ids of the reference, any shape.
        prediction: class ids of the map, the same shape.
        confidence: in the predicted classes, 0 to 254 for 0 to 1, the same shape.
    """
    return ConfidenceCounts.of(pair_table(_outcome(label, prediction), confidence)[:, :LEVELS])


def calibration_of(counts: ConfidenceCounts, *, bins: int = 15) -> Calibration:
    """Compute the calibration of counts that were summed over everything.

    Args:
        counts: the sums.
        bins: how many bins the curve, ECE and MCE have.

    Raises:
        OptionError: there is no bin, or there are more than levels.
    """
    check_range("calibration bins", bins, low=1, high=LEVELS)
    levels = np.arange(LEVELS)
    which = np.maximum(-(-levels * bins // (LEVELS - 1)) - 1, 0)  # in whole numbers: edges are exact
    pixels, right, sure = (
        np.bincount(which, weights=values, minlength=bins)
        for values in (counts.pixels, counts.right, counts.pixels * levels)
    )
    curve = tuple(
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            pixels=int(pixels[i]),
            confidence=_ratio(sure[i] / (LEVELS - 1), pixels[i]),
            accuracy=_ratio(right[i], pixels[i]),
        )
        for i in range(bins)
    )
    total, level = int(counts.pixels.sum()), levels / (LEVELS - 1)
    gaps = [(b.pixels, abs(b.accuracy - b.confidence)) for b in curve if b.pixels]
    squares = counts.right * (1 - level) ** 2 + (counts.pixels - counts.right) * level**2
    return Calibration(
        ece=_ratio(sum(n * gap for n, gap in gaps), total),
        mce=max((gap for _, gap in gaps), default=math.nan),
        brier=_ratio(squares.sum(), total),
        confidence=_ratio((counts.pixels * level).sum(), total),
        accuracy=_ratio(counts.right.sum(), total),
        pixels=total,
        curve=curve,
    )


def _outcome(label: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Whether pixels are wrong, right, or left out, of the same shape."""
    outcome: NDArray[np.uint8] = (label == prediction).view(np.uint8)
    outcome[(label == IGNORE_INDEX) | (prediction == NODATA_CLASS)] = _LEFT_OUT
    return outcome


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else math.nan
