"""How well boundaries are found: boundary IoU and boundary F1, per class, summed over everything.

Both ask about pixels near a boundary only, where area scores hardly see an error of large objects. T is the tolerance,
a distance in pixels between their centres.

* Boundary IoU: a pixel is in the inner boundary region of its class if a pixel of another class is at distance <= T.
  Of class k it is the intersection over the union of the two regions, that of the labels and that of the map.
* Boundary F1: the contour of a class are its pixels that share a side with another class. Precision is the share of the
  map's contour that has a pixel of the labels' contour, of the same class, at distance <= T; recall is the same with
  labels and map exchanged; F1 is their harmonic mean.

What is unknown makes no boundary: pixels without a label or without a prediction belong to no class in either map, and
so does what lies outside the raster. A contour that the labels hide (it would run through ignored ground) cannot be
matched, as nobody knows where it is.

0/0 is NaN: a class without a boundary in either map, which means leave out. A class with a boundary in one of them only
has IoU = F1 = 0.

Sources: Cheng et al. 2021, Boundary IoU, arXiv:2103.16562; Csurka et al. 2013, What is a good evaluation measure for
semantic segmentation?, BMVC. Departures: distances are Euclidean; T is a number of pixels or metres, not a share of the
image's diagonal, which says nothing of a mosaic; the image's border is no boundary; sums run over all images, where
Csurka et al. average over images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.errors import OptionError
from rsseg.evaluation.block_counter import Strip
from rsseg.evaluation.confusion import pair_table
from rsseg.evaluation.counters import Seen

Ids = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

_IDS_OF = (0, 1, 0, 0, 1, 0, 1)
"""Whose class a pixel counts for in each field of `BoundaryCounts`: that of the labels, or that of the map."""

_ROUNDING = 1e-6
"""So much more than T squared still counts: 0.6 m are three pixels of 0.2 m, whatever the division says."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BoundaryCounts:
    """Pixels near boundaries, each (K,) for K classes; counts of several windows or images add up with `+`.

    `inner_*` are the inner boundary regions: of the labels, of the map, and their intersection. `contour_*` are the
    contours, `matched_*` those of their pixels that have a counterpart in the other map.
    """

    inner_label: Counts
    inner_map: Counts
    inner_both: Counts
    contour_label: Counts
    contour_map: Counts
    matched_label: Counts
    matched_map: Counts

    @classmethod
    def empty(cls, classes: int) -> BoundaryCounts:
        """The counts of no pixel: what a sum begins with."""
        return cls(**{field.name: np.zeros(classes, dtype=np.int64) for field in fields(cls)})

    @classmethod
    def of(cls, counts: Counts) -> BoundaryCounts:
        """The rows of an array (7, K), as `BoundaryCounter.shape` has it."""
        return cls(**{field.name: row for field, row in zip(fields(cls), counts, strict=True)})

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        names = [field.name for field in fields(self)]
        return BoundaryCounts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class BoundaryScores:
    """Scores from 0 to 1, NaN where undefined; per class in the order of the ids, and means over classes."""

    iou: tuple[float, ...]
    f1: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    mean_iou: float
    mean_f1: float


def tolerance_in_pixels(tolerance_m: float, gsd_m: float) -> float:
    """The tolerance in pixels of a raster whose pixels are `gsd_m` wide.

    Raises:
        OptionError: it is below one pixel, so that no pixel would be near another.
    """
    tolerance = tolerance_m / gsd_m
    if not 1 <= tolerance + _ROUNDING < math.inf:
        raise OptionError(
            f"boundary tolerance is {tolerance_m} m, {tolerance:.2g} px of {gsd_m} m; it must be at least 1 px",
            hint=f"boundaries cannot be judged finer than the pixels: at least {gsd_m} m",
        )
    return tolerance


