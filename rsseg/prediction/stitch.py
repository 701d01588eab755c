"""Whole blocks from kept tiles: crop and place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from rsseg.classes import NODATA_CLASS
from rsseg.raster.layers import CLASSES, Layers
from rsseg.tiling import BLOCK, Window, plan_blocks


class Stitcher:
    """Collects kept parts of tiles and gives back each block of the layers once, when it is complete.

    The kept parts must partition the raster, except where all blocks they touch are done. In the order of
    `plan_tiles`, at most two rows of blocks of one band of columns and those that the next row of tiles begins are
    open at a time, whatever the raster's size. An open block takes 256 KB for each band, and nothing while it holds no
    data: together 4 MB a band for tiles of 512 px, 7 MB for 2048, 21 MB for 4096. The classes are one band, the
    confidence another, the probabilities one for each class.

    Args:
        width: of the raster, in pixels.
        height: of the raster, in pixels.
        bands: how many bands each layer has.
        block: side of a block, in pixels.
        done: whether a block is there from an earlier run.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        bands: Mapping[str, int] = {CLASSES: 1},
        block: int = BLOCK,
        done: Callable[[Window], bool] = lambda _block: False,
    ) -> None:
        self._whole = Window.whole(width, height)
        self._bands = bands
        self._block = block
        self._done = done
        self._open: dict[Window, _OpenBlock] = {}

    def place(self, keep: Window, layers: Layers | None) -> Iterator[tuple[Window, Layers | None]]:
        """Add the decided pixels (bands, rows, cols) of `keep`; gives the blocks that this completes.

        None, of tiles and of blocks, stands for no data in any layer.
        """
        for window in self._blocks_under(keep):
            block = self._open.setdefault(window, _OpenBlock(window, self._bands))
            block.add(keep, layers)
            if block.missing == 0:
                del self._open[window]
                yield window, block.layers

    def _blocks_under(self, keep: Window) -> list[Window]:
        """Cells of the block grid that share pixels with `keep`, without those that an earlier run has done."""
        col, row = keep.col_off // self._block * self._block, keep.row_off // self._block * self._block
        near = plan_blocks(keep.cols.stop - col, keep.rows.stop - row, block=self._block)
        cells = (Window(col + w.col_off, row + w.row_off, self._block, self._block) for w in near)
        blocks = (cell.intersection(self._whole) for cell in cells)
        return [block for block in blocks if not self._done(block)]


class _OpenBlock:
    """Pixels of a block, None as long as there are none, and how many are still missing."""

    def __init__(self, window: Window, bands: Mapping[str, int]) -> None:
        self.layers: Layers | None = None
        self.missing = window.pixels
        self._window = window
        self._bands = bands

    def add(self, keep: Window, layers: Layers | None) -> None:
        """Take over what of `keep` lies in the block."""
        shared = self._window.intersection(keep)
        self.missing -= shared.pixels
        if layers is None:
            return
        if self.layers is None:
            size = self._window.height, self._window.width
            self.layers = {
                name: np.full((count, *size), NODATA_CLASS, dtype=np.uint8)
                for name, count in self._bands.items()
            }
        for name, block in self.layers.items():
            block[:, *shared.slices(self._window)] = layers[name][:, *shared.slices(keep)]
