"""Which tiles, batches and queues a raster is predicted with, so that the run keeps to its bound of memory.

Tile and batch decide the map, so they follow from raster, weights, options and the bound alone, and a run that was
stopped finds the same ones again. Queues and cache, which no pixel depends on, give way to what the process really
holds. What was asked for stays, and is refused where it does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rsseg.errors import ResourceError
from rsseg.prediction.disk import count_blocks
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.memory import GRAPH_BYTES, Holdings, MemoryUse, default_bound, memory_use
from rsseg.prediction.setup import Setup
from rsseg.prediction.sizes import Sizes, larger_sizes, resolve_sizes
from rsseg.raster.resampled import CHUNK_BYTES
from rsseg.raster.swaths import KEPT
from rsseg.tiling import TilePlan, Window, plan_tiles
from rsseg.tiling.plan import BAND_WIDTH
from rsseg.weights import Limits

GPU_BATCH = 8
"""Tiles that a GPU sees together unless told otherwise."""

LEAST_CACHE = 16 * 2**20
"""GDAL's cache is not made smaller than this to save memory."""

USUAL_PROCESS = 600 * 10**6
"""What a process is taken to hold when tile and batch are chosen: MAResU-Net with ResNet-18, loaded, makes 510 MB."""

_HALF_SHARE = 0.65
"""What tensors take in bf16 of what they take in fp32: not all of them are halved."""

_WORTH = 1.03
"""A larger tile is taken where it spares the network more than this share of its pixels."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Tiles at work together: in a batch, read ahead of the network (the batch included), waiting to be written."""

    batch_size: int
    ahead: int
    behind: int
    cache_bytes: int


