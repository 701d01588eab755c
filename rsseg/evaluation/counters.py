"""What is counted: small classes that see labels and prediction window by window and whose counts add up.

A counter is given every pixel that is compared exactly once, whatever the windows are. If counts of windows added up
are the counts of the whole - the law every counter has to keep - memory does not grow with the raster, any number of
threads may count, and pairs can be summed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.evaluation.confusion import Confusion, count_pixels
from rsseg.raster.grid import Grid
from rsseg.tiling import Window


class Block(NamedTuple):
    """A square of pixels of a class map: the pair, and its row and column in the grid of squares."""

    pair: int
    row: int
    col: int


@dataclass(frozen=True, eq=False)
class Seen:
    """What a counter sees at a time; arrays are not to be changed.

    Attributes:
        keep: the pixels to count, in columns and rows of the class map. Windows of a pair partition `whole`.
        read: `keep` with the margin that was asked for around it, cut off at the edge of `whole`.
        whole: all that is compared of this pair.
        label: class ids (rows, cols) of `read`; 255 is left out.
        prediction: class ids (rows, cols) of `read`; 255 is nodata.
        pair: the number of the pair, from 0.
        confidence: in the prediction (rows, cols) of `read`, 0 to 254 for 0 to 1, 255 without data; None where the
            pair has none.
        other: class ids (rows, cols) of `read` of the second map; None where the pair has none.
    """

    keep: Window
    read: Window
    whole: Window
    label: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    pair: int
    confidence: NDArray[np.uint8] | None = None
    other: NDArray[np.uint8] | None = None

    def kept(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels and prediction (rows, cols) of `keep`."""
        return self._cut(self.keep)

    def kept_confidence(self) -> NDArray[np.uint8]:
        """Confidence (rows, cols) of `keep`, of a pair that has it."""
        assert self.confidence is not None
        return self.confidence[self.keep.slices(self.read)]

    def kept_other(self) -> NDArray[np.uint8]:
        """The second map's classes (rows, cols) of `keep`, of a pair that has one."""
        assert self.other is not None
        return self.other[self.keep.slices(self.read)]

    def blocks(self, side: int) -> Iterator[tuple[Block, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Labels and prediction (rows, cols) of `keep`, cut along a grid of `side` pixels from the map's corner.

        A block may come in parts, in several windows; the blocks are the same whatever the windows are.
        """
        for row in range(self.keep.rows.start // side, -(-self.keep.rows.stop // side)):
            for col in range(self.keep.cols.start // side, -(-self.keep.cols.stop // side)):
                cell = Window(col * side, row * side, side, side)
                yield Block(self.pair, row, col), *self._cut(cell.intersection(self.keep))

    def _cut(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        part = window.slices(self.read)
        return self.label[part], self.prediction[part]


class Counter(Protocol):
    """Counts something in windows. `count` is called from several threads; results are added in a fixed order."""

    @property
    def margin(self) -> int:
        """How many pixels around those it counts it has to see."""
        ...

    def empty(self) -> Any:
        """The counts of no pixel."""
        ...

    def count(self, seen: Seen) -> Any:
        """The counts of `seen.keep`: what `+` adds to those of other windows.

        The confusion is counted first, so other counters meet no id that is no class.

        Raises:
            LabelError: an id is no class.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class PairFacts:
    """What counters may depend on.

    Attributes:
        pair: the number of the pair, from 0.
        image: the number of its class map, from 0: the same for all pairs of that map.
        path: the class map.
        grid: its grid: how large a pixel is on the ground.
        table: the classes compared.
    """

    pair: int
    image: int
    path: Path
    grid: Grid
    table: ClassTable

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.table)


CounterChoice = Callable[[PairFacts], Mapping[str, Counter]]
"""Makes the counters of a pair, by name; the names are the same for all pairs."""


@dataclass(frozen=True)
class ConfusionCounter:
    """The confusion matrix, from which all scores of `scores.py` follow."""

    classes: int
    margin: int = 0

    def empty(self) -> Confusion:
        """See `Counter`."""
        return Confusion.empty(self.classes)

    def count(self, seen: Seen) -> Confusion:
        """See `Counter`."""
        return count_pixels(*seen.kept(), self.classes)
