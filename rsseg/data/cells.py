"""Where a raster is labelled: the cells of a grid that hold labels, and how many pixels of each class are in each.

Labels are read once, when a data set is opened. What is kept of them are seven bytes for each class of each cell, so
a raster of 100,000 x 100,000 px needs megabytes, and a pixel of any class is found by reading one cell.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.errors import LabelError
from rsseg.raster import LabelSource
from rsseg.tiling import Window, plan_blocks

CELL = 128
"""Side of the cells in which labelled pixels are counted, in pixels."""

_SCAN_BLOCK = 8 * CELL


class Cells:
    """The cells of a raster that hold labels; iterating gives their windows.

    Cells are squares of `CELL` pixels, smaller at the right and lower edge, numbered row by row from 0.

    Args:
        width: raster columns, in pixels.
        height: raster rows, in pixels.
        classes: how many classes there are.
        numbers: (rows,) the number of a cell, in any order, once for each of its classes.
        class_ids: (rows,) that class.
        pixels: (rows,) how many pixels of it the cell holds, at least 1.

    Attributes:
        numbers: (cells,) uint32, ascending.
        labelled: (cells,) uint16, how many labelled pixels each holds.
        class_pixels: (classes,) int64, the pixels of each class in all cells.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        classes: int,
        numbers: array[int],
        class_ids: bytearray,
        pixels: array[int],
    ) -> None:
        self._whole = Window.whole(width, height)
        self._columns = -(-width // CELL)
        order = np.argsort(np.asarray(numbers), kind="stable")
        self._row_numbers = np.asarray(numbers, dtype=np.uint32)[order]
        self._row_classes = np.frombuffer(class_ids, dtype=np.uint8)[order]
        self._row_pixels = np.asarray(pixels, dtype=np.uint16)[order]
        self.numbers, starts = np.unique(self._row_numbers, return_index=True)
        self.labelled: NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        if len(starts):
            self.labelled = np.add.reduceat(self._row_pixels, starts, dtype=np.uint16)
        self.class_pixels = np.zeros(classes, dtype=np.int64)
        np.add.at(self.class_pixels, self._row_classes, self._row_pixels)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Window]:
        return map(self.window, self.numbers.tolist())

    def window(self, number: int) -> Window:
        """The pixels of a cell."""
        row, col = divmod(number, self._columns)
        return Window(col * CELL, row * CELL, CELL, CELL).intersection(self._whole)

    def numbers_at(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the cells in which pixels lie."""
        return rows // CELL * self._columns + cols // CELL

    def of_class(self, class_id: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """The numbers of the cells that hold a class, ascending, and how many of its pixels each holds."""
        chosen = self._row_classes == class_id
        return self._row_numbers[chosen], self._row_pixels[chosen]

    def meeting(self, window: Window) -> Iterator[tuple[Window, int]]:
        """The cells that share pixels with a window, each with how many labelled pixels it holds."""
        inside = window.intersection(self._whole)
        if not inside.pixels:
            return
        first, last = inside.cols.start // CELL, (inside.cols.stop - 1) // CELL
        for row in range(inside.rows.start // CELL, (inside.rows.stop - 1) // CELL + 1):
            ends = np.array([row * self._columns + first, row * self._columns + last + 1], dtype=np.uint32)
            start, stop = np.searchsorted(self.numbers, ends)
            for place in range(start, stop):
                yield self.window(int(self.numbers[place])), int(self.labelled[place])


def find_cells(labels: LabelSource, *, path: Path, classes: ClassTable) -> Cells:
    """Read all labels once and count them, cell by cell.

    Args:
        labels: open labels.
        path: the file, for messages.
        classes: what ids there may be.

    Raises:
        RasterError: a block cannot be read.
        LabelError: labels outside the classes.
    """
    grid = labels.grid
    columns = -(-grid.width // CELL)
    numbers, class_ids, pixels = array("I"), bytearray(), array("H")
    for block in plan_blocks(grid.width, grid.height, block=_SCAN_BLOCK):
        ids = labels.read(block)
        if (ids == IGNORE_INDEX).all():
            continue
        for cell in plan_blocks(block.width, block.height, block=CELL):
            found = np.bincount(ids[cell.slices()].ravel(), minlength=IGNORE_INDEX + 1)[:IGNORE_INDEX]
            present = np.flatnonzero(found)
            if not present.size:
                continue
            if present[-1] >= len(classes):
                raise _outside(int(present[-1]), ids, block, path=path, classes=classes)
            row, col = (block.row_off + cell.row_off) // CELL, (block.col_off + cell.col_off) // CELL
            numbers.extend([row * columns + col] * len(present))
            class_ids.extend(present.tolist())
            pixels.extend(found[present].tolist())
    return Cells(
        grid.width, grid.height, classes=len(classes), numbers=numbers, class_ids=class_ids, pixels=pixels
    )


def _outside(
    label: int, ids: NDArray[np.uint8], block: Window, *, path: Path, classes: ClassTable
) -> LabelError:
    """The error for a label that is no class."""
    row, col = (int(v) for v in np.argwhere(ids == label)[0])
    return LabelError(
        f"{path}: holds label {label}; the classes are 0 to {len(classes) - 1}, and {IGNORE_INDEX} is left out"
        f" (first at column {block.col_off + col}, row {block.row_off + row})",
        hint="add the class to classes.json, or write 255 where pixels shall be left out",
    )
