"""Regions that go over the edges of windows: their pieces are found window by window and joined afterwards.

The windows partition a rectangle in any way and come in any order. What is kept of a window is where its pieces touch
its four edges, as runs of pixels, so that memory grows with the pieces and not with the pixels. Whatever the windows
are, a region has one place: its first known pixel, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.raster.regions import components
from rsseg.tiling import Window

Ids = NDArray[np.uint8]
Ints = NDArray[np.signedinteger[Any]]

_SPAN = np.int64(2**32)
"""More than a raster is wide or high: a line and a place in it make one number."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Runs of pixels along the edges of windows: top, bottom, left and right.

    Each is (4, n): the line (a row of the raster, or a column), the first place in it, the place after the last, and
    the number of the piece.
    """

    edges: tuple[Ints, Ints, Ints, Ints]

    @classmethod
    def none(cls) -> Lines:
        """No run."""
        return cls((_NOTHING, _NOTHING, _NOTHING, _NOTHING))

    @classmethod
    def of(cls, numbers: Ints, window: Window) -> Lines:
        """Those of a window with the number of each pixel's piece (rows, cols), from 1, 0 for none."""
        if not window.pixels:
            return cls.none()
        return cls(
            (
                _runs(numbers[0], line=window.rows[0], start=window.col_off),
                _runs(numbers[-1], line=window.rows[-1], start=window.col_off),
                _runs(numbers[:, 0], line=window.cols[0], start=window.row_off),
                _runs(numbers[:, -1], line=window.cols[-1], start=window.row_off),
            )
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Lines]) -> Lines:
        """Those of several windows."""
        top, bottom, left, right = (
            np.concatenate(edges, axis=1) for edges in zip(*(p.edges for p in parts), strict=True)
        )
        return cls((top, bottom, left, right))

    def renumbered(self, first: int) -> Lines:
        """The same with pieces counted from another number."""
        top, bottom, left, right = (edge + np.array([[0], [0], [0], [first]]) for edge in self.edges)
        return Lines((top, bottom, left, right))


_NOTHING = np.zeros((4, 0), dtype=np.int64)
_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False, kw_only=True)
class Regions:
    """Regions of one map, or pieces of them, by number from 0 (n,).

    Attributes:
        classes: their classes.
        areas: their pixels.
        unknown: those of them that are unknown in the other map.
        firsts: of those that are not, the first in the raster: its row * 2^32 + its column; 2^63 - 1 without any, or
            where nobody wants to know.
        lines: where they touch the edges of their windows.
    """

    classes: Ids
    areas: Ints
    unknown: Ints
    firsts: Ints
    lines: Lines

    @classmethod
    def of(
        cls, numbers: Ints, classes: Ids, *, window: Window, unknown: NDArray[np.bool_], placed: bool
    ) -> Regions:
        """Those of a window; `numbers` (rows, cols) count from 1, 0 is no region."""
        known = np.where(unknown, 0, numbers) if placed else np.zeros((0, 0), dtype=numbers.dtype)
        count = len(classes) + 1
        return cls(
            classes=classes,
            areas=np.bincount(numbers.ravel(), minlength=count)[1:],
            unknown=np.bincount(numbers[unknown], minlength=count)[1:],
            firsts=_first_pixels(known, len(classes), window),
            lines=Lines.of(numbers, window),
        )

    @classmethod
    def joined(cls, parts: Sequence[Regions]) -> tuple[Regions, Ints]:
        """Pieces put together to regions, and the number of the region of each piece."""
        classes = np.concatenate([part.classes for part in parts])
        starts = np.cumsum([0, *(len(part.classes) for part in parts)])
        lines = Lines.concatenated(
            [part.lines.renumbered(start) for part, start in zip(parts, starts, strict=False)]
        )
        region = join_pieces(classes, lines)
        of_regions = np.zeros(region.max(initial=-1) + 1, dtype=np.uint8)
        of_regions[region] = classes
        areas, unknown = (
            summed(region, np.concatenate(values), len(of_regions))
            for values in ([part.areas for part in parts], [part.unknown for part in parts])
        )
        firsts = np.full(len(of_regions), _NOWHERE)
        np.minimum.at(firsts, region, np.concatenate([part.firsts for part in parts]))
        return cls(
            classes=of_regions, areas=areas, unknown=unknown, firsts=firsts, lines=Lines.none()
        ), region

    def places(self, which: Ints) -> Ints:
        """Rows and columns (2, m) of the first pixels of some."""
        return np.stack(np.divmod(self.firsts[which], _SPAN))