@dataclass(frozen=True, kw_only=True)
class BoundaryCounter:
    """Counts pixels near boundaries, in all or as a `PixelCounter`.

    A pixel counts in the window and in the block in which it lies, whatever lies beyond their edges: it is seen with
    the margin around it, less only where the raster ends.

    Args:
        classes: how many there are, K.
        tolerance: in pixels, at least 1.
    """

    classes: int
    tolerance: float

    @property
    def margin(self) -> int:
        """As far as the tolerance, and one pixel more, which says whether the last one is on a contour."""
        return _reach(self.tolerance) + 1

    def empty(self) -> BoundaryCounts:
        """See `Counter`."""
        return BoundaryCounts.empty(self.classes)

    def count(self, seen: Seen) -> BoundaryCounts:
        """See `Counter`."""
        return BoundaryCounts.of(self._near(seen).counted(self.classes))

    @property
    def shape(self) -> tuple[int, int]:
        """The fields of `BoundaryCounts`, each of K classes."""
        return len(_IDS_OF), self.classes

    def cells(self, seen: Seen, strips: Iterable[Strip]) -> Iterator[NDArray[np.signedinteger[Any]]]:
        """See `PixelCounter`."""
        near = self._near(seen)
        for strip in strips:
            yield near.cut(strip.window.slices(seen.keep)).cells(self.classes, strip.firsts)

    def _near(self, seen: Seen) -> _Near:
        found = _find(seen.label, seen.prediction, self.classes, self.tolerance)
        return found.cut(seen.keep.slices(seen.read))


def count_boundaries(label: Ids, prediction: Ids, classes: int, *, tolerance: float) -> BoundaryCounts:
    """Count the pixels near boundaries of a whole raster.

    Args:
        label: class ids of the reference (rows, cols), 255 where nothing counts; `count_pixels` checks ids.
        prediction: class ids of the map, 255 without data, the same shape.
        classes: how many classes there are, K.
        tolerance: in pixels, at least 1.
    """
    return BoundaryCounts.of(_find(label, prediction, classes, tolerance).counted(classes))


