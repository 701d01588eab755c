"""Counts of square blocks of ground, which add up over windows and images: what the bootstrap draws from.

Whatever is counted is an array of whole numbers of some shape, such as a confusion matrix (K, K); a block keeps the
cells of it that are not 0. All blocks in which a pixel is compared are there, those with nothing in any cell, too:
ground without an object is drawn like any other, so every measure draws the same blocks.

**Memory is bounded**, as follows:

* A cell takes 10 bytes, and a block has no more of them than there are, or than pixels count in it: each once in a
  matrix, up to seven times at boundaries. So a window takes at most 10 bytes for each of these (42 MB for a matrix and
  4 Mpx, where map and labels are noise; a few MB are usual), whatever the side and the shape. Two windows to a thread
  may wait to be added.
* Above `most_blocks(cells)` blocks the sides of all are doubled, until there are no more of them or each image is one.
  Their arrays then have at most 2^25 cells, or one array to an image. They are never written out: where all are
  needed at once, `BlockCounts.rows` gives what is not 0 of them, 12 bytes to a cell.

Which side that ends in depends on which blocks are compared alone, not on the windows, their order, or the threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Counts = NDArray[np.int64]

_MOST_BLOCKS = 4096
_MOST_BYTES = 2**28


def most_blocks(cells: int) -> int:
    """How many blocks are kept: 4096, or fewer where arrays of so many cells would take more than 256 MiB."""
    return max(min(_MOST_BLOCKS, _MOST_BYTES // (8 * cells)), 1)


class Place(NamedTuple):
    """Where a block lies: the number of its class map, and its row and column in the map's grid of blocks."""

    image: int
    row: int
    col: int


class SparseCounts(NamedTuple):
    """The cells of an array of counts that are not 0.

    `cells` (n,) are their numbers in the flattened array, rising; `counts` (n,) what is counted in each.
    """

    cells: NDArray[np.uint16]
    counts: Counts

    @classmethod
    def of(cls, counts: Counts) -> SparseCounts:
        """Keep what is not 0 of an array of at most 65536 cells."""
        cells = np.flatnonzero(counts)
        return cls(cells.astype(np.uint16), counts.ravel()[cells])

    @classmethod
    def none(cls) -> SparseCounts:
        """Nothing in any cell."""
        return cls(np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """Counts (`shape`) of blocks that are compared; those of windows and images add up with `+`, in any order.

    The sides of all blocks were doubled `doublings` times.
    """

    shape: tuple[int, ...]
    doublings: int = 0
    blocks: Mapping[Place, SparseCounts] = field(default_factory=dict)

    @classmethod
    def of(cls, shape: tuple[int, ...], parts: Iterable[tuple[Place, SparseCounts]]) -> BlockCounts:
        """Add up parts of blocks whose sides were never doubled."""
        return cls(shape, blocks=_summed(parts)).bounded()

    def __add__(self, other: BlockCounts) -> BlockCounts:
        doublings = max(self.doublings, other.doublings)
        parts = [counts.doubled(doublings).blocks.items() for counts in (self, other)]
        return BlockCounts(
            self.shape, doublings, _summed(part for items in parts for part in items)
        ).bounded()

    def bounded(self) -> BlockCounts:
        """The same with sides doubled until there are few enough blocks."""
        counts = self
        while len(counts.blocks) > max(most_blocks(math.prod(self.shape)), counts._images()):
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
            (Place(image, row >> shift, col >> shift), counts)
            for (image, row, col), counts in self.blocks.items()
        )
        return BlockCounts(self.shape, doublings, _summed(wider))

    def rows(self, places: Sequence[Place]) -> csr_array:
        """The flattened arrays of some places, float64 (N, cells); nothing in a row where nothing was counted."""
        from scipy.sparse import csr_array  # 0.3 s that only those pay who ask for it

        parts = [self.blocks.get(place, SparseCounts.none()) for place in places]
        starts = np.cumsum([0, *(part.cells.size for part in parts)])
        cells = np.concatenate([np.zeros(0, dtype=np.int32), *(part.cells for part in parts)])
        counts = np.concatenate([np.zeros(0), *(part.counts for part in parts)])
        return csr_array((counts, cells, starts), shape=(len(parts), math.prod(self.shape)))

    def arrays(self, places: Sequence[Place] | None = None) -> Counts:
        """Arrays (N, *shape) in a fixed order, or those of some places, zeros where nothing was counted."""
        places = sorted(self.blocks) if places is None else places
        found = np.zeros((len(places), math.prod(self.shape)), dtype=np.int64)
        for row, place in zip(found, places, strict=True):
            if place in self.blocks:
                row[self.blocks[place].cells] = self.blocks[place].counts
        return found.reshape(-1, *self.shape)

    def total(self) -> Counts:
        """The sum (`shape`) over all blocks: what was counted in all."""
        found = np.zeros(math.prod(self.shape), dtype=np.int64)
        for counts in self.blocks.values():
            found[counts.cells] += counts.counts
        return found.reshape(self.shape)

    def _images(self) -> int:
        return len({place.image for place in self.blocks})


def cut_into_blocks(keys: Counts, counts: Counts, cells: int) -> Iterator[tuple[int, SparseCounts]]:
    """Blocks by number, with what is counted in each.

    Args:
        keys: number of the block * `cells` + cell (n,), rising, each once.
        counts: what is counted in each (n,), not 0.
        cells: how many there are in an array.
    """
    blocks = keys // cells
    of_blocks = (keys - blocks * cells).astype(np.uint16)
    edges = np.flatnonzero(np.diff(blocks, prepend=-1, append=-1))
    for start, stop in pairwise(edges):
        # Copies, or each of them would keep all of them.
        yield int(blocks[start]), SparseCounts(of_blocks[start:stop].copy(), counts[start:stop].copy())


def _summed(parts: Iterable[tuple[Place, SparseCounts]]) -> dict[Place, SparseCounts]:
    """The sums of all parts that have a place in common."""
    together: dict[Place, list[SparseCounts]] = {}
    for place, counts in parts:
        together.setdefault(place, []).append(counts)
    return {place: counts[0] if len(counts) == 1 else _sum(counts) for place, counts in together.items()}


def _sum(parts: list[SparseCounts]) -> SparseCounts:
    filled = [part for part in parts if part.cells.size]
    if len(filled) < 2:
        return (filled or parts)[0]
    cells = np.concatenate([part.cells for part in filled])
    counts = np.concatenate([part.counts for part in filled])
    order = np.argsort(cells, kind="stable")  # a radix sort of so short numbers
    cells, counts = cells[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    return SparseCounts(cells[starts], np.add.reduceat(counts, starts))
