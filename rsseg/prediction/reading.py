"""Tiles with their pixels: read in threads ahead of the network, grouped in batches that all have one shape."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.prediction.forward import memory_errors
from rsseg.prediction.stages import batches, map_ahead
from rsseg.preprocess import Stretch
from rsseg.raster import RasterSource
from rsseg.tiling import Tile


@dataclass(frozen=True)
class TileRead:
    """A tile with its pixels (C, rows, cols), which of them count (rows, cols), and whether any of those is kept."""

    tile: Tile
    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    has_data: bool


@dataclass(frozen=True)
class Batch:
    """At most `size` tiles in order; those without a valid pixel to keep are not shown to the network.

    The arrays hold the tiles with data and are filled up to N = `size` with the last of them, so that results do not
    depend on how many there are. There must be one.
    """

    reads: list[TileRead]
    size: int

    @property
    def with_data(self) -> list[TileRead]:
        """The tiles that the network has to see."""
        return [read for read in self.reads if read.has_data]

    def arrays(self) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (N, C, rows, cols) and which of them are valid (N, rows, cols).

        Raises:
            ResourceError: the memory does not hold them.
        """
        reads = self.with_data
        filled = reads + [reads[-1]] * (self.size - len(reads))
        with memory_errors("this batch"):
            return np.stack([r.pixels for r in filled]), np.stack([r.valid for r in filled])

    def counted(self) -> NDArray[np.bool_]:
        """Which pixels belong to a context (N, rows, cols): valid and kept, and none of what only fills up."""
        reads = self.with_data
        counted = np.zeros((self.size, *reads[0].valid.shape), dtype=np.bool_)
        for one, read in zip(counted, reads, strict=False):
            inside = read.tile.keep.slices(read.tile.read)
            one[inside] = read.valid[inside]
        return counted


class TileReader:
    """Reads the tiles of one raster.

    Args:
        source: the raster; it stays open as long as batches are taken.
        stretch: maps its values to 8 bits, where a user asks for it.
        batch_size: tiles in a batch.
        threads: how many read.
    """

    def __init__(
        self, source: RasterSource, *, stretch: Stretch | None, batch_size: int, threads: int
    ) -> None:
        self._source = source
        self._stretch = stretch
        self._batch_size = batch_size
        self._threads = threads

    def batches(self, tiles: Iterable[Tile]) -> Generator[Batch]:
        """Read tiles in order, a few ahead of what is taken; close the generator, or let it run out.

        Raises:
            RasterError: a block cannot be read.
        """
        depth = 2 * self._batch_size + self._threads
        with closing(map_ahead(self._read, tiles, threads=self._threads, depth=depth)) as reads:
            for group in batches(reads, size=self._batch_size):
                yield Batch(group, self._batch_size)

    def _read(self, tile: Tile) -> TileRead:
        read = self._source.read(tile.read)
        pixels = self._stretch.apply(read.data) if self._stretch else read.data
        return TileRead(tile, pixels, read.valid, bool(read.valid[tile.keep.slices(tile.read)].any()))