def boundary_scores_of(counts: BoundaryCounts, *, mean_over: Sequence[int] | None = None) -> BoundaryScores:
    """Compute the scores of counts that were summed over everything.

    Args:
        counts: the sums.
        mean_over: ids of the classes whose scores are averaged; all of them by default.
    """
    both = counts.inner_both
    iou = _ratio(both, counts.inner_label + counts.inner_map - both)
    precision = _ratio(counts.matched_map, counts.contour_map)
    recall = _ratio(counts.matched_label, counts.contour_label)
    # The harmonic mean; a class with a contour in one map only has neither precision nor recall to speak of.
    p, r = (np.where(np.isnan(share), 0.0, share) for share in (precision, recall))
    f1 = np.where(p + r > 0, _ratio(2 * p * r, p + r), 0.0)
    f1[counts.contour_label + counts.contour_map == 0] = math.nan
    kept = list(range(len(iou)) if mean_over is None else mean_over)
    return BoundaryScores(
        iou=tuple(iou.tolist()),
        f1=tuple(f1.tolist()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
        mean_iou=_mean(iou[kept]),
        mean_f1=_mean(f1[kept]),
    )


class _Near(NamedTuple):
    """What is near boundaries (rows, cols): bit i of `flags` says that a pixel counts in the i-th field.

    `label` and `prediction` are 255 in both where either is unknown.
    """

    label: Ids
    prediction: Ids
    flags: NDArray[np.uint8]

    def cut(self, part: tuple[slice, slice]) -> _Near:
        """Some rows and columns of it."""
        return _Near(self.label[part], self.prediction[part], self.flags[part])

    def counted(self, classes: int) -> Counts:
        """The pixels of each field and class: (7, K)."""
        tables = [pair_table(ids, self.flags)[:classes] for ids in (self.label, self.prediction)]
        flags = np.arange(256)
        return np.stack([tables[of][:, (flags >> i) & 1 == 1].sum(axis=1) for i, of in enumerate(_IDS_OF)])

    def cells(self, classes: int, firsts: NDArray[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
        """The same pixels one by one, few where boundaries are few; see `PixelCounter.cells`."""
        near = np.flatnonzero(self.flags != 0)  # of one dimension and bool, which is fast
        starts = firsts[near - near // self.flags.shape[1] * self.flags.shape[1]]
        label, prediction, flags = (each.ravel()[near] for each in self)
        cells = starts + label, starts + prediction
        found = [np.flatnonzero(flags & np.uint8(1 << i) != 0) for i in range(len(_IDS_OF))]
        return np.concatenate(
            [cells[of][which] + i * classes for i, (of, which) in enumerate(zip(_IDS_OF, found, strict=True))]
        )


def _find(label: Ids, prediction: Ids, classes: int, tolerance: float) -> _Near:
    """Find what is near boundaries; what it says of pixels less than a margin from the edge is not used."""
    unknown = (label == IGNORE_INDEX) | (prediction == NODATA_CLASS)
    ids = [np.where(unknown, np.uint8(IGNORE_INDEX), each) for each in (label, prediction)]
    inner = [_near_others(each, classes, tolerance) for each in ids]
    contours = [_near_others(each, classes, 1) for each in ids]
    matched = _matched(
        *(np.where(on, each, np.uint8(IGNORE_INDEX)) for each, on in zip(ids, contours, strict=True)),
        classes=classes,
        tolerance=tolerance,
    )
    flags = np.zeros(label.shape, dtype=np.uint8)
    for i, mask in enumerate((*inner, inner[0] & inner[1] & (ids[0] == ids[1]), *contours, *matched)):
        flags |= mask.view(np.uint8) << np.uint8(i)
    flags[unknown] = 0
    return _Near(ids[0], ids[1], flags)


def _near_others(ids: Ids, classes: int, distance: float) -> Mask:
    """Which pixels have a pixel of another class within a distance; what it says of unknown ones is not used."""
    near = np.zeros(ids.shape, dtype=np.bool_)
    for bits in _class_bits(ids, classes):
        near |= (_spread(bits, distance) & ~bits) != 0
    return near


def _matched(label: Ids, prediction: Ids, *, classes: int, tolerance: float) -> tuple[Mask, Mask]:
    """Which pixels of either contour have one of the same class in the other within the tolerance."""
    of_label, of_map = (np.zeros(label.shape, dtype=np.bool_) for _ in range(2))
    for one, other in zip(_class_bits(label, classes), _class_bits(prediction, classes), strict=True):
        of_label |= (one & _spread(other, tolerance)) != 0
        of_map |= (other & _spread(one, tolerance)) != 0
    return of_label, of_map


def _class_bits(ids: Ids, classes: int) -> Iterator[Ids]:
    """The classes of pixels as bits, eight classes at a time; none where a pixel has none of these."""
    for first in range(0, classes, 8):
        held = 2 ** min(8, classes - first) - 1
        # A shift by more than all bits leaves none, and smaller ids wrap to large shifts.
        yield np.left_shift(np.uint8(1), ids - np.uint8(first)) & np.uint8(held)


def _spread(bits: Ids, distance: float) -> Ids:
    """Every pixel's bits joined with those of all pixels at Euclidean distance <= `distance`.

    The disc is built of columns of pixels: from the shortest, at its left and right, to the one through its centre.
    """
    reached = np.zeros_like(bits)
    if not bits.any():
        return reached
    column, half = bits.copy(), 0
    for right in range(_reach(distance), -1, -1):
        while half < math.isqrt(_squared(distance) - right**2):
            half += 1
            column[half:] |= bits[:-half]
            column[:-half] |= bits[half:]
        shared = max(bits.shape[1] - right, 0)
        reached[:, right:] |= column[:, :shared]
        reached[:, :shared] |= column[:, right:]
    return reached


def _squared(distance: float) -> int:
    return math.floor(distance**2 + _ROUNDING)


def _reach(distance: float) -> int:
    return math.isqrt(_squared(distance))


def _ratio(above: NDArray[np.number], below: NDArray[np.number]) -> NDArray[np.float64]:
    """Divide, with NaN for 0/0."""
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan
