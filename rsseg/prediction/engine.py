"""Rasters to class maps.

    plan -> tiles -> readers (threads) -> forward (this thread) -> stitch and write (one thread) -> encode, rename

Reading runs at most a few tiles ahead of the network and writing a few tiles behind it, so memory does not grow with
the raster. Each pixel is decided by one tile; each block of the map is written once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.log import logger
from rsseg.prediction.door import check_limits, check_outputs, open_input, resolve_sizes
from rsseg.prediction.forward import Forward, memory_errors, resolve_device, resolve_precision
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.preview import write_preview
from rsseg.prediction.stages import WorkBehind, batches, map_ahead
from rsseg.prediction.stitch import Stitcher
from rsseg.raster import ClassMapWriter, RasterSource, gdal_env
from rsseg.tiling import Tile, plan_tiles
from rsseg.version import __version__
from rsseg.weights import Weights

ENCODING_SHARE = 0.05
"""What part of the progress is left for the last step, in which the finished map is encoded."""


@dataclass(frozen=True, kw_only=True)
class PredictSummary:
    """What came of one raster; `class_pixels` counts the pixels of each class in the order of the ids."""

    output: Path
    width: int
    height: int
    tiles: int
    skipped_tiles: int
    class_pixels: tuple[int, ...]
    nodata_pixels: int
    seconds: float


@dataclass(frozen=True)
class _Read:
    """A tile with its pixels (C, rows, cols) and which of them count (rows, cols)."""

    tile: Tile
    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]

    @property
    def kept_valid(self) -> bool:
        """Whether the network has anything to decide here."""
        return bool(self.valid[self.tile.keep.slices(self.tile.read)].any())


@dataclass(frozen=True)
class _Decided:
    """A tile with the classes (rows, cols) of all that was read; None where nothing to keep is valid."""

    tile: Tile
    classes: NDArray[np.uint8] | None

    def kept(self) -> NDArray[np.uint8]:
        """The classes (rows, cols) of what the tile keeps."""
        keep = self.tile.keep
        if self.classes is None:
            return np.full((keep.height, keep.width), NODATA_CLASS, dtype=np.uint8)
        return self.classes[keep.slices(self.tile.read)]


class _Placing:
    """The last step of a tile, in the writing thread: count it, stitch it, write the blocks that are complete."""

    def __init__(self, writer: ClassMapWriter) -> None:
        self.counts = np.zeros(256, dtype=np.int64)
        self.skipped_tiles = 0
        self._writer = writer
        self._stitcher = Stitcher(writer.grid.width, writer.grid.height)

    def place(self, decided: _Decided) -> None:
        """Place one tile."""
        kept = decided.kept()
        self.counts += np.bincount(kept.ravel(), minlength=256)
        self.skipped_tiles += decided.classes is None
        for window, block in self._stitcher.place(decided.tile.keep, kept):
            self._writer.write_block(window, block)


class Predictor:
    """Loaded weights on a device, ready for any number of rasters.

    Raises:
        OptionError: sizes do not fit the network, or options the weights' limits.
        ResourceError: the device does not exist.
    """

    def __init__(self, weights: Weights, options: PredictOptions) -> None:
        limits = weights.limits
        self._weights = weights
        self._options = options
        self._sizes = resolve_sizes(weights.card, options)
        check_limits(limits, options, tile=self._sizes.tile)
        device = resolve_device("cpu" if options.device == "auto" and not limits.cuda else options.device)
        self._batch_size = options.batch_size or (1 if device.type == "cpu" else 8)
        self._precision = resolve_precision(limits.precision or options.precision, device)
        self._forward = Forward(
            weights.network, weights.card.scaling, device=device, precision=self._precision
        )

    def predict(
        self, image: str | Path, output: Path, *, on_progress: Callable[[float], None] | None = None
    ) -> PredictSummary:
        """Segment one raster and write its class map; the map appears complete or not at all.

        Args:
            image: anything GDAL opens.
            output: the class map, a Cloud Optimized GeoTIFF on the raster's grid.
            on_progress: is told the share done, from 0 to 1.

        Raises:
            OptionError: the output exists, or its folder does not.
            RasterError: the raster cannot be opened, read or does not fit the weights.
            ResourceError: disk or memory do not suffice.
        """
        started = time.monotonic()
        check_outputs(output, self._options, inputs=[image])
        with (
            gdal_env(cache_bytes=self._options.cache_bytes),
            open_input(image, self._weights.card, self._options) as source,
        ):
            check_outputs(output, self._options, inputs=source.files)
            for note in source.notes:
                logger.info(note)
            return self._write(source, output, on_progress or _ignore, started)

    def draw_preview(self, image: str | Path, class_map: Path, picture: Path) -> None:
        """Draw a finished map beside its image, as a PNG.

        Raises:
            ResourceError: the picture cannot be written.
        """
        card = self._weights.card
        with (
            gdal_env(cache_bytes=self._options.cache_bytes),
            open_input(image, card, self._options) as source,
        ):
            write_preview(picture, source=source, class_map=class_map, classes=card.classes)

    def _write(
        self, source: RasterSource, output: Path, on_progress: Callable[[float], None], started: float
    ) -> PredictSummary:
        grid, classes = source.grid, self._weights.card.classes
        sizes = self._sizes
        tiles = plan_tiles(grid.width, grid.height, tile=sizes.tile, halo=sizes.halo, stride=sizes.stride)
        with ClassMapWriter(
            output, grid=grid, classes=classes, tags=self._tags(source), overwrite=self._options.overwrite
        ) as writer:
            placing = _Placing(writer)
            with (
                WorkBehind(placing.place, depth=2 * self._batch_size + 2) as written,
                closing(self._decide(source, tiles)) as decided,
            ):
                for done, tile in enumerate(decided, start=1):
                    written.put(tile)
                    on_progress((1 - ENCODING_SHARE) * done / len(tiles))
            writer.finish()
        on_progress(1.0)
        return PredictSummary(
            output=output,
            width=grid.width,
            height=grid.height,
            tiles=len(tiles),
            skipped_tiles=placing.skipped_tiles,
            class_pixels=tuple(int(n) for n in placing.counts[: len(classes)]),
            nodata_pixels=int(placing.counts[NODATA_CLASS]),
            seconds=time.monotonic() - started,
        )

    def _decide(self, source: RasterSource, tiles: list[Tile]) -> Generator[_Decided]:
        """Decide tile after tile, in order; those without a valid pixel to keep never reach the network."""
        depth = 2 * self._batch_size + self._options.readers
        reads = map_ahead(
            lambda tile: self._read(source, tile), tiles, threads=self._options.readers, depth=depth
        )
        with closing(reads):
            for batch in batches(reads, size=self._batch_size):
                classes = iter(self._run([read for read in batch if read.kept_valid]))
                for read in batch:
                    yield _Decided(read.tile, next(classes) if read.kept_valid else None)

    def _read(self, source: RasterSource, tile: Tile) -> _Read:
        pixels = source.read(tile.read)
        stretch = self._options.stretch
        return _Read(tile, stretch.apply(pixels.data) if stretch else pixels.data, pixels.valid)

    def _run(self, reads: list[_Read]) -> NDArray[np.uint8]:
        """Classes (N, rows, cols); every batch has the same shape, so that results do not depend on it."""
        if not reads:
            return np.empty((0, 0, 0), dtype=np.uint8)
        missing = self._batch_size - len(reads)
        filled = reads + [reads[-1]] * missing
        with memory_errors("this batch"):
            pixels, valid = np.stack([r.pixels for r in filled]), np.stack([r.valid for r in filled])
        return self._forward(pixels, valid)

    def _tags(self, source: RasterSource) -> dict[str, str]:
        """Provenance that depends on nothing but input, weights and options: no times, no paths, no thread counts."""
        stretch = self._options.stretch
        return {
            "RSSEG_VERSION": __version__,
            "RSSEG_WEIGHTS": self._weights.name,
            "RSSEG_WEIGHTS_SHA256": self._weights.sha256,
            "RSSEG_TILE": str(self._sizes.tile),
            "RSSEG_HALO": str(self._sizes.halo),
            "RSSEG_PRECISION": self._precision,
            "RSSEG_BANDS": ",".join(str(band) for band in source.bands),
            "RSSEG_NODATA": str(self._options.nodata).lower(),
            **({"RSSEG_SCALE": f"{stretch.minimum:g},{stretch.maximum:g}"} if stretch else {}),
        }


def predict_raster(
    image: str | Path,
    output: str | Path,
    *,
    weights: Weights,
    options: PredictOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> PredictSummary:
    """Segment one raster and write its class map, then the preview if one is asked for; see `Predictor`."""
    predictor = Predictor(weights, options or PredictOptions())
    summary = predictor.predict(image, Path(output), on_progress=on_progress)
    if options is not None and options.preview is not None:
        predictor.draw_preview(image, Path(output), options.preview)
    return summary


def _ignore(_share: float) -> None:
    """Progress that nobody watches."""
