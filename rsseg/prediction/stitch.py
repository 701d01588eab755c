"""Whole blocks from kept tiles: crop and place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from rsseg.tiling import BLOCK, Window, plan_blocks


class Stitcher:
    """Collects kept parts of tiles and gives back each block of the class map once, when it is complete.

    The kept parts must partition the raster, except where all blocks they touch are done. In the order of
    `plan_tiles`, at most two rows of blocks of one band and those that the next row of tiles begins are open at a time.

    Args:
        width: of the raster, in pixels.
        height: of the raster, in pixels.
        block: side of a block, in pixels.
        done: whether a block is there from an earlier run.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        block: int = BLOCK,
        done: Callable[[Window], bool] = lambda _block: False,
    ) -> None:
        self._whole = Window.whole(width, height)
        self._block = block
        self._done = done
        self._open: dict[Window, _OpenBlock] = {}

    def place(self, keep: Window, classes: NDArray[np.uint8]) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        """Add the decided pixels (rows, cols) of `keep`; gives the blocks that this completes."""
        for window in self._blocks_under(keep):
            block = self._open.setdefault(window, _OpenBlock(window))
            shared = window.intersection(keep)
            block.pixels[shared.slices(window)] = classes[shared.slices(keep)]
            block.missing -= shared.pixels
            if block.missing == 0:
                del self._open[window]
                yield window, block.pixels

    def _blocks_under(self, keep: Window) -> list[Window]:
        """Cells of the block grid that share pixels with `keep`, without those that an earlier run has done."""
        col, row = keep.col_off // self._block * self._block, keep.row_off // self._block * self._block
        near = plan_blocks(keep.cols.stop - col, keep.rows.stop - row, block=self._block)
        cells = (Window(col + w.col_off, row + w.row_off, self._block, self._block) for w in near)
        blocks = (cell.intersection(self._whole) for cell in cells)
        return [block for block in blocks if not self._done(block)]


class _OpenBlock:
    """Pixels of a block, and how many are still missing."""

    def __init__(self, window: Window) -> None:
        self.pixels = np.empty((window.height, window.width), dtype=np.uint8)
        self.missing = window.pixels
