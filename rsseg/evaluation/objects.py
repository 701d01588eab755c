"""How well objects, not pixels, are found: precision, recall and F1 of regions, matched one to one.

An object is a region: what hangs together of one class, in the labels or in the class map. Regions are 4-connected, as
those of `--min-area` and of polygons are; 8-connected on request. A region g of the labels and p of the map match if
they have the same class and

    IoU = |g and p| / (|g| + |p| - |g and p| - |g without prediction| - |p without label|)  >  0.5,

which at most one pair of a region can reach. Pixels without label (255) or prediction (255) cannot speak against a
region, so they are in no union. For the same reason an unmatched region is left out, neither missed nor a false alarm,
if more than half of it lies there. So is an unmatched region smaller than the smallest area asked for, and a small
region of the labels together with its match.

Labels drawn as pixels cannot tell touching objects apart: a terrace of houses is one region in both maps.

Regions go over the edges of windows, and are put together when all windows of a pair have been counted. The cut does
not matter, nor does the order. Memory grows with the pieces of regions in windows, not with pixels: some 50 bytes for
each until then and at most 250 while they are put together (measured in noise of two classes). Afterwards a pair is a
few numbers for each class.

Sources: the rule for matching and for unknown ground is that of panoptic quality (Kirillov et al. 2019,
arXiv:1801.00868), here with unknown ground in either map; small regions are treated as by COCO's area ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.errors import OptionError
from rsseg.evaluation.counters import Seen
from rsseg.evaluation.pieces import Lines, find_regions, join_pieces
from rsseg.tiling import Window

Ids = NDArray[np.uint8]
Ints = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class ObjectScores:
    """Of one class: the sum of the IoUs of its matches, and how many regions were matched and were not.

    `false_alarms` are regions of the map, `missed` those of the labels; the regions left out are in no score.
    """

    iou: float = 0.0
    matched: int = 0
    missed: int = 0
    false_alarms: int = 0
    left_out_label: int = 0
    left_out_map: int = 0

    def __add__(self, other: Self) -> ObjectScores:
        return ObjectScores(
            iou=self.iou + other.iou,
            matched=self.matched + other.matched,
            missed=self.missed + other.missed,
            false_alarms=self.false_alarms + other.false_alarms,
            left_out_label=self.left_out_label + other.left_out_label,
            left_out_map=self.left_out_map + other.left_out_map,
        )

    @property
    def precision(self) -> float:
        """The share of the map's regions that match; NaN without any."""
        return _share(self.matched, self.matched + self.false_alarms)

    @property
    def recall(self) -> float:
        """The share of the labels' regions that match; NaN without any."""
        return _share(self.matched, self.matched + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of both, NaN without regions in either map."""
        return _share(2 * self.matched, 2 * self.matched + self.missed + self.false_alarms)

    @property
    def mean_iou(self) -> float:
        """The mean IoU of matches, from 0.5 to 1; NaN without any."""
        return _share(self.iou, self.matched)


@dataclass(frozen=True, eq=False)
class ObjectCounts:
    """Objects of whole pairs, and the pieces of those that are not seen whole; counts add up with `+`, in any order.

    `scores` are final; `pieces` are the windows, by pair, of pairs that lack some.
    """

    scores: Mapping[int, ObjectScores] = field(default_factory=dict)
    pieces: Mapping[int, tuple[_Pieces, ...]] = field(default_factory=dict)

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        scores = _added(self.scores, other.scores)
        pieces = {}
        for pair in {**self.pieces, **other.pieces}:
            parts = self.pieces.get(pair, ()) + other.pieces.get(pair, ())
            if sum(part.pixels for part in parts) < parts[0].whole.pixels:
                pieces[pair] = parts
            else:
                scores = _added(scores, _scored(parts))
        return ObjectCounts(scores, pieces)


@dataclass(frozen=True, kw_only=True)
class ObjectCounter:
    """Counts objects.

    Args:
        classes: ids of the classes that consist of objects.
        connectivity: 4: pixels of an object share sides; 8: sides or corners.
        min_area: smaller regions are left out, in pixels.
        margin: none is needed.

    Raises:
        OptionError: the connectivity is another one.
    """

    classes: tuple[int, ...]
    connectivity: int = 4
    min_area: int = 1
    margin: int = 0

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise OptionError(f"connectivity of objects is {self.connectivity}; expected 4 or 8")

    def empty(self) -> ObjectCounts:
        """See `Counter`."""
        return ObjectCounts()

    def count(self, seen: Seen) -> ObjectCounts:
        """See `Counter`."""
        label, prediction = seen.kept()
        of_label, of_map = (find_regions(ids, self.classes, self.connectivity) for ids in (label, prediction))
        pieces = _Pieces(
            rules=self,
            whole=seen.whole,
            pixels=seen.keep.pixels,
            of_label=_Regions.of(*of_label, window=seen.keep, unknown=prediction == NODATA_CLASS),
            of_map=_Regions.of(*of_map, window=seen.keep, unknown=label == IGNORE_INDEX),
            shared=_shared(of_label[0], of_map[0]),
        )
        return ObjectCounts() + ObjectCounts(pieces={seen.pair: (pieces,)})


@dataclass(frozen=True, eq=False, kw_only=True)
class _Regions:
    """Regions of one map, or pieces of them, by number from 0 (n,): class, pixels, and those of them unknown."""

    classes: Ids
    areas: Ints
    unknown: Ints
    lines: Lines

    @classmethod
    def of(cls, numbers: Ints, classes: Ids, *, window: Window, unknown: NDArray[np.bool_]) -> _Regions:
        """Those of a window; `numbers` (rows, cols) count from 1, 0 is no region."""
        count = len(classes) + 1
        return cls(
            classes=classes,
            areas=np.bincount(numbers.ravel(), minlength=count)[1:],
            unknown=np.bincount(numbers[unknown], minlength=count)[1:],
            lines=Lines.of(numbers, window),
        )

    @classmethod
    def joined(cls, parts: Sequence[_Regions], connectivity: int) -> tuple[_Regions, Ints]:
        """Pieces put together to regions, and the number of the region of each piece."""
        classes = np.concatenate([part.classes for part in parts])
        firsts = np.cumsum([0, *(len(part.classes) for part in parts)])
        lines = Lines.concatenated(
            [part.lines.renumbered(first) for part, first in zip(parts, firsts, strict=False)]
        )
        region = join_pieces(classes, lines, connectivity)
        of_regions = np.zeros(region.max(initial=-1) + 1, dtype=np.uint8)
        of_regions[region] = classes
        areas, unknown = (
            _summed(region, np.concatenate(values), len(of_regions))
            for values in ([part.areas for part in parts], [part.unknown for part in parts])
        )
        return cls(classes=of_regions, areas=areas, unknown=unknown, lines=Lines.none()), region


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pieces:
    """What one window has of the regions of a pair; `shared` (3, m) are pairs of them and the pixels in both."""

    rules: ObjectCounter
    whole: Window
    pixels: int
    of_label: _Regions
    of_map: _Regions
    shared: Ints


def _shared(label: Ints, prediction: Ints) -> Ints:
    """Pairs of regions, by number from 0, that have pixels in common, and how many: (3, m)."""
    both = (label > 0) & (prediction > 0)
    keys = (label[both].astype(np.int64) - 1 << 32) | (prediction[both] - 1)
    # Pixels side by side mostly share their pair, and sorting takes most of the time.
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if keys.size else np.zeros(0, np.int64)
    return _tallied(keys[starts], np.diff(starts, append=keys.size))


def _tallied(keys: Ints, pixels: Ints) -> Ints:
    distinct, which = np.unique(keys, return_inverse=True)
    return np.stack([distinct >> 32, distinct & 0xFFFFFFFF, _summed(which, pixels, len(distinct))])


def _summed(which: Ints, values: Ints, count: int) -> Ints:
    """The sum of the values of each of `count` groups, exact below 2^53."""
    return np.bincount(which, weights=values, minlength=count).astype(np.int64)


def _scored(parts: Sequence[_Pieces]) -> dict[int, ObjectScores]:
    """Match the objects of a pair whose windows are all there."""
    rules = parts[0].rules
    label, label_region = _Regions.joined([part.of_label for part in parts], rules.connectivity)
    found, found_region = _Regions.joined([part.of_map for part in parts], rules.connectivity)
    g_first = np.cumsum([0, *(len(part.of_label.classes) for part in parts)])
    p_first = np.cumsum([0, *(len(part.of_map.classes) for part in parts)])
    g = np.concatenate([part.shared[0] + first for part, first in zip(parts, g_first, strict=False)])
    p = np.concatenate([part.shared[1] + first for part, first in zip(parts, p_first, strict=False)])
    pixels = np.concatenate([part.shared[2] for part in parts])
    g, p, both = _tallied(label_region[g].astype(np.int64) << 32 | found_region[p], pixels)

    either = (label.areas - label.unknown)[g] + (found.areas - found.unknown)[p] - both
    # In whole numbers: an IoU of exactly one half is no match.
    match = (2 * both > either) & (label.classes[g] == found.classes[p])
    g, p, iou = g[match], p[match], both[match] / either[match]
    small = label.areas < rules.min_area
    counted = ~small[g]
    label_left, map_left = _excused(label, rules), _excused(found, rules)
    label_left[g], map_left[p] = ~counted, ~counted
    label_unmatched, map_unmatched = _others(len(label_left), g), _others(len(map_left), p)
    return {
        k: ObjectScores(
            iou=math.fsum(iou[counted & (label.classes[g] == k)]),
            matched=_number(counted & (label.classes[g] == k)),
            missed=_number(label_unmatched & ~label_left & (label.classes == k)),
            false_alarms=_number(map_unmatched & ~map_left & (found.classes == k)),
            left_out_label=_number(label_left & (label.classes == k)),
            left_out_map=_number(map_left & (found.classes == k)),
        )
        for k in rules.classes
    }


def _excused(regions: _Regions, rules: ObjectCounter) -> NDArray[np.bool_]:
    """Which regions do not count if nothing matches them."""
    return (regions.areas < rules.min_area) | (2 * regions.unknown > regions.areas)


def _others(count: int, numbers: Ints) -> NDArray[np.bool_]:
    others = np.ones(count, dtype=np.bool_)
    others[numbers] = False
    return others


def _added(one: Mapping[int, ObjectScores], other: Mapping[int, ObjectScores]) -> dict[int, ObjectScores]:
    return {k: one.get(k, ObjectScores()) + other.get(k, ObjectScores()) for k in {**one, **other}}


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _share(above: float, below: int) -> float:
    return above / below if below else math.nan
