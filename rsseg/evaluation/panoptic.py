"""Panoptic quality: how well segments, not pixels, are found.

A segment is a set of pixels with a category: an object of a countable category (a thing), or all the pixels of an
uncountable one (stuff). A predicted segment matches one of the reference if they have the same category and

    IoU = |g and p| / (|g| + |p| - |g and p| - |p and void|)  >  0.5,

which at most one pair of a segment can reach. Then, per category and over the whole data set,

    PQ = sum of the IoUs of matches / (TP + FP / 2 + FN / 2) = SQ * RQ.

Void pixels belong to no reference segment. A crowd is a region of the reference that holds many objects which nobody
told apart: it is never matched nor missed, and who predicts into it, or into void, is not punished: a prediction is no
false positive if more than half of it lies there.

Source: Kirillov et al. 2019, Panoptic Segmentation, arXiv:1801.00868. Departure: several crowds of one category in an
image count together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import LabelError

VOID = 0
"""The id of pixels that belong to no segment."""


@dataclass(frozen=True)
class Segment:
    """A segment of a map of ids; crowds occur in references only."""

    id: int
    category: int
    crowd: bool = False


@dataclass(frozen=True, kw_only=True)
class CategorySums:
    """Of one category: the sum of the IoUs of its matches, and how many matches, false alarms and misses."""

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Self) -> CategorySums:
        return CategorySums(
            iou=self.iou + other.iou, tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn
        )

    @property
    def sq(self) -> float:
        """Segmentation quality: the mean IoU of matches, 0 without any."""
        return self.iou / self.tp if self.tp else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality: the F1 of segments, NaN where there are none in either map."""
        total = self.tp + self.fp / 2 + self.fn / 2
        return self.tp / total if total else math.nan

    @property
    def pq(self) -> float:
        """Panoptic quality, NaN where there are no segments in either map."""
        return self.sq * self.rq


@dataclass(frozen=True)
class PanopticSums:
    """What images add up to; the sums of a data set are the sum, with `+`, of those of its images."""

    categories: Mapping[int, CategorySums] = field(default_factory=dict)

    def __add__(self, other: Self) -> PanopticSums:
        merged = {
            category: self.categories.get(category, CategorySums())
            + other.categories.get(category, CategorySums())
            for category in {**self.categories, **other.categories}
        }
        return PanopticSums(merged)

    def mean(self, over: Collection[int] | None = None) -> PanopticScores:
        """Average over those of the categories (all, or things, or stuff) that have segments in either map."""
        found = [
            sums
            for category, sums in self.categories.items()
            if (over is None or category in over) and sums.tp + sums.fp + sums.fn
        ]
        return PanopticScores(
            pq=_mean([sums.pq for sums in found]),
            sq=_mean([sums.sq for sums in found]),
            rq=_mean([sums.rq for sums in found]),
            categories=len(found),
        )


@dataclass(frozen=True, kw_only=True)
class PanopticScores:
    """Means over so many categories, from 0 to 1; NaN over none."""

    pq: float
    sq: float
    rq: float
    categories: int


def match_segments(
    label: NDArray[np.integer],
    label_segments: Sequence[Segment],
    predicted: NDArray[np.integer],
    predicted_segments: Sequence[Segment],
) -> PanopticSums:
    """Match the segments of one image.

    Args:
        label: (H, W), the id of each pixel's reference segment, from 1 to 2^31 - 1; `VOID` in none.
        label_segments: every segment of `label`.
        predicted: (H, W), likewise.
        predicted_segments: every segment of `predicted`.

    Raises:
        LabelError: the maps differ in size, a map and its list name different segments, or a list names one twice.
    """
    if label.shape != predicted.shape:
        raise LabelError(
            f"a map of predicted segments has the shape {predicted.shape}; its reference has {label.shape}"
        )
    reference = _read_map(label, label_segments, "reference")
    predictions = _read_map(predicted, predicted_segments, "prediction")
    shared = _count_pairs(label.astype(np.int64), predicted.astype(np.int64))
    matches = _matches(reference, predictions, shared)
    sums = PanopticSums()
    for (_, p), iou in matches.items():
        sums += _one(predictions.segments[p], CategorySums(iou=iou, tp=1))
    for g in reference.segments.keys() - {g for g, _ in matches}:
        if not reference.segments[g].crowd:
            sums += _one(reference.segments[g], CategorySums(fn=1))
    for p in predictions.segments.keys() - {p for _, p in matches}:
        excused = _excused_pixels(p, predictions.segments[p].category, reference, shared)
        if 2 * excused <= predictions.areas[p]:
            sums += _one(predictions.segments[p], CategorySums(fp=1))
    return sums


class _Map(NamedTuple):
    """The segments of a map and their pixels, by id; void has pixels only."""

    segments: dict[int, Segment]
    areas: dict[int, int]


_Shared = Mapping[tuple[int, int], int]
"""How many pixels each pair of ids (reference, prediction) has."""


def _read_map(ids: NDArray[np.integer], segments: Sequence[Segment], which: str) -> _Map:
    listed = {segment.id: segment for segment in segments}
    if len(listed) < len(segments):
        twice = next(id_ for id_, times in Counter(segment.id for segment in segments).items() if times > 1)
        raise LabelError(
            f"segment {twice} of the {which} is listed more than once; expected each segment once"
        )
    drawn, pixels = np.unique(ids, return_counts=True)
    areas = dict(zip(drawn.tolist(), pixels.tolist(), strict=True))
    odd = sorted((areas.keys() - {VOID}) ^ listed.keys())
    if odd:
        where = "in the map but not listed" if odd[0] in areas else "listed but not in the map"
        raise LabelError(f"segment {odd[0]} of the {which} is {where}; expected the same segments in both")
    return _Map(listed, areas)


def _count_pairs(label: NDArray[np.int64], predicted: NDArray[np.int64]) -> _Shared:
    pairs, pixels = np.unique((label << 32) | predicted, return_counts=True)
    return {
        (pair >> 32, pair & 0xFFFFFFFF): count
        for pair, count in zip(pairs.tolist(), pixels.tolist(), strict=True)
    }


def _matches(reference: _Map, predictions: _Map, shared: _Shared) -> dict[tuple[int, int], float]:
    """IoU of the pairs of ids that match."""
    matches = {}
    for (g, p), both in shared.items():
        if VOID in (g, p) or reference.segments[g].crowd:
            continue
        either = reference.areas[g] + predictions.areas[p] - both - shared.get((VOID, p), 0)
        # In whole numbers: an IoU of exactly one half is no match.
        if reference.segments[g].category == predictions.segments[p].category and 2 * both > either:
            matches[g, p] = both / either
    return matches


def _excused_pixels(p: int, category: int, reference: _Map, shared: _Shared) -> int:
    """How many pixels of a prediction lie in void or in crowds of its category."""
    crowds = (s.id for s in reference.segments.values() if s.crowd and s.category == category)
    return sum(shared.get((g, p), 0) for g in (VOID, *crowds))


def _one(segment: Segment, sums: CategorySums) -> PanopticSums:
    return PanopticSums({segment.category: sums})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
