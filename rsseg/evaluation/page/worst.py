"""Where a map is wrong most: the squares with the most wrong pixels, kept as they are seen.

Squares lie on a grid that begins at the map's corner, so they do not depend on the windows in which a map is compared.
A square that a window cuts waits for its other parts; a complete one stays only while it is among the worst. So memory
does not grow with the raster, but for one row of squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.evaluation.counters import Block, Seen
from rsseg.evaluation.page.overview import Patch, put_together
from rsseg.tiling import Window

Ids = NDArray[np.uint8]


class Tally(NamedTuple):
    """Pixels that are compared, and those of them that are wrong."""

    wrong: int
    compared: int


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square of a map, or as much of it as was seen: its pixels `whole`, those that are compared, those wrong."""

    block: Block
    whole: Window
    tally: Tally
    patches: tuple[Patch, ...]

    @property
    def complete(self) -> bool:
        """Whether all of it was seen."""
        return sum(patch.window.pixels for patch in self.patches) == self.whole.pixels

    def ids(self) -> Ids:
        """Labels and class map: (2, rows, cols)."""
        return put_together(self.patches, self.whole)

    def joined(self, other: Square) -> Square:
        """The same with what another window has of it."""
        tally = Tally(*map(sum, zip(self.tally, other.tally, strict=True)))
        return Square(block=self.block, whole=self.whole, tally=tally, patches=self.patches + other.patches)


@dataclass(frozen=True, eq=False)
class WorstSquares:
    """The squares with the most wrong pixels, the worst first, and those that lack parts; add up with `+`."""

    most: int
    found: tuple[Square, ...] = ()
    open: Mapping[Block, Square] = field(default_factory=dict)

    def __add__(self, other: WorstSquares) -> WorstSquares:
        opened, complete = dict(self.open), [*self.found, *other.found]
        for block, square in other.open.items():
            joined = opened.pop(block).joined(square) if block in opened else square
            if joined.complete:
                complete.append(joined)
            else:
                opened[block] = joined
        return WorstSquares(self.most, _worst(complete, self.most), opened)


@dataclass(frozen=True, kw_only=True)
class WorstCounter:
    """Looks for the worst squares.

    Args:
        most: how many are kept.
        side: of a square, in pixels.
        margin: none is needed.
    """

    most: int
    side: int
    margin: int = 0

    def empty(self) -> WorstSquares:
        """See `Counter`."""
        return WorstSquares(self.most)

    def count(self, seen: Seen) -> WorstSquares:
        """See `Counter`."""
        tallies = {block: tally_of(*ids) for block, *ids in seen.blocks(self.side)}
        cells = {block: self._cell(block) for block in tallies}
        whole = [block for block, cell in cells.items() if seen.keep.contains(cell.intersection(seen.whole))]
        worst = set(sorted(whole, key=lambda block: (-tallies[block].wrong, block))[: self.most])
        squares = {
            block: Square(
                block=block,
                whole=cells[block].intersection(seen.whole),
                tally=tallies[block],
                patches=(Patch.of(cells[block].intersection(seen.keep), *ids),),
            )
            for block, *ids in seen.blocks(self.side)
            if block in worst or block not in whole
        }
        return WorstSquares(
            self.most,
            _worst([squares[block] for block in worst], self.most),
            {block: square for block, square in squares.items() if block not in worst},
        )

    def _cell(self, block: Block) -> Window:
        return Window(block.col * self.side, block.row * self.side, self.side, self.side)


def tally_of(label: Ids, prediction: Ids) -> Tally:
    """Count pixels with a label and a class, and those where the two differ."""
    compared = (label != IGNORE_INDEX) & (prediction != NODATA_CLASS)
    return Tally(
        wrong=int(np.count_nonzero(compared & (label != prediction))),
        compared=int(np.count_nonzero(compared)),
    )


def _worst(squares: list[Square], most: int) -> tuple[Square, ...]:
    """Those with the most wrong pixels; of equal ones the first in the order of pairs, rows and columns."""
    wrong = [square for square in squares if square.tally.wrong]
    return tuple(sorted(wrong, key=lambda square: (-square.tally.wrong, square.block))[:most])
