"""Regions of one class, and small ones that become part of their surroundings; arrays only, no files.

A region is what hangs together by shared pixel edges (4-connected) and is of one class. Pixels without data (255)
belong to no region and touch none.

The rule, for a smallest area of N pixels: every region of fewer than N pixels joins its largest neighbour, if that is
larger than itself; all at once. Of equally large ones the lower class id counts as larger, then the one whose first
pixel comes first, row by row. What has joined takes the class of the largest, and regions of one class that now touch
are one. This is repeated until no region of fewer than N pixels has a neighbour. So regions of N pixels and more never
change, and what remains below N has nothing but missing data around it.

A map is cut into blocks only to bound memory: the rule is about the whole, and so is the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.errors import ResourceError
from rsseg.tiling import Window

Ints = NDArray[np.signedinteger[Any]]

REGION_BYTES = 300
"""What a region takes at most while it is merged; 200 to 240 bytes were measured in noise of 2, 6 and 200 classes."""


@dataclass(frozen=True)
class _Regions:
    """Regions, or the pieces of them that one block holds, by number.

    Attributes:
        classes: the class of each (n,).
        sizes: its pixels (n,).
        firsts: its first pixel, row by row (n,).
        contacts: pairs of numbers that touch, none without data among them (2, m).
    """

    classes: NDArray[np.uint8]
    sizes: Ints
    firsts: Ints
    contacts: Ints


class RegionCollector:
    """Collects the regions of a map from its blocks, which come row by row.

    Memory grows with the number of regions and with the width of the map, not with its height: at most `REGION_BYTES`
    for each region, and once more for each block that it reaches into.

    Args:
        width: of the map, in pixels.
        most: bound on the regions; None: none.
    """

    def __init__(self, width: int, *, most: int | None = None) -> None:
        self._width = width
        self._most = most
        self._pieces: list[_Regions] = []
        self._seams: list[Ints] = [_no_pairs()]
        self._count = 0
        self._above = np.full(width, -1, dtype=np.int32)
        self._left = np.empty(0, dtype=np.int32)

    def add(self, window: Window, classes: NDArray[np.uint8]) -> None:
        """Add the next block (rows, cols) of the map.

        Raises:
            ResourceError: there are too many regions.
        """
        runs = _Runs(classes)
        numbers, pieces = runs.piece[runs.numbers] + self._count, runs.pieces()
        rows, cols = np.divmod(pieces.firsts, window.width)
        firsts = (rows + window.row_off) * self._width + cols + window.col_off
        self._pieces.append(_Regions(pieces.classes, pieces.sizes, firsts, pieces.contacts + self._count))
        if window.row_off > 0:
            self._seams.append(_pairs(self._above[window.slices()[1]], numbers[0]))
        if window.col_off > 0:
            self._seams.append(_pairs(self._left, numbers[:, 0]))
        self._above[window.slices()[1]], self._left = numbers[-1], numbers[:, -1]
        self._count += len(pieces.classes)
        if self._most is not None and self._count > self._most:
            raise ResourceError(
                f"the map has more than {self._most:,} regions, too many to merge small ones in the memory allowed",
                hint="the same command without --min-area goes on from here; so does one with a larger --max-memory,"
                " if --tile and --batch-size name what this run had",
            )

    def merged_classes(self, *, min_area: int) -> list[NDArray[np.uint8]]:
        """The class that every piece has after small regions were merged: an array for each block, to be `painted`."""
        ends = np.cumsum([len(pieces.classes) for pieces in self._pieces])[:-1]
        classes = np.concatenate([pieces.classes for pieces in self._pieces])
        seams = np.concatenate(self._seams, axis=1)
        seams = seams[:, (classes[seams] != NODATA_CLASS).all(axis=0)]
        pieces = _Regions(
            classes,
            np.concatenate([pieces.sizes for pieces in self._pieces]),
            np.concatenate([pieces.firsts for pieces in self._pieces]),
            np.concatenate([seams, *(pieces.contacts for pieces in self._pieces)], axis=1),
        )
        self._pieces.clear()
        merged: list[NDArray[np.uint8]] = np.split(_merge_small(pieces, min_area), ends)
        return merged


def painted(classes: NDArray[np.uint8], merged: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A block (rows, cols) with the classes that its pieces have after merging."""
    runs = _Runs(classes)
    block: NDArray[np.uint8] = merged[runs.piece][runs.numbers]
    return block