def find_regions(ids: Ids, classes: Sequence[int]) -> tuple[Ints, Ids]:
    """The 4-connected regions of some classes in an array (rows, cols).

    Args:
        ids: the classes of the pixels.
        classes: whose regions are wanted.

    Returns:
        The number of each pixel's region, from 1 (rows, cols), 0 for none; and the class of each region (n,).
    """
    from scipy import ndimage  # 0.1 s that only those pay who ask for it

    numbers = np.zeros(ids.shape, dtype=np.int32)
    of_regions = [np.zeros(0, dtype=np.uint8)]
    count = 0
    for class_id in classes:
        found, more = ndimage.label(ids == class_id)
        if more:
            np.add(found, count, out=found, where=found > 0)
            numbers += found
            of_regions.append(np.full(more, class_id, dtype=np.uint8))
            count += more
    return numbers, np.concatenate(of_regions)


def join_pieces(classes: Ids, lines: Lines) -> Ints:
    """Which pieces are one region: a number for each, from 0.

    Args:
        classes: of the pieces (n,).
        lines: where they touch the edges of their windows.
    """
    top, bottom, left, right = lines.edges
    pairs = np.concatenate([_touching(bottom, top), _touching(right, left)], axis=1)
    pairs = pairs[:, np.equal(*classes[pairs])]
    return components(len(classes), pairs)


def summed(which: Ints, values: Ints, count: int) -> Ints:
    """The sum of the values of each of `count` groups, exact below 2^53."""
    return np.bincount(which, weights=values, minlength=count).astype(np.int64)


def _first_pixels(numbers: Ints, count: int, window: Window) -> Ints:
    """The first pixel of each of `count` pieces, as `Regions.firsts` has it; `numbers` (rows, cols) count from 1."""
    begins = numbers > 0
    begins[:, 1:] &= numbers[:, 1:] != numbers[:, :-1]
    rows, cols = np.nonzero(begins)
    firsts = np.full(count, _NOWHERE)
    backwards = slice(None, None, -1)  # the last that is written is the first
    firsts[numbers[rows, cols][backwards] - 1] = ((rows + window.row_off) * _SPAN + cols + window.col_off)[
        backwards
    ]
    return firsts


def _runs(numbers: Ints, *, line: int, start: int) -> Ints:
    """The runs (4, n) of one edge, whose pieces are then counted from 0."""
    begins = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    ends = np.append(begins[1:], len(numbers))
    piece = numbers[begins].astype(np.int64) - 1
    runs = np.stack([np.full(len(begins), line), begins + start, ends + start, piece])
    return runs[:, piece >= 0]


def _touching(before: Ints, after: Ints) -> Ints:
    """Pairs of pieces (2, m) with runs in neighbouring lines that share pixel edges."""
    after = after[:, np.lexsort(after[1::-1])]
    # In a line the runs lie one behind the other, so those that a run meets are side by side in this order.
    line = (before[0] + 1) * _SPAN
    first = np.searchsorted(after[0] * _SPAN + after[2], line + before[1], side="right")
    last = np.searchsorted(after[0] * _SPAN + after[1], line + before[2], side="left")
    met = np.maximum(last - first, 0)
    which = np.repeat(first, met) + np.arange(met.sum()) - np.repeat(np.cumsum(met) - met, met)
    return np.stack([np.repeat(before[3], met), after[3][which]])
