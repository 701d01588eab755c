"""How well objects, not pixels, are found: precision, recall and F1 of regions, matched one to one.

An object is a region: what hangs together of one class, in the labels or in the class map. Regions are 4-connected, as
those of `--min-area` and of polygons are. Which of them match, and which are left out, is told in `matching`.

Labels drawn as pixels cannot tell touching objects apart: a terrace of houses is one region in both maps.

Regions go over the edges of windows, and are put together when all windows of a pair have been counted. The cut does
not matter, nor does the order. Memory grows with the pieces of regions in windows, not with pixels: some 60 bytes for
each until then and at most 250 while they are put together (measured in noise of two classes). Afterwards a pair is a
few numbers for each class.

For the bootstrap a region belongs to one block of ground: that of its first pixel, row by row, of those with a label
and a class, so that this, too, does not depend on the cut. A match belongs to the block of the region of the labels.
Every region that counts has such a pixel. Blocks have to be wider than objects, or neighbours share what they say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.evaluation.block_counter import BlockGrid
from rsseg.evaluation.block_counts import BlockCounts, Counts
from rsseg.evaluation.counters import Seen
from rsseg.evaluation.matching import Matches, Pieces, matched
from rsseg.tiling import Window

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
    pieces: Mapping[int, tuple[_Part, ...]] = field(default_factory=dict)
    blocks: BlockCounts | None = None

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        scores, blocks = _added(self.scores, other.scores), _together(self.blocks, other.blocks)
        pieces = {}
        for pair in {**self.pieces, **other.pieces}:
            parts = self.pieces.get(pair, ()) + other.pieces.get(pair, ())
            if sum(part.pixels for part in parts) < parts[0].whole.pixels:
                pieces[pair] = parts
            else:
                rules, found = (
                    parts[0].rules,
                    matched([part.pieces for part in parts], parts[0].rules.min_area),
                )
                scores = _added(scores, _scores(found, rules))
                blocks = _together(blocks, _blocks(found, rules))
        return ObjectCounts(scores, pieces, blocks)


@dataclass(frozen=True, kw_only=True)
class ObjectCounter:
    """Counts objects.

    Args:
        classes: ids of the classes that consist of objects.
        min_area: smaller regions are left out, in pixels.
        blocks: those in which objects are counted, too; None: none.
        margin: none is needed.
    """

    classes: tuple[int, ...]
    min_area: int = 1
    blocks: BlockGrid | None = None
    margin: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Of the counts of blocks: IoUs in units of 2^-30, matched, missed, false alarms; of each of `classes`."""
        return 4, len(self.classes)

    def empty(self) -> ObjectCounts:
        """See `Counter`."""
        return ObjectCounts()

    def count(self, seen: Seen) -> ObjectCounts:
        """See `Counter`."""
        pieces = Pieces.of(
            *seen.kept(), classes=self.classes, window=seen.keep, placed=self.blocks is not None
        )
        part = _Part(rules=self, whole=seen.whole, pixels=seen.keep.pixels, pieces=pieces)
        blocks = None if self.blocks is None else BlockCounts.of(self.shape, self.blocks.compared(seen))
        return ObjectCounts() + ObjectCounts(pieces={seen.pair: (part,)}, blocks=blocks)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Part:
    """What one window has of the regions of a pair."""

    rules: ObjectCounter
    whole: Window
    pixels: int
    pieces: Pieces


def _scores(found: Matches, rules: ObjectCounter) -> dict[int, ObjectScores]:
    """The scores of each class."""
    label, map_ = found.of_label.classes, found.of_map.classes
    return {
        k: ObjectScores(
            iou=math.fsum(found.iou[label[found.matched] == k]),
            matched=_number(label[found.matched] == k),
            missed=_number(label[found.missed] == k),
            false_alarms=_number(map_[found.false_alarms] == k),
            left_out_label=_number(label[found.left_label] == k),
            left_out_map=_number(map_[found.left_map] == k),
        )
        for k in rules.classes
    }


def _blocks(found: Matches, rules: ObjectCounter) -> BlockCounts | None:
    """The same, less what is left out, in the blocks of the regions' first pixels."""
    if rules.blocks is None:
        return None
    units = np.rint(found.iou / _UNIT).astype(np.int64)
    rows = (
        (found.of_label, found.matched, units),
        (found.of_label, found.matched, np.ones_like(found.matched)),
        (found.of_label, found.missed, np.ones_like(found.missed)),
        (found.of_map, found.false_alarms, np.ones_like(found.false_alarms)),
    )
    count = len(rules.classes)
    columns = np.zeros(IGNORE_INDEX, dtype=np.int64)
    columns[list(rules.classes)] = np.arange(count)
    return rules.blocks.scattered(
        rules.shape,
        np.concatenate([regions.places(which) for regions, which, _ in rows], axis=1),
        np.concatenate([columns[of.classes[which]] + i * count for i, (of, which, _) in enumerate(rows)]),
        np.concatenate([counts for _, _, counts in rows]),
    )


def _added(one: Mapping[int, ObjectScores], other: Mapping[int, ObjectScores]) -> dict[int, ObjectScores]:
    return {k: one.get(k, ObjectScores()) + other.get(k, ObjectScores()) for k in {**one, **other}}


def _together(one: BlockCounts | None, other: BlockCounts | None) -> BlockCounts | None:
    return one + other if one is not None and other is not None else one or other


def _number(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _share(above: float, below: int) -> float:
    return above / below if below else math.nan
