"""Which regions of the labels and of the map are the same object, matched one to one.

A region g of the labels and p of the map match if they have the same class and

    IoU = |g and p| / (|g| + |p| - |g and p| - |g without prediction| - |p without label|)  >  0.5,

which at most one pair of a region can reach. Pixels without label (255) or prediction (255) cannot speak against a
region, so they are in no union. For the same reason an unmatched region is left out, neither missed nor a false alarm,
if more than half of it lies there. So is an unmatched region smaller than the smallest area asked for, and a small
region of the labels together with its match.

Sources: the rule for matching and for unknown ground is that of panoptic quality (Kirillov et al. 2019,
arXiv:1801.00868), here with unknown ground in either map; small regions are treated as by COCO's area ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.pieces import Regions, find_regions, summed
from rsseg.tiling import Window

Ids = NDArray[np.uint8]
Ints = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pieces:
    """What one window has of the regions of both maps; `shared` (3, m) are pairs of them and the pixels in both."""

    of_label: Regions
    of_map: Regions
    shared: Ints

    @classmethod
    def of(
        cls, label: Ids, prediction: Ids, *, classes: Sequence[int], window: Window, placed: bool
    ) -> Pieces:
        """Those of some classes.

        Args:
            label: class ids of the reference (rows, cols), 255 where nothing counts.
            prediction: class ids of the map, 255 without data, the same shape.
            classes: whose regions are wanted.
            window: where the pixels lie in the raster.
            placed: whether anybody wants to know where regions lie.
        """
        in_label, in_map = find_regions(label, classes), find_regions(prediction, classes)
        return cls(
            of_label=Regions.of(*in_label, window=window, unknown=prediction == NODATA_CLASS, placed=placed),
            of_map=Regions.of(*in_map, window=window, unknown=label == IGNORE_INDEX, placed=placed),
            shared=_shared(in_label[0], in_map[0]),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """What became of the regions of a pair, each by its number (n,).

    `matched` are those of the labels, with the `iou` of each; `left_label` and `left_map` are left out.
    """

    of_label: Regions
    of_map: Regions
    matched: Ints
    iou: NDArray[np.float64]
    missed: Ints
    false_alarms: Ints
    left_label: Ints
    left_map: Ints


def matched(parts: Sequence[Pieces], min_area: int) -> Matches:
    """Match the regions of a pair whose windows are all there; smaller ones than `min_area` pixels are left out."""
    label, label_region = Regions.joined([part.of_label for part in parts])
    found, found_region = Regions.joined([part.of_map for part in parts])
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
    counted = label.areas[g] >= min_area
    left_label, left_map = _excused(label, min_area), _excused(found, min_area)
    left_label[g], left_map[p] = ~counted, ~counted
    unmatched_label, unmatched_map = _others(len(left_label), g), _others(len(left_map), p)
    return Matches(
        of_label=label,
        of_map=found,
        matched=g[counted],
        iou=iou[counted],
        missed=np.flatnonzero(unmatched_label & ~left_label),
        false_alarms=np.flatnonzero(unmatched_map & ~left_map),
        left_label=np.flatnonzero(left_label),
        left_map=np.flatnonzero(left_map),
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


def _excused(regions: Regions, min_area: int) -> NDArray[np.bool_]:
    """Which regions do not count if nothing matches them."""
    return (regions.areas < min_area) | (2 * regions.unknown > regions.areas)


def _others(count: int, numbers: Ints) -> NDArray[np.bool_]:
    others = np.ones(count, dtype=np.bool_)
    others[numbers] = False
    return others
