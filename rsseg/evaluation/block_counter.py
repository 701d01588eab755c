"""Whatever is counted pixel by pixel, counted block by block.

Block k of a class map begins at k times its side, counted from the raster's corner, so the windows do not matter. Nor
do the label files: chips that lie in one block of a map are counted in one block. What belongs to a pixel belongs to
the block in which it lies, though it may depend on pixels beyond, as it does at boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.block_counts import BlockCounts, Place, SparseCounts, cut_into_blocks, most_blocks
from rsseg.evaluation.confusion import count_pixels
from rsseg.evaluation.counters import Seen
from rsseg.tiling import Window

Ints = NDArray[np.signedinteger[Any]]

_AT_A_TIME = 2**18
"""Pixels that are counted in one go, which takes some 40 bytes for each time that one counts."""


class Strip(NamedTuple):
    """A part of a window that lies in one row of blocks.

    `firsts` (width,) are the numbers of cell 0 in the block of each column, where the cells of all blocks of the strip
    are counted through, block by block.
    """

    window: Window
    firsts: Ints


class PixelCounter(Protocol):
    """Counts pixel by pixel, and says in which cells of an array of counts each pixel counts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array, which has at most 65536 cells."""
        ...

    @property
    def margin(self) -> int:
        """See `Counter`."""
        ...

    def cells(self, seen: Seen, strips: Iterable[Strip]) -> Iterator[Ints]:
        """In which cells pixels of each strip count, (n,) of all blocks: a pixel is there as often as it counts.

        None counts that has no label or no class.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BlockGrid:
    """The blocks of a class map.

    Attributes:
        side: of a block, in pixels of this raster: so many metres are another number in each.
        image: the number of the class map. Pairs of one map have the same, as they may share a block.
    """

    side: int
    image: int = 0

    def strips(self, area: Window) -> Iterator[Window]:
        """Cut an area into parts of few pixels; none is in two rows of blocks, and blocks are cut as little as may be.

        Rows come first: as many blocks side by side as few pixels allow, so that a wide area needs no more than others.
        """
        for rows in _cut(area.rows, every=self.side, most=_AT_A_TIME):
            most = _AT_A_TIME // len(rows)
            for cols in _cut(area.cols, every=max(most // self.side, 1) * self.side, most=most):
                yield Window(cols.start, rows.start, len(cols), len(rows))

    def columns(self, strip: Window) -> Ints:
        """The column of blocks in which each column of a strip lies (width,)."""
        return np.arange(strip.cols.start, strip.cols.stop) // self.side

    def compared(self, seen: Seen) -> Iterator[tuple[Place, SparseCounts]]:
        """The blocks with a pixel that has a label and a class, some of them several times; nothing is counted."""
        for strip in self.strips(seen.keep):
            label, prediction = replace(seen, keep=strip).kept()
            used = ((label != IGNORE_INDEX) & (prediction != NODATA_CLASS)).any(axis=0)
            for col in np.unique(self.columns(strip)[used]).tolist():
                yield Place(self.image, strip.row_off // self.side, col), SparseCounts.none()

    def scattered(self, shape: tuple[int, ...], where: Ints, cells: Ints, counts: Ints) -> BlockCounts:
        """Put counts into the blocks in which pixels lie.

        Args:
            shape: of the array of counts.
            where: rows and columns of the pixels (2, n).
            cells: of the flattened array (n,).
            counts: what is added to each (n,).
        """
        doublings, size = 0, math.prod(shape)
        blocks, which = _distinct(where // self.side)
        while blocks.shape[1] > most_blocks(size):
            blocks, merged = _distinct(blocks >> 1)
            which, doublings = merged[which], doublings + 1
        keys, cell = np.unique(which * size + cells, return_inverse=True)
        sums = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sums, cell, counts)
        rows, cols = blocks.tolist()
        found = {
            Place(self.image, rows[block], cols[block]): of for block, of in cut_into_blocks(keys, sums, size)
        }
        return BlockCounts(shape, doublings, found)


@dataclass(frozen=True, kw_only=True)
class BlockCounter:
    """Counts what another counter counts, block by block.

    Args:
        counter: says where pixels count.
        grid: the blocks.
    """

    counter: PixelCounter
    grid: BlockGrid

    @property
    def margin(self) -> int:
        """That of the other counter."""
        return self.counter.margin

    def empty(self) -> BlockCounts:
        """See `Counter`."""
        return BlockCounts(self.counter.shape)

    def count(self, seen: Seen) -> BlockCounts:
        """See `Counter`."""
        return BlockCounts.of(self.counter.shape, self._parts(seen))

    def _parts(self, seen: Seen) -> Iterator[tuple[Place, SparseCounts]]:
        yield from self.grid.compared(seen)
        size = math.prod(self.counter.shape)
        side, windows = self.grid.side, list(self.grid.strips(seen.keep))
        strips = (Strip(window, self._firsts(window)) for window in windows)
        for window, keys in zip(windows, self.counter.cells(seen, strips), strict=True):
            row, left, right = window.row_off // side, window.cols[0] // side, window.cols[-1] // side
            found, counts = _occurring(keys, most=(right - left + 1) * size)
            for block, of_block in cut_into_blocks(found, counts, size):
                yield Place(self.grid.image, row, left + block), of_block

    def _firsts(self, window: Window) -> Ints:
        columns = self.grid.columns(window)
        firsts: Ints = (columns - columns[0]) * math.prod(self.counter.shape)
        return firsts


@dataclass(frozen=True)
class MatrixCounter:
    """The confusion matrix; see `PixelCounter`.

    Args:
        classes: how many there are, K.
        margin: none is needed.
    """

    classes: int
    margin: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows = reference."""
        return self.classes, self.classes

    def cells(self, seen: Seen, strips: Iterable[Strip]) -> Iterator[Ints]:
        """See `PixelCounter`.

        Raises:
            LabelError: an id is no class.
        """
        for strip in strips:
            label, prediction = replace(seen, keep=strip.window).kept()
            used = (label != IGNORE_INDEX) & (prediction != NODATA_CLASS)
            labels, predictions = label[used], prediction[used]
            if max(labels.max(initial=0), predictions.max(initial=0)) >= self.classes:
                count_pixels(label, prediction, self.classes)  # says which
            cells = np.broadcast_to(strip.firsts, label.shape)[used]
            cells += labels.astype(np.uint16) * np.uint16(self.classes) + predictions
            yield cells


def _cut(span: range, *, every: int, most: int) -> Iterator[range]:
    """Cut a stretch at the multiples of a number, and into parts of at most `most`."""
    start = span.start
    while start < span.stop:
        stop = min(start // every * every + every, start + most, span.stop)
        yield range(start, stop)
        start = stop


def _occurring(keys: Ints, *, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the numbers below `most` occur, rising, and how often each does; takes no more memory than `keys`."""
    if most > keys.size:
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys, minlength=most)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _distinct(places: Ints) -> tuple[Ints, Ints]:
    """The distinct ones of some rows and columns (2, n), rising, and the number of each one's."""
    keys, which = np.unique(places[0] << 32 | places[1], return_inverse=True)
    return np.stack([keys >> 32, keys & 0xFFFFFFFF]), which
