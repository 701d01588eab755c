"""Rasters to class maps.

    plan -> tiles -> readers (threads) -> forward (this thread) -> stitch and write (one thread) -> encode, rename

With the context of the raster, passes over the same tiles that end in sums come first. Reading runs at most a few tiles
ahead of the network and writing a few tiles behind it, so memory does not grow with the raster. Each pixel is decided
by one tile; each block of the map is written once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rsseg.classes import NODATA_CLASS
from rsseg.log import logger
from rsseg.models.registry import network_entry
from rsseg.prediction.context_file import (
    Run,
    check_context_file,
    describe_pixels,
    describe_weights,
    load_contexts,
    save_contexts,
)
from rsseg.prediction.context_pass import PASS_COST, empty_contexts, take_contexts
from rsseg.prediction.contexts import Contexts
from rsseg.prediction.door import check_limits, check_outputs, open_input, resolve_context, resolve_sizes
from rsseg.prediction.forward import Forward, resolve_device, resolve_precision
from rsseg.prediction.options import ContextKind, PredictOptions
from rsseg.prediction.placing import Decided, Placing
from rsseg.prediction.preview import write_preview
from rsseg.prediction.progress import Progress, split_progress
from rsseg.prediction.reading import TileReader
from rsseg.prediction.resume import CONTEXT_NAME, describe_run
from rsseg.prediction.seams import MOST_SEAMS, seam_change
from rsseg.prediction.stages import WorkBehind
from rsseg.raster import ClassMapWriter, RasterSource, gdal_env, open_label_raster
from rsseg.tiling import Tile, plan_tiles
from rsseg.tiling.seams import plan_seams
from rsseg.version import __version__
from rsseg.weights import Weights
from rsseg.weights.files import file_sha256

ENCODING_SHARE = 0.05
"""What part of the progress is left for the last step, in which the finished map is encoded."""


@dataclass(frozen=True, kw_only=True)
class PredictSummary:
    """What came of one raster.

    `class_pixels` counts the pixels of each class in the order of the ids; `seam_change` is the share of pixels near
    the edges of tiles that other tiles would classify otherwise, None where nobody asked or no tiles meet.
    `resumed_blocks` of the map were there from an earlier run, so that `tiles` were fewer than the raster has.
    """

    output: Path
    width: int
    height: int
    tiles: int
    skipped_tiles: int
    class_pixels: tuple[int, ...]
    nodata_pixels: int
    context: ContextKind
    seam_change: float | None
    resumed_blocks: int
    seconds: float


class Predictor:
    """Loaded weights on a device, ready for any number of rasters.

    Raises:
        OptionError: sizes do not fit the network, or options the weights' limits.
        ResourceError: the device does not exist.
    """

    def __init__(self, weights: Weights, options: PredictOptions) -> None:
        card, limits = weights.card, weights.limits
        self._weights = weights
        self._options = options
        self._sizes = resolve_sizes(card, options)
        self._context = resolve_context(card, options)
        self._passes = (network_entry(card.architecture).context_passes or 0) * (self._context == "raster")
        check_limits(limits, options, tile=self._sizes.tile, context=self._context)
        device = resolve_device("cpu" if options.device == "auto" and not limits.cuda else options.device)
        self._batch_size = options.batch_size or (1 if device.type == "cpu" else 8)
        self._precision = resolve_precision(limits.precision or options.precision, device)
        self._forward = Forward(weights.network, card.scaling, device=device, precision=self._precision)

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
            WeightsError: the context to use does not fit.
            ResourceError: disk or memory do not suffice.
        """
        started = time.monotonic()
        check_outputs(output, self._options, inputs=[image])
        with (
            gdal_env(cache_bytes=self._options.cache_bytes),
            open_input(image, self._weights.card, self._options) as source,
        ):
            check_outputs(output, self._options, inputs=source.files)
            if self._options.use_context is not None:
                check_context_file(self._options.use_context, self._run(source))
            for note in source.notes:
                logger.info(note)
            return self._predict(source, output, on_progress or _ignore, started)

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

    def _predict(
        self, source: RasterSource, output: Path, on_progress: Progress, started: float
    ) -> PredictSummary:
        grid, classes, sizes = source.grid, self._weights.card.classes, self._sizes
        tiles = plan_tiles(grid.width, grid.height, tile=sizes.tile, halo=sizes.halo, stride=sizes.stride)
        reader = TileReader(
            source,
            stretch=self._options.stretch,
            batch_size=self._batch_size,
            threads=self._options.readers,
        )
        on_context, on_tiles, on_seams = split_progress(on_progress, self._costs(len(tiles)))
        tags = self._tags(source)
        with ClassMapWriter(
            output,
            grid=grid,
            classes=classes,
            tags=tags,
            overwrite=self._options.overwrite,
            run=describe_run(source, tags, batch_size=self._batch_size, device=self._forward.device_type),
            resume=self._options.resume,
        ) as writer:
            sums = self._contexts(writer, source, reader, tiles, on_context)
            contexts = self._forward.hold(sums)
            missing = [tile for tile in tiles if not writer.done(tile.keep)]
            placing = self._place(writer, reader, missing, contexts, on_progress=on_tiles)
            writer.finish()
        if self._options.save_context is not None:  # last, or the same command could not go on with the run
            self._save_contexts(self._options.save_context, sums, source)
        change = self._seam_change(reader, output, contexts, on_seams) if self._options.seam_check else None
        on_progress(1.0)
        return PredictSummary(
            output=output,
            width=grid.width,
            height=grid.height,
            tiles=len(missing),
            skipped_tiles=placing.skipped_tiles,
            class_pixels=tuple(int(n) for n in writer.class_pixels[: len(classes)]),
            nodata_pixels=int(writer.class_pixels[NODATA_CLASS]),
            context=self._context,
            seam_change=change,
            resumed_blocks=writer.resumed_blocks,
            seconds=time.monotonic() - started,
        )

    def _costs(self, tiles: int) -> tuple[float, float, float]:
        """What the context, the tiles with the encoding, and the seam check cost, in tiles."""
        passes = 0 if self._options.use_context else self._passes
        return (
            passes * PASS_COST * tiles * (self._options.context_sample or 1.0),
            tiles / (1 - ENCODING_SHARE),
            min(tiles, MOST_SEAMS) * self._options.seam_check,
        )

    def _contexts(
        self,
        writer: ClassMapWriter,
        source: RasterSource,
        reader: TileReader,
        tiles: Sequence[Tile],
        on_progress: Progress,
    ) -> Contexts:
        """What all tiles attend to, as sums: from a file, from an unfinished run, or taken now.

        Nothing where each tile attends to itself.
        """
        options, staged = self._options, writer.folder / CONTEXT_NAME
        if self._passes == 0:
            return ()
        known = options.use_context or (staged if staged.exists() else None)
        if known is not None:
            contexts = load_contexts(known, like=empty_contexts(self._forward, self._passes))
        else:
            share = options.context_sample or 1.0
            contexts = take_contexts(
                self._forward, reader, tiles, passes=self._passes, share=share, on_progress=on_progress
            )
            self._save_contexts(staged, contexts, source)
            writer.keep()
        return contexts

    def _save_contexts(self, path: Path, contexts: Contexts, source: RasterSource) -> None:
        save_contexts(path, contexts, self._run(source), share=self._options.context_sample or 1.0)

    def _place(
        self,
        writer: ClassMapWriter,
        reader: TileReader,
        tiles: Sequence[Tile],
        contexts: Contexts,
        *,
        on_progress: Progress,
    ) -> Placing:
        """Decide all tiles and write what they keep, one behind the other."""
        placing = Placing(writer)
        with (
            WorkBehind(placing.place, depth=2 * self._batch_size + 2) as written,
            closing(self._decide(reader, tiles, contexts)) as decided,
        ):
            for done, tile in enumerate(decided, start=1):
                written.put(tile)
                on_progress((1 - ENCODING_SHARE) * done / len(tiles))
        return placing

    def _decide(self, reader: TileReader, tiles: Sequence[Tile], contexts: Contexts) -> Generator[Decided]:
        """Decide tile after tile, in order; those without a valid pixel to keep never reach the network."""
        with closing(reader.batches(tiles)) as batches:
            for batch in batches:
                classes = iter(self._forward(*batch.arrays(), contexts=contexts) if batch.with_data else ())
                for read in batch.reads:
                    yield Decided(read.tile, next(classes) if read.has_data else None)

    def _seam_change(
        self, reader: TileReader, output: Path, contexts: Contexts, on_progress: Progress
    ) -> float | None:
        sizes = self._sizes
        with open_label_raster(output) as class_map:
            grid = class_map.grid
            seams = plan_seams(grid.width, grid.height, tile=sizes.tile, halo=sizes.halo, stride=sizes.stride)
            return seam_change(
                self._forward, reader, class_map, seams, contexts=contexts, on_progress=on_progress
            )

    def _run(self, source: RasterSource) -> Run:
        """What a context of this raster depends on besides its pixels."""
        known = describe_weights(self._weights.card, self._options, weights_sha256=self._weights.sha256)
        return {**known, **describe_pixels(source, precision=self._precision)}

    def _tags(self, source: RasterSource) -> dict[str, str]:
        """Provenance that depends on nothing but input, weights and options: no times, no paths, no thread counts."""
        options, stretch = self._options, self._options.stretch
        sample, used = options.context_sample, options.use_context
        return {
            "RSSEG_VERSION": __version__,
            "RSSEG_WEIGHTS": self._weights.name,
            "RSSEG_WEIGHTS_SHA256": self._weights.sha256,
            "RSSEG_TILE": str(self._sizes.tile),
            "RSSEG_HALO": str(self._sizes.halo),
            "RSSEG_CONTEXT": self._context,
            **({"RSSEG_CONTEXT_SAMPLE": f"{sample:g}"} if sample else {}),
            **({"RSSEG_CONTEXT_SHA256": file_sha256(used)} if used else {}),
            "RSSEG_PRECISION": self._precision,
            "RSSEG_BANDS": ",".join(str(band) for band in source.bands),
            "RSSEG_NODATA": str(options.nodata).lower(),
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
