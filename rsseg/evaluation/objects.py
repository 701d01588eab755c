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
not matter, nor does the order. Memory grows with the pieces of regions in windows, not with pixels: some 60 bytes for
each until then and at most 250 while they are put together (measured in noise of two classes). Afterwards a pair is a
few numbers for each class.

For the bootstrap a region belongs to one block of ground: that of its first pixel, row by row, of those with a label
and a class, so that this, too, does not depend on the cut. A match belongs to the block of the region of the labels.
Every region that counts has such a pixel. Blocks have to be wider than objects, or neighbours share what they say.

Sources: the rule for matching and for unknown ground is that of panoptic quality (Kirillov et al. 2019,
arXiv:1801.00868), here with unknown ground in either map; small regions are treated as by COCO's area ranges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.errors import OptionError
from rsseg.evaluation.block_counter import BlockGrid
from rsseg.evaluation.block_counts import BlockCounts, Counts
from rsseg.evaluation.counters import Seen
from rsseg.evaluation.pieces import Regions, find_regions, summed
from rsseg.tiling import Window

Ids = NDArray[np.uint8]
Ints = NDArray[np.signedinteger[Any]]

_UNIT = 2.0**-30
"""Of the IoUs of blocks, which are added as whole numbers: neither order nor rounding matters, and a mean of them is
less than 1e-9 from that of the IoUs; sums of 8 million replicated matches are still exact."""


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

    @classmethod
    def of(cls, counts: Counts) -> ObjectScores:
        """Those of one class: a column (4,) of the counts of blocks, as `ObjectCounter.shape` has them."""
        units, matched, missed, false_alarms = counts.tolist()
        return cls(iou=units * _UNIT, matched=matched, missed=missed, false_alarms=false_alarms)

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

    `scores` are final; `pieces` are the windows, by pair, of pairs that lack some. `blocks` are all that are compared,
    with the objects of whole pairs; None where none are counted.
    """

    scores: Mapping[int, ObjectScores] = field(default_factory=dict)
    pieces: Mapping[int, tuple[_Pieces, ...]] = field(default_factory=dict)
    blocks: BlockCounts | None = None

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        scores, blocks = _added(self.scores, other.scores), _together(self.blocks, other.blocks)
        pieces = {}
        for pair in {**self.pieces, **other.pieces}:
            parts = self.pieces.get(pair, ()) + other.pieces.get(pair, ())
            if sum(part.pixels for part in parts) < parts[0].whole.pixels:
                pieces[pair] = parts
            else:
                found = _found(parts)
                scores, blocks = _added(scores, found.scores()), _together(blocks, found.blocks())
        return ObjectCounts(scores, pieces, blocks)


@dataclass(frozen=True, kw_only=True)
class ObjectCounter:
    """Counts objects.

    Args:
        classes: ids of the classes that consist of objects.
        connectivity: 4: pixels of an object share sides; 8: sides or corners.
        min_area: smaller regions are left out, in pixels.
        blocks: those in which objects are counted, too; None: none.
        margin: none is needed.

    Raises:
        OptionError: the connectivity is another one.
    """

    classes: tuple[int, ...]
    connectivity: int = 4
    min_area: int = 1
    blocks: BlockGrid | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        if self.connectivity not in (4, 8):
            raise OptionError(f"connectivity of objects is {self.connectivity}; expected 4 or 8")

    @property
    def shape(self) -> tuple[int, int]:
        """Of the counts of blocks: IoUs in units of 2^-30, matched, missed, false alarms; of each of `classes`."""
        return 4, len(self.classes)

    def empty(self) -> ObjectCounts:
        """See `Counter`."""
        return ObjectCounts()

    def count(self, seen: Seen) -> ObjectCounts:
        """See `Counter`."""
        label, prediction = seen.kept()
        of_label, of_map = (find_regions(ids, self.classes, self.connectivity) for ids in (label, prediction))
        regions = partial(Regions.of, window=seen.keep, placed=self.blocks is not None)
        pieces = _Pieces(
            rules=self,
            whole=seen.whole,
            pixels=seen.keep.pixels,
            of_label=regions(*of_label, unknown=prediction == NODATA_CLASS),
            of_map=regions(*of_map, unknown=label == IGNORE_INDEX),
            shared=_shared(of_label[0], of_map[0]),
        )
        blocks = None if self.blocks is None else BlockCounts.of(self.shape, self.blocks.compared(seen))
        return ObjectCounts() + ObjectCounts(pieces={seen.pair: (pieces,)}, blocks=blocks)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pieces:
    """What one window has of the regions of a pair; `shared` (3, m) are pairs of them and the pixels in both."""

    rules: ObjectCounter
    whole: Window
    pixels: int
    of_label: Regions
    of_map: Regions
    shared: Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class _Found:
    """What became of the regions of a pair, each by its number (n,).

    `matched` are those of the labels, with the `iou` of each; `left_label` and `left_map` are left out.
    """

    rules: ObjectCounter
    of_label: Regions
    of_map: Regions
    matched: Ints
    iou: NDArray[np.float64]
    missed: Ints
    false_alarms: Ints
    left_label: Ints
    left_map: Ints

    def scores(self) -> dict[int, ObjectScores]:
        """The scores of each class."""
        label, found = self.of_label.classes, self.of_map.classes
        return {
            k: ObjectScores(
                iou=math.fsum(self.iou[label[self.matched] == k]),
                matched=_number(label[self.matched] == k),
                missed=_number(label[self.missed] == k),
                false_alarms=_number(found[self.false_alarms] == k),
                left_out_label=_number(label[self.left_label] == k),
                left_out_map=_number(found[self.left_map] == k),
            )
            for k in self.rules.classes
        }

    def blocks(self) -> BlockCounts | None:
        """The same, less what is left out, in the blocks of the regions' first pixels."""
        if self.rules.blocks is None:
            return None
        units = np.rint(self.iou / _UNIT).astype(np.int64)
        rows = (
            (self.of_label, self.matched, units),
            (self.of_label, self.matched, np.ones_like(self.matched)),
            (self.of_label, self.missed, np.ones_like(self.missed)),
            (self.of_map, self.false_alarms, np.ones_like(self.false_alarms)),
        )
        count = len(self.rules.classes)
        columns = np.zeros(IGNORE_INDEX, dtype=np.int64)
        columns[list(self.rules.classes)] = np.arange(count)
        return self.rules.blocks.scattered(
            self.rules.shape,
            np.concatenate([regions.places(which) for regions, which, _ in rows], axis=1),
            np.concatenate([columns[of.classes[which]] + i * count for i, (of, which, _) in enumerate(rows)]),
            np.concatenate([counts for _, _, counts in rows]),
        )


