"""Confusion matrices of square blocks of ground, counted window by window: what the bootstrap draws from.

Block k of a class map begins at k times its side, counted from the raster's corner, so the windows do not matter. Nor
do the label files: chips that lie in one block of a map are counted in one block.

**Memory is bounded**, as follows:

* Matrices are kept sparse, 10 bytes to a cell that occurs, and a block has no more of these than pixels. So a window
  takes at most 10 bytes a pixel (42 MB for one of 4 Mpx, where map and labels are noise; a few MB are usual), whatever
  the side and the number of classes K. Two windows to a thread may wait to be added.
* Above `most_blocks(K)` blocks with labels the sides of all are doubled, until there are no more of them or each image
  is one. Their matrices then have at most 2^25 cells, or K^2 to an image: 256 MiB where `BlockCounts.matrices` gives
  them in full, no more than 10 / 8 of that before.

Which side that ends in depends on which blocks have labels alone, not on the windows, their order, or the threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.confusion import count_pixels
from rsseg.evaluation.counters import Seen
from rsseg.tiling import Window

Matrix = NDArray[np.int64]
Ids = NDArray[np.uint8]

_MOST_BLOCKS = 4096
_MOST_BYTES = 2**28
_AT_A_TIME = 2**19
"""Pixels that are counted in one go, which takes some 40 bytes for each."""


def most_blocks(classes: int) -> int:
    """How many blocks are kept: 4096, or fewer where matrices of 8 K^2 bytes would take more than 256 MiB."""
    return max(min(_MOST_BLOCKS, _MOST_BYTES // (8 * classes**2)), 1)


class Place(NamedTuple):
    """Where a block lies: the number of its class map, and its row and column in the map's grid of blocks."""

    image: int
    row: int
    col: int


class SparseMatrix(NamedTuple):
    """The cells of a confusion matrix (K, K) that are not 0.

    `cells` (n,) are their numbers, label * K + prediction, rising; `pixels` (n,) what is counted in each.
    """

    cells: NDArray[np.uint16]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, matrix: Matrix) -> SparseMatrix:
        """Keep what is not 0 of a matrix (K, K), K at most 255."""
        cells = np.flatnonzero(matrix)
        return cls(cells.astype(np.uint16), matrix.ravel()[cells])


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """Confusion matrices of blocks with labels; counts of windows and images add up with `+`, in any order.

    The sides of all blocks were doubled `doublings` times.
    """

    classes: int
    doublings: int = 0
    blocks: Mapping[Place, SparseMatrix] = field(default_factory=dict)

    def __add__(self, other: BlockCounts) -> BlockCounts:
        doublings = max(self.doublings, other.doublings)
        parts = [counts.doubled(doublings).blocks.items() for counts in (self, other)]
        return BlockCounts(
            self.classes, doublings, _summed(part for items in parts for part in items)
        ).bounded()

    def bounded(self) -> BlockCounts:
        """The same with sides doubled until there are few enough blocks."""
        counts = self
        while len(counts.blocks) > max(most_blocks(self.classes), counts._images()):
            counts = counts.doubled(counts.doublings + 1)
        return counts

    def widened(self, least: int) -> BlockCounts:
        """The same with sides doubled as often as leaves at least `least` blocks, and no more than is of use."""
        counts = self
        while len(counts.blocks) > counts._images():
            wider = counts.doubled(counts.doublings + 1)
            if len(wider.blocks) < least:
                break
            counts = wider
        return counts

    def doubled(self, doublings: int) -> BlockCounts:
        """The same with sides doubled so many times in all, at least as often as they are."""
        shift = doublings - self.doublings
        if not shift:
            return self
        wider = (
            (Place(image, row >> shift, col >> shift), matrix)
            for (image, row, col), matrix in self.blocks.items()
        )
        return BlockCounts(self.classes, doublings, _summed(wider))

    def matrices(self, places: Sequence[Place] | None = None) -> Matrix:
        """Matrices (N, K, K) in a fixed order, or those of some places, zeros where nothing was counted."""
        places = sorted(self.blocks) if places is None else places
        found = np.zeros((len(places), self.classes**2), dtype=np.int64)
        for row, place in zip(found, places, strict=True):
            if place in self.blocks:
                row[self.blocks[place].cells] = self.blocks[place].pixels
        return found.reshape(-1, self.classes, self.classes)

    def _images(self) -> int:
        return len({place.image for place in self.blocks})


