"""Crop and place: the tile that keeps a pixel decides it. `blend.py` is the other way."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

from rsseg.prediction.contexts import ViewContexts
from rsseg.prediction.forward import Forward
from rsseg.prediction.reading import TileReader
from rsseg.prediction.stitch import Stitcher
from rsseg.raster import ClassMapWriter
from rsseg.raster.layers import Layers
from rsseg.tiling import Tile


@dataclass(frozen=True)
class Decided:
    """A tile with the layers (bands, rows, cols) of all that was read; None where nothing to keep is wanted."""

    tile: Tile
    layers: Layers | None

    def kept(self) -> Layers | None:
        """The layers (bands, rows, cols) of what the tile keeps."""
        if self.layers is None:
            return None
        rows, cols = self.tile.keep.slices(self.tile.read)
        return {name: layer[:, rows, cols] for name, layer in self.layers.items()}


def decide_tiles(
    forward: Forward, reader: TileReader, tiles: Iterable[Tile], *, contexts: ViewContexts
) -> Generator[Decided]:
    """Decide tile after tile, in order; those without a wanted pixel never reach the network."""
    with closing(reader.batches(tiles)) as batches:
        for batch in batches:
            layers: Layers = {}
            if batch.with_data:
                layers = forward.decide(
                    *batch.arrays(), wanted=batch.wanted(), contexts=contexts, kept=batch.kept
                )
            place = 0
            for read in batch.reads:
                of_tile = {name: layer[place] for name, layer in layers.items()} if read.has_data else None
                place += read.has_data
                yield Decided(read.tile, of_tile)


class Placing:
    """The last step of a tile, in the writing thread: stitch it, write the blocks that are complete."""

    def __init__(self, writer: ClassMapWriter) -> None:
        self.skipped_tiles = 0
        self.writer = writer
        self._stitcher = Stitcher(writer.grid.width, writer.grid.height, bands=writer.bands, done=writer.done)

    def place(self, decided: Decided) -> None:
        """Place one tile."""
        self.skipped_tiles += decided.layers is None
        for window, block in self._stitcher.place(decided.tile.keep, decided.kept()):
            self.writer.write_block(window, block)