def _shared(label: Ints, prediction: Ints) -> Ints:
    """Pairs of regions, by number from 0, that have pixels in common, and how many: (3, m)."""
    both = (label > 0) & (prediction > 0)
    keys = (label[both].astype(np.int64) - 1 << 32) | (prediction[both] - 1)
    # Pixels side by side mostly share their pair, and sorting takes most of the time.
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if keys.size else np.zeros(0, np.int64)
    return _tallied(keys[starts], np.diff(starts, append=keys.size))


def _tallied(keys: Ints, pixels: Ints) -> Ints:
    distinct, which = np.unique(keys, return_inverse=True)
    return np.stack([distinct >> 32, distinct & 0xFFFFFFFF, summed(which, pixels, len(distinct))])


def _found(parts: Sequence[_Pieces]) -> _Found:
    """Match the objects of a pair whose windows are all there."""
    rules = parts[0].rules
    label, label_region = Regions.joined([part.of_label for part in parts], rules.connectivity)
    found, found_region = Regions.joined([part.of_map for part in parts], rules.connectivity)
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
    counted = label.areas[g] >= rules.min_area
    left_label, left_map = _excused(label, rules), _excused(found, rules)
    left_label[g], left_map[p] = ~counted, ~counted
    unmatched_label, unmatched_map = _others(len(left_label), g), _others(len(left_map), p)
    return _Found(
        rules=rules,
        of_label=label,
        of_map=found,
        matched=g[counted],
        iou=iou[counted],
        missed=np.flatnonzero(unmatched_label & ~left_label),
        false_alarms=np.flatnonzero(unmatched_map & ~left_map),
        left_label=np.flatnonzero(left_label),
        left_map=np.flatnonzero(left_map),
    )


def _excused(regions: Regions, rules: ObjectCounter) -> NDArray[np.bool_]:
    """Which regions do not count if nothing matches them."""
    return (regions.areas < rules.min_area) | (2 * regions.unknown > regions.areas)


def _others(count: int, numbers: Ints) -> NDArray[np.bool_]:
    others = np.ones(count, dtype=np.bool_)
    others[numbers] = False
    return others


def _added(one: Mapping[int, ObjectScores], other: Mapping[int, ObjectScores]) -> dict[int, ObjectScores]:
    return {k: one.get(k, ObjectScores()) + other.get(k, ObjectScores()) for k in {**one, **other}}


def _together(one: BlockCounts | None, other: BlockCounts | None) -> BlockCounts | None:
    return one + other if one is not None and other is not None else one or other


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _share(above: float, below: int) -> float:
    return above / below if below else math.nan