class _Runs:
    """Pixels of one class side by side in a row of a block, by number, row by row; pieces of regions consist of them.

    Attributes:
        begins: whether a run begins at a pixel (rows, cols).
        numbers: the run of each pixel (rows, cols).
        first_pixels: where each begins (n,).
        classes: the class of each (n,).
        piece: the number of the piece that each belongs to (n,).
        piece_begins: the first run of each piece.
    """

    def __init__(self, classes: NDArray[np.uint8]) -> None:
        self.begins = np.ones(classes.shape, dtype=np.bool_)
        self.begins[:, 1:] = classes[:, 1:] != classes[:, :-1]
        self.numbers = np.cumsum(self.begins.ravel()).reshape(classes.shape) - 1
        self.first_pixels = np.flatnonzero(self.begins)
        self.classes = classes.ravel()[self.first_pixels]
        # Two runs that touch do so first where one of them begins.
        look = self.begins[1:] | self.begins[:-1]
        self._below = np.stack([self.numbers[:-1][look], self.numbers[1:][look]])
        self._alike = np.equal(*self.classes[self._below])
        self.piece = components(len(self.classes), self._below[:, self._alike])
        self.piece_begins = np.empty(self.piece.max(initial=-1) + 1, dtype=np.int64)
        backwards = np.arange(len(self.piece))[::-1]
        self.piece_begins[self.piece[backwards]] = backwards  # the last that is written is the first

    def contacts(self) -> Ints:
        """The pairs of pieces (2, m) that share pixel edges, none without data among them."""
        after = self.numbers[:, 1:][self.begins[:, 1:]]
        pairs = np.concatenate([self._below[:, ~self._alike], np.stack([after - 1, after])], axis=1)
        return _distinct(self.piece[pairs[:, (self.classes[pairs] != NODATA_CLASS).all(axis=0)]])

    def pieces(self) -> _Regions:
        """The pieces; their first pixels counted within the block."""
        lengths = np.diff(self.first_pixels, append=self.begins.size)
        sizes = np.bincount(self.piece, weights=lengths).astype(np.int64)
        first_pixels = self.first_pixels[self.piece_begins]
        return _Regions(self.classes[self.piece_begins], sizes, first_pixels, self.contacts())


def _merge_small(regions: _Regions, min_area: int) -> NDArray[np.uint8]:
    """The class of every region, or piece of one, after the rule of this module was applied to them all."""
    regions, owner = _joined(regions, np.arange(len(regions.classes)))
    while True:
        small = regions.sizes < min_area
        regions = _without_contacts(regions, ~small)
        target = _largest_neighbours(regions, small)
        if (target == np.arange(len(target))).all():
            return regions.classes[owner]
        regions, number = _joined(regions, _followed(target))
        owner = number[owner]


def _largest_neighbours(regions: _Regions, small: NDArray[np.bool_]) -> Ints:
    """The region that each one joins: the largest neighbour of a small one, if larger than itself; else itself."""
    by_rank = np.lexsort((-regions.firsts, -regions.classes.astype(np.int64), regions.sizes))
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank))
    highest = rank.copy()
    for one, other in ((0, 1), (1, 0)):
        np.maximum.at(highest, regions.contacts[one], rank[regions.contacts[other]])
    return np.where(small, by_rank[highest], np.arange(len(by_rank)))


def _joined(regions: _Regions, target: Ints) -> tuple[_Regions, Ints]:
    """Regions that joined their targets, those of one class that touch made one; and the new number of each old one.

    Args:
        regions: the old ones.
        target: the old number of what each becomes part of, whose own target is itself.
    """
    classes = regions.classes[target]
    contacts = target[regions.contacts]
    alike = np.equal(*classes[contacts])
    joins = np.flatnonzero(target != np.arange(len(target)))
    one = np.concatenate([contacts[:, alike], np.stack([joins, target[joins]])], axis=1)
    number = components(len(target), one)
    sizes = np.bincount(number, weights=regions.sizes).astype(np.int64)
    firsts = np.full(len(sizes), np.iinfo(np.int64).max)
    np.minimum.at(firsts, number, regions.firsts)
    of_all = np.empty(len(sizes), dtype=np.uint8)
    of_all[number] = classes
    return _Regions(of_all, sizes, firsts, _distinct(number[contacts[:, ~alike]])), number


def _without_contacts(regions: _Regions, settled: NDArray[np.bool_]) -> _Regions:
    """The regions without contacts between two that are settled, which can no longer matter."""
    matters = ~settled[regions.contacts].all(axis=0)
    return _Regions(regions.classes, regions.sizes, regions.firsts, regions.contacts[:, matters])


def components(count: int, pairs: Ints) -> Ints:
    """Which of `count` nodes are connected by these pairs (2, m): a number for each, in the order of the first ones."""
    from scipy.sparse import coo_array, csgraph  # 0.3 s that only those pay who ask for it

    graph = coo_array((np.ones(pairs.shape[1], dtype=np.bool_), tuple(pairs)), shape=(count, count))
    number: Ints = csgraph.connected_components(graph, directed=False)[1]  # 32 bits, which halves the memory
    return number


def _followed(target: Ints) -> Ints:
    """Where each node ends that follows the targets; a node whose target is itself is an end."""
    while True:
        further = target[target]
        if (further == target).all():
            return target
        target = further


def _pairs(some: Ints, others: Ints) -> Ints:
    """The distinct pairs (2, m) of two rows of numbers that lie side by side."""
    return _distinct(np.stack([some, others]))


def _distinct(pairs: Ints) -> Ints:
    """Every pair (2, m) once, in either direction."""
    if not pairs.size:
        return _no_pairs()
    base = np.int64(pairs.max()) + 1
    keys = np.minimum(*pairs) * base + np.maximum(*pairs)  # 64 bits
    keys.sort()  # np.unique would take several times as long
    keys = keys[np.append(True, keys[1:] != keys[:-1])]
    return np.stack(np.divmod(keys, base)).astype(pairs.dtype)


def _no_pairs() -> Ints:
    return np.empty((2, 0), dtype=np.int32)
