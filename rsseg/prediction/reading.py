"""Tiles with their pixels: read in threads ahead of the network, grouped in batches that all have one shape."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.prediction.feature_store import BatchFeatures, FeatureStore
from rsseg.prediction.forward import memory_errors
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.stages import batches, map_ahead
from rsseg.tiling import Tile


@dataclass(frozen=True)
class Seen:
    """What the network sees of a tile: pixels (C, rows, cols), which of them count, and which are to be decided.

    `valid` and `wanted` are (rows, cols); what is wanted is valid.
    """

    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    wanted: NDArray[np.bool_]


@dataclass(frozen=True)
class TileRead:
    """A tile with what the network sees of it; None where it need not see it, since nothing to keep is wanted."""

    tile: Tile
    seen: Seen | None

    @property
    def has_data(self) -> bool:
        """Whether the network has to see it."""
        return self.seen is not None


@dataclass(frozen=True)
class Batch:
    """At most `size` tiles in order; those without data are not shown to the network.

    The arrays hold the tiles with data and are filled up to N = `size` with the last of them, so that results do not
    depend on how many there are. There must be one. `features` is where those of its tiles are kept, if anywhere.
    """

    reads: list[TileRead]
    size: int
    features: FeatureStore | None = None

    @property
    def with_data(self) -> list[TileRead]:
        """The tiles that the network has to see."""
        return [read for read in self.reads if read.has_data]

    @property
    def kept(self) -> BatchFeatures | None:
        """The features of what the network sees, from an earlier pass or for a later one."""
        if self.features is None:
            return None
        return self.features.of([read.tile.read for read in self.with_data], size=self.size)

    def arrays(self) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels (N, C, rows, cols) and which of them are valid (N, rows, cols).

        Raises:
            ResourceError: the memory does not hold them.
        """
        seen = self._seen()
        return self._filled([one.pixels for one in seen]), self._filled([one.valid for one in seen])

    def wanted(self) -> NDArray[np.bool_]:
        """Which pixels are to be decided (N, rows, cols).

        Raises:
            ResourceError: the memory does not hold them.
        """
        return self._filled([one.wanted for one in self._seen()])

    def counted(self) -> NDArray[np.bool_]:
        """Which pixels belong to a context (N, rows, cols): valid and kept, and none of what only fills up."""
        seen = self._seen()
        counted = np.zeros((self.size, *seen[0].valid.shape), dtype=np.bool_)
        for counts, read, one in zip(counted, self.with_data, seen, strict=False):
            kept = read.tile.keep.slices(read.tile.read)
            counts[kept] = one.valid[kept]
        return counted

    def _seen(self) -> list[Seen]:
        return [read.seen for read in self.reads if read.seen is not None]

    def _filled(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The arrays of all tiles with data as one; a single one is not copied."""
        if self.size == 1:
            return arrays[0][np.newaxis]
        with memory_errors("this batch"):
            return np.stack([*arrays, *[arrays[-1]] * (self.size - len(arrays))])


class TileReader:
    """Reads the tiles of one raster.

    Args:
        imagery: the raster; it stays open as long as batches are taken.
        batch_size: tiles in a batch.
        threads: how many read.
        ahead: tiles that may be read before they are needed; None: two batches and one to each thread.
        features: keeps those of the tiles, where the raster is read more than once.
    """

    def __init__(
        self,
        imagery: Imagery,
        *,
        batch_size: int,
        threads: int,
        ahead: int | None = None,
        features: FeatureStore | None = None,
    ) -> None:
        self._imagery = imagery
        self._batch_size = batch_size
        self._threads = threads
        self._ahead = ahead or 2 * batch_size + threads
        self._features = features

    def batches(self, tiles: Iterable[Tile], *, all_wanted: bool = False) -> Generator[Batch]:
        """Read tiles in order, a few ahead of what is taken; close the generator, or let it run out.

        A tile of which nothing that is kept lies in the area of interest is not read at all.

        Args:
            tiles: what to read.
            all_wanted: whether to want all that is valid, in the area of interest or not: a context needs it.

        Raises:
            RasterError: a block cannot be read.
        """
        read = partial(self._read, all_wanted=all_wanted)
        with closing(map_ahead(read, tiles, threads=self._threads, depth=self._ahead)) as reads:
            for group in batches(reads, size=self._batch_size):
                yield Batch(group, self._batch_size, self._features)

    def _read(self, tile: Tile, *, all_wanted: bool) -> TileRead:
        kept = tile.keep.slices(tile.read)
        area = None if all_wanted else self._imagery.wanted(tile.read)
        if area is not None and not area[kept].any():
            return TileRead(tile, None)
        read = self._imagery.read(tile.read)
        wanted = read.valid if area is None else read.valid & area
        return TileRead(tile, Seen(read.data, read.valid, wanted) if wanted[kept].any() else None)