@dataclass(frozen=True, kw_only=True)
class BlockCounter:
    """Counts which class was predicted for which label, block by block.

    Args:
        classes: how many there are, K.
        side: of a block, in pixels of this raster: so many metres are another number in each.
        image: the number of the class map. Pairs of one map have the same, as they may share a block.
        margin: none is needed.
    """

    classes: int
    side: int
    image: int = 0
    margin: int = 0

    def empty(self) -> BlockCounts:
        """See `Counter`."""
        return BlockCounts(self.classes)

    def count(self, seen: Seen) -> BlockCounts:
        """See `Counter`."""
        parts = (part for strip in _strips(seen, self.side) for part in self._count_strip(*strip))
        return BlockCounts(self.classes, blocks=_summed(parts)).bounded()

    def _count_strip(
        self, strip: Window, label: Ids, prediction: Ids
    ) -> Iterator[tuple[Place, SparseMatrix]]:
        """The blocks that lie side by side in a strip, all counted in one go."""
        k, first = self.classes, strip.col_off // self.side
        used = (label != IGNORE_INDEX) & (prediction != NODATA_CLASS)
        labels, predictions = label[used], prediction[used]
        if max(labels.max(initial=0), predictions.max(initial=0)) >= k:
            count_pixels(label, prediction, k)  # says which
        of_columns = np.asarray(strip.cols) // self.side - first
        keys = np.broadcast_to(of_columns, label.shape)[used]
        keys *= k
        keys += labels
        keys *= k
        keys += predictions
        found, pixels = _occurring(keys, most=(int(of_columns[-1]) + 1) * k * k)
        blocks = found // (k * k)
        cells = (found - blocks * (k * k)).astype(np.uint16)
        edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=-1))
        for start, stop in pairwise(edges):
            place = Place(self.image, strip.row_off // self.side, first + int(blocks[start]))
            yield place, SparseMatrix(cells[start:stop].copy(), pixels[start:stop].copy())


def _strips(seen: Seen, side: int) -> Iterator[tuple[Window, Ids, Ids]]:
    """Parts of the rows of blocks of `keep`, with labels and prediction: few pixels at a time, in whole rows."""
    keep, (label, prediction) = seen.keep, seen.kept()
    height = max(1, _AT_A_TIME // keep.width)
    top = keep.rows.start
    while top < keep.rows.stop:
        stop = min(top // side * side + side, top + height, keep.rows.stop)
        strip = Window(keep.col_off, top, keep.width, stop - top)
        part = strip.slices(keep)
        yield strip, label[part], prediction[part]
        top = stop


def _occurring(keys: NDArray[np.int64], *, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the numbers below `most` occur, rising, and how often each does; takes no more memory than `keys`."""
    if most > keys.size:
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys, minlength=most)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _summed(parts: Iterable[tuple[Place, SparseMatrix]]) -> dict[Place, SparseMatrix]:
    """The sums of all parts that have a place in common."""
    together: dict[Place, list[SparseMatrix]] = {}
    for place, matrix in parts:
        together.setdefault(place, []).append(matrix)
    return {place: _sum(matrices) for place, matrices in together.items()}


def _sum(matrices: list[SparseMatrix]) -> SparseMatrix:
    if len(matrices) == 1:
        return matrices[0]
    cells = np.concatenate([matrix.cells for matrix in matrices])
    pixels = np.concatenate([matrix.pixels for matrix in matrices])
    order = np.argsort(cells, kind="stable")  # a radix sort of so short numbers
    cells, pixels = cells[order], pixels[order]
    starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    return SparseMatrix(cells[starts], np.add.reduceat(pixels, starts))
