"""The last steps of a tile, behind the network: what it keeps is counted, stitched and written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.prediction.stitch import Stitcher
from rsseg.raster import ClassMapWriter
from rsseg.tiling import Tile


@dataclass(frozen=True)
class Decided:
    """A tile with the classes (rows, cols) of all that was read; None where nothing to keep is valid."""

    tile: Tile
    classes: NDArray[np.uint8] | None

    def kept(self) -> NDArray[np.uint8]:
        """The classes (rows, cols) of what the tile keeps."""
        keep = self.tile.keep
        if self.classes is None:
            return np.full((keep.height, keep.width), NODATA_CLASS, dtype=np.uint8)
        return self.classes[keep.slices(self.tile.read)]


class Placing:
    """The last step of a tile, in the writing thread: stitch it, write the blocks that are complete."""

    def __init__(self, writer: ClassMapWriter) -> None:
        self.skipped_tiles = 0
        self._writer = writer
        self._stitcher = Stitcher(writer.grid.width, writer.grid.height, done=writer.done)

    def place(self, decided: Decided) -> None:
        """Place one tile."""
        kept = decided.kept()
        self.skipped_tiles += decided.classes is None
        for window, block in self._stitcher.place(decided.tile.keep, kept):
            self._writer.write_block(window, block)
