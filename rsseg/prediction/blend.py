"""Pixels decided by the average of all tiles that see them well, instead of by one tile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rsseg.prediction.contexts import ViewContexts
from rsseg.prediction.decide import DecisionRule, decide
from rsseg.prediction.forward import Forward
from rsseg.prediction.reading import TileReader
from rsseg.prediction.stitch import Stitcher
from rsseg.raster import ClassMapWriter
from rsseg.raster.layers import Layers
from rsseg.tiling import Tile, Window
from rsseg.tiling.blending import BlendPlan, BlendTile, Cell

Averaged = tuple[Window, NDArray[np.float32] | None, NDArray[np.bool_] | None]
"""A window, its probabilities (K, rows, cols), final where a pixel is wanted (rows, cols); None where none is."""


class Blender:
    """Averages the probabilities of overlapping tiles; gives back each pixel once, when its average is final.

    Tiles come in the order of the plan: all, or all whose `keep` is not done. What is not done is summed anew, so a run
    that goes on with another one gives the same averages, bit for bit. Open at a time are the strips between two rows
    of tiles of one band: at most `halo` rows as wide as a band, 4 bytes for each class. (Bands of 8192 px, 6 classes,
    halo 64: 13 MB.)

    Args:
        plan: of the tiles, with their weights.
        done: whether all of a window is there from an earlier run.
    """

    def __init__(self, plan: BlendPlan, *, done: Callable[[Window], bool] = lambda _window: False) -> None:
        self._plan = plan
        self._done = done
        self._open: dict[Window, _Sum] = {}

    def place(
        self, tile: BlendTile, probs: NDArray[np.float32] | None, wanted: NDArray[np.bool_] | None
    ) -> Iterator[Averaged]:
        """Add a tile; gives the windows that this completes, which partition what is not done.

        Args:
            tile: of the plan.
            probs: (K, rows, cols) of its `read`; None if nothing of its `keep` is wanted.
            wanted: (rows, cols) of its `read`, True where a pixel is to be decided; None likewise.
        """
        weights = self._plan.weights(tile)
        for cell in self._plan.cells(tile):
            if self._done(cell.window):
                continue
            total = self._open.setdefault(cell.window, _Sum(cell))
            if probs is not None and wanted is not None:
                inside, (rows, cols) = cell.window.slices(tile.read), cell.window.slices(tile.keep)
                total.add(probs[(..., *inside)], np.outer(weights[0][rows], weights[1][cols]), wanted[inside])
            total.missing -= 1
            if total.missing == 0:
                del self._open[cell.window]
                yield cell.window, total.probs, total.wanted


class _Sum:
    """The weighted probabilities (K, rows, cols) of a cell, and how many tiles are still missing."""

    def __init__(self, cell: Cell) -> None:
        self.probs: NDArray[np.float32] | None = None
        self.wanted: NDArray[np.bool_] | None = None
        self.missing = cell.tiles

    def add(
        self, probs: NDArray[np.float32], weights: NDArray[np.float32], wanted: NDArray[np.bool_]
    ) -> None:
        """Add the probabilities of one tile; which pixels are wanted is the same in all of them."""
        part = probs * weights
        self.probs = part if self.probs is None else self.probs + part
        self.wanted = wanted.copy() if self.wanted is None else self.wanted


@dataclass(frozen=True)
class Weighed:
    """A tile with the probabilities (K, rows, cols) of all that was read and which pixels are wanted (rows, cols).

    None where nothing of its `keep` is wanted.
    """

    tile: Tile
    probs: NDArray[np.float32] | None
    wanted: NDArray[np.bool_] | None


def weigh_tiles(
    forward: Forward, reader: TileReader, tiles: Iterable[Tile], *, contexts: ViewContexts
) -> Generator[Weighed]:
    """Take the probabilities of tile after tile, in order; those without a wanted pixel never reach the network."""
    with closing(reader.batches(tiles)) as batches:
        for batch in batches:
            found: Iterator[NDArray[np.float32]] = iter(())
            if batch.with_data:
                found = iter(forward.probabilities(*batch.arrays(), contexts=contexts, kept=batch.kept))
            for read in batch.reads:
                if read.seen is None:
                    yield Weighed(read.tile, None, None)
                else:
                    yield Weighed(read.tile, next(found), read.seen.wanted)


class BlendPlacing:
    """The last step of a tile, in the writing thread: average it, decide what is final, write complete blocks.

    Args:
        writer: takes the blocks.
        plan: of the tiles.
        rule: how averages are decided.
    """

    def __init__(self, writer: ClassMapWriter, plan: BlendPlan, rule: DecisionRule) -> None:
        self.skipped_tiles = 0
        self.writer = writer
        self._rule = rule
        self._blender = Blender(plan, done=writer.done)
        self._stitcher = Stitcher(writer.grid.width, writer.grid.height, bands=writer.bands, done=writer.done)

    def place(self, weighed: Weighed) -> None:
        """Place one tile."""
        assert isinstance(weighed.tile, BlendTile)
        self.skipped_tiles += weighed.probs is None
        for window, probs, wanted in self._blender.place(weighed.tile, weighed.probs, weighed.wanted):
            layers = None if probs is None or wanted is None else self._decided(probs, wanted)
            for block, pixels in self._stitcher.place(window, layers):
                self.writer.write_block(block, pixels)

    def _decided(self, probs: NDArray[np.float32], wanted: NDArray[np.bool_]) -> Layers:
        """The layers (bands, rows, cols) of averages (K, rows, cols)."""
        scores, chosen = torch.from_numpy(probs)[None], torch.from_numpy(wanted)[None]
        layers = decide(scores, chosen, self._rule, are_probabilities=True)
        return {name: layer[0].numpy() for name, layer in layers.items()}