class Chooser:
    """The choices that a raster leaves, and what each takes.

    Args:
        setup: what predicts it.
        imagery: the raster.
        block_bytes: of a block of each of its files, with all bands that are stored together.
        layer_bands: of all that is written.
    """

    def __init__(self, setup: Setup, imagery: Imagery, *, block_bytes: int, layer_bands: int) -> None:
        self.bound = setup.options.max_memory or default_bound()
        self._setup, self._options, self._card = setup, setup.options, setup.weights.card
        self._imagery, self._source = imagery, imagery.source
        self._block_bytes, self._layer_bands = block_bytes, layer_bands

    def choose(self) -> tuple[Sizes, Pipeline]:
        """The sizes, and the most generous pipeline that keeps to the bound.

        Raises:
            OptionError: the sizes do not fit the network.
            ResourceError: no pipeline fits.
        """
        sizes, batch_size = self._tile_and_batch()
        for pipeline in self._pipelines(batch_size):
            if self.memory(sizes, pipeline).total_bytes <= self.bound:
                return sizes, pipeline
        raise self._refusal(sizes, pipeline)

    def tiles(self, sizes: Sizes) -> TilePlan:
        """The tiles; a band of a raster in strips is as wide as what is read of a strip at a time."""
        source = self._source
        band = source.swath_columns(sizes.tile) if source.is_striped else BAND_WIDTH
        return plan_tiles(
            source.grid.width,
            source.grid.height,
            tile=sizes.tile,
            halo=sizes.halo,
            stride=sizes.stride,
            band_width=band,
        )

    def memory(self, sizes: Sizes, pipeline: Pipeline, *, process_bytes: int | None = None) -> MemoryUse:
        """What a pipeline takes on the host, in this process or in one that holds so much."""
        setup, options, source, tiles = self._setup, self._options, self._source, self.tiles(sizes)
        read = tiles[0].read
        tensors = self._tensor_bytes(pipeline.batch_size * read.pixels)
        return memory_use(
            Holdings(
                process_bytes=setup.held_bytes if process_bytes is None else process_bytes,
                network_bytes=tensors if setup.on_host else 0,
                graph_bytes=GRAPH_BYTES[options.runtime] if setup.weights.limits == Limits() else 0,
                read_shape=(read.height, read.width),
                pixel_bytes=self._imagery.pixel_bytes,
                channels=len(self._card.bands),
                classes=len(self._card.classes),
                layer_bands=self._layer_bands,
                needs_probabilities=bool(options.layers)
                or options.threshold is not None
                or options.tta != "none",
                blends=options.blend == "average",
                batch_size=pipeline.batch_size,
                readers=options.readers,
                ahead=pipeline.ahead,
                behind=pipeline.behind,
                cache_bytes=pipeline.cache_bytes,
                block_bytes=self._block_bytes,
                reader_bytes=self._reader_bytes(read),
                swath_bytes=self._swath_bytes(read.height),
                band_width=tiles.band_width,
                keep=sizes.keep,
                blocks=count_blocks(source.grid),
                width=self._imagery.grid.width,
                on_host=setup.on_host,
            )
        )

    def _tile_and_batch(self) -> tuple[Sizes, int]:
        """Larger tiles where they spare the network something, and the largest batch that fits; else the least."""
        card_sizes, batches = resolve_sizes(self._card, self._options), self._batch_sizes()
        for sizes in self._worthwhile(card_sizes):
            if self._would_fit(sizes, batches[0]):
                return sizes, batches[0]
        fitting = (batch for batch in batches if self._would_fit(card_sizes, batch))
        return card_sizes, next(fitting, batches[-1])

    def _would_fit(self, sizes: Sizes, batch_size: int) -> bool:
        """Whether a usual process would keep to the bound."""
        use = self.memory(sizes, next(self._pipelines(batch_size)), process_bytes=USUAL_PROCESS)
        return use.total_bytes <= self.bound

    def _worthwhile(self, card_sizes: Sizes) -> Iterator[Sizes]:
        """Larger tiles with the context of the raster, where the user left the tile open: the cheapest first."""
        setup, grid = self._setup, self._source.grid
        if self._options.tile is not None or setup.side is not None or not setup.passes:
            return
        least = self._seen_pixels(card_sizes)
        # As costly as another to a few percent: the smaller one.
        ranked = sorted(
            larger_sizes(self._card, self._options, length=max(grid.width, grid.height)),
            key=lambda larger: (round(math.log(self._seen_pixels(larger), _WORTH)), larger.tile),
        )
        yield from (larger for larger in ranked if _WORTH * self._seen_pixels(larger) < least)

    def _seen_pixels(self, sizes: Sizes) -> int:
        """Pixels that the network sees of all tiles together."""
        tiles = self.tiles(sizes)
        return len(tiles) * tiles[0].read.pixels

    def _batch_sizes(self) -> list[int]:
        """The one that was asked for, or what suits the device and its halves."""
        if self._options.batch_size is not None:
            return [self._options.batch_size]
        return [1] if self._setup.on_host else [GPU_BATCH >> halved for halved in range(4)]

    def _pipelines(self, batch_size: int) -> Iterator[Pipeline]:
        """From the most generous to the most frugal."""
        cache, readers = self._options.cache_bytes, self._options.readers
        yield Pipeline(
            batch_size=batch_size,
            ahead=2 * batch_size + readers,
            behind=2 * batch_size + 2,
            cache_bytes=cache,
        )
        frugal = Pipeline(batch_size=batch_size, ahead=batch_size + 1, behind=batch_size, cache_bytes=cache)
        yield frugal
        yield replace(frugal, cache_bytes=min(cache, LEAST_CACHE))

    def _tensor_bytes(self, pixels: int) -> int:
        share = 1.0 if self._setup.precision == "fp32" else _HALF_SHARE
        return math.ceil(share * self._setup.tensor_bytes * pixels)

    def _swath_bytes(self, rows: int) -> int:
        """All swaths of so many rows that are held: those that are kept, and one that is being read."""
        source = self._source
        if not source.is_striped:
            return 0
        pixels = rows * min(source.swath_columns(rows), source.grid.width)
        return (KEPT + 1) * pixels * (source.pixel_bytes + 1)

    def _reader_bytes(self, read: Window) -> int:
        """What becomes of a tile while one thread reads it: as the file has it, and the sums of another ground size."""
        source, grid = self._source, self._imagery.grid
        taken = 0
        if self._imagery.pixel_bytes != source.pixel_bytes:
            taken += read.pixels * (source.pixel_bytes + self._imagery.pixel_bytes)
        if (grid.width, grid.height) != (source.grid.width, source.grid.height):
            covered = math.ceil(
                read.pixels * (grid.width / source.grid.width) * (grid.height / source.grid.height)
            )
            chunk = max(min(covered, CHUNK_BYTES // source.pixel_bytes), read.pixels)
            taken += chunk * (source.pixel_bytes + 1 + 3 * 8)  # a band at a time, in float64
        return taken

    def _refusal(self, sizes: Sizes, frugal: Pipeline) -> ResourceError:
        """Say what the least takes that was asked for, and what would fit."""
        needed = self.memory(sizes, frugal).total_bytes
        asked = "--max-memory is" if self._options.max_memory else "a quarter of the machine's memory is"
        return ResourceError(
            f"{asked} {_gb(self.bound)}; tiles of {sizes.tile} px in batches of {frugal.batch_size} take"
            f" {_gb(needed, up=True)}",
            hint=self._what_fits(sizes, frugal)
            or f"nothing smaller fits; allow more: --max-memory {_gb(needed, up=True)}",
        )

    def _what_fits(self, sizes: Sizes, frugal: Pipeline) -> str:
        """The largest smaller tile, or the tile asked for alone, that fits; empty where there is none."""
        alone = Pipeline(batch_size=1, ahead=2, behind=1, cache_bytes=frugal.cache_bytes)
        tiles = range(sizes.tile, 2 * sizes.halo, -sizes.stride * math.ceil(64 / sizes.stride))
        for tile in tiles if self._setup.side is None else [sizes.tile]:
            use = self.memory(replace(sizes, tile=tile), alone)
            if use.total_bytes <= self.bound:
                return f"--tile {tile} --batch-size 1 would take {_gb(use.total_bytes, up=True)}"
        return ""


def _gb(size: int, *, up: bool = False) -> str:
    """Bytes as the command line spells them; rounded so that what is said to fit fits."""
    tenths = math.ceil(size / 1e8) if up else math.floor(size / 1e8)
    return f"{tenths / 10:.1f}GB" if tenths else f"{size / 1e6:.0f}MB"
