"""One raster on its way to a class map.

    tiles -> readers (threads) -> forward (this thread) -> stitch and write (one thread) -> finish, encode, rename

With the context of the raster, passes over the same tiles that end in sums come first. Reading runs at most a few tiles
ahead of the network and writing a few tiles behind it, so memory does not grow with the raster. Each pixel is decided
by the one tile that keeps it, or by the average of those that see it; each block of the map is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from rsseg.errors import WeightsError
from rsseg.log import logger
from rsseg.prediction.blend import BlendPlacing, weigh_tiles
from rsseg.prediction.context_file import Run, describe_pixels, describe_weights, load_contexts, save_contexts
from rsseg.prediction.context_pass import empty_contexts, take_contexts
from rsseg.prediction.contexts import ViewContexts
from rsseg.prediction.feature_store import FeatureStore
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.placing import Placing, decide_tiles
from rsseg.prediction.plan import Plan
from rsseg.prediction.progress import Progress, split_progress
from rsseg.prediction.provenance import check_unchanged, describe_run, tags_of
from rsseg.prediction.reading import TileReader
from rsseg.prediction.seams import MOST_SEAMS, seam_change
from rsseg.prediction.setup import Setup
from rsseg.prediction.stages import WorkBehind
from rsseg.raster import ClassMapWriter
from rsseg.raster.counts import ClassCounts
from rsseg.raster.regions import REGION_BYTES
from rsseg.tiling import Tile, choose_tiles
from rsseg.tiling.blending import BlendPlan
from rsseg.tiling.seams import plan_seams

T_contra = TypeVar("T_contra", contravariant=True)

NOTED_BYTES = 10**9
"""Of features that are kept, from which on a user is told."""

FINISHING_SHARE = 0.05
"""What part of the progress is left for the last step, in which the finished map is encoded."""

COLLAR_COST = 0.05
"""What looking for a collar costs, in passes of prediction."""

CONTEXT_NAME = "context.safetensors"
"""Where the raster's context waits in the staging folder, so that a run that is gone on with need not take it again."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run came to, besides its files; see `PredictSummary`."""

    tiles: int
    skipped_tiles: int
    counts: ClassCounts
    resumed_blocks: int
    seam_change: float | None


class Places(Protocol[T_contra]):
    """The last step of a tile: it is placed in the writing thread."""

    writer: ClassMapWriter
    skipped_tiles: int

    def place(self, decided: T_contra, /) -> None:
        """Place one tile."""


class RasterRun:
    """The prediction of one raster.

    Args:
        setup: the network and what was chosen.
        imagery: the raster; it stays open.
        output: the class map.
        plan: how it is cut, and what the pipeline may hold.
    """

    def __init__(self, setup: Setup, imagery: Imagery, output: Path, plan: Plan) -> None:
        self._setup = setup
        self._options = setup.options
        self._forward = setup.forward
        self._imagery = imagery
        self._output = output
        self._plan = plan
        self._features = FeatureStore(output.parent, most_bytes=plan.disk.feature_bytes)
        self._reader = TileReader(
            imagery,
            batch_size=plan.pipeline.batch_size,
            threads=plan.readers,
            ahead=plan.pipeline.ahead,
            features=self._features if plan.disk.feature_bytes else None,
        )

    def predict(self, on_progress: Progress) -> Outcome:
        """Make the map and what was asked for beside it.

        Raises:
            OptionError: an unfinished run is there that differs.
            RasterError: a block cannot be read, or the raster was changed meanwhile.
            ResourceError: disk or memory do not suffice.
        """
        options, classes = self._options, self._setup.weights.card.classes
        on_collar, on_context, on_tiles, on_seams = split_progress(on_progress, self._costs())
        tags = tags_of(
            self._setup.weights,
            self._imagery,
            options,
            sizes=self._plan.sizes,
            context=self._setup.context,
            precision=self._setup.precision,
            runtime=self._setup.runtime,
        )
        run = describe_run(
            self._imagery,
            tags,
            batch_size=self._plan.pipeline.batch_size,
            device=self._forward.device_type,
            compile=options.compile,
            threads=torch.get_num_threads(),
        )
        with ClassMapWriter(
            self._output,
            grid=self._imagery.source.grid,
            target=self._imagery.grid,
            classes=classes,
            layers=options.layers,
            min_area=options.min_area,
            tags=tags,
            overwrite=options.overwrite,
            run=run,
            resume=options.resume,
        ) as writer:
            self._imagery.find_collar(writer.folder, on_collar)
            if self._plan.disk.feature_bytes > NOTED_BYTES:
                size = f"{self._plan.disk.feature_bytes / 1e9:.1f} GB"
                logger.info(f"{self._output}: up to {size} of features beside it while it is made")
            with self._features:
                sums = self._contexts(writer, on_context)
                contexts = self._forward.hold(sums)
                tiles, skipped = self._place(writer, contexts, on_tiles)
            change = self._seam_change(writer, contexts, on_seams) if options.seam_check else None
            check_unchanged(run, self._imagery)
            writer.finish(valid=self._imagery.valid, most_regions=self._most_regions())
        assert writer.counts is not None
        if options.save_context is not None:  # last, or the same command could not go on with the run
            self._save_contexts(options.save_context, sums)
        on_progress(1.0)
        return Outcome(
            tiles=tiles,
            skipped_tiles=skipped,
            counts=writer.counts,
            resumed_blocks=writer.resumed_blocks,
            seam_change=change,
        )

    def _most_regions(self) -> int:
        """How many regions of the map may be held while small ones are merged."""
        left = self._plan.bound_bytes - self._plan.memory.kept_bytes
        return max(left, 0) // REGION_BYTES

    def _costs(self) -> tuple[float, float, float, float]:
        """What the collar, the context, the tiles with the finishing, and the seam check cost, in tiles."""
        options, tiles = self._options, len(self._plan.decided)
        return (
            COLLAR_COST * tiles * (options.collar is not None),
            self._plan.context_cost,
            self._plan.tile_cost * tiles / (1 - FINISHING_SHARE),
            min(tiles, MOST_SEAMS) * options.seam_check,
        )

    def _contexts(self, writer: ClassMapWriter, on_progress: Progress) -> ViewContexts:
        """What all tiles attend to, as sums: from a file, from an unfinished run, or taken now.

        Nothing where each tile attends to itself.
        """
        passes, staged = self._setup.passes, writer.folder / CONTEXT_NAME
        if passes == 0:
            return ()
        nothing = empty_contexts(self._forward, passes)
        if self._options.use_context is not None:
            return load_contexts(self._options.use_context, like=nothing)
        if staged.exists():
            try:
                return load_contexts(staged, like=nothing)
            except WeightsError as err:
                logger.warning("%s; it is made anew", err)
        share = self._options.context_sample or 1.0
        contexts = take_contexts(
            self._forward, self._reader, self._plan.tiles, passes=passes, share=share, on_progress=on_progress
        )
        self._save_contexts(staged, contexts)
        writer.keep()
        return contexts

    def _save_contexts(self, path: Path, contexts: ViewContexts) -> None:
        share = self._options.context_sample or 1.0
        save_contexts(path, contexts, context_run(self._setup, self._imagery), share=share)

    def _place(
        self, writer: ClassMapWriter, contexts: ViewContexts, on_progress: Progress
    ) -> tuple[int, int]:
        """Decide all tiles and write what they keep; gives how many, and how many had nothing to decide."""
        tiles = self._plan.decided
        if isinstance(tiles, BlendPlan):
            weigh = partial(weigh_tiles, self._forward, self._reader, contexts=contexts)
            return self._flow(tiles, weigh, BlendPlacing(writer, tiles, self._forward.rule), on_progress)
        step = partial(decide_tiles, self._forward, self._reader, contexts=contexts)
        return self._flow(tiles, step, Placing(writer), on_progress)

    def _flow(
        self,
        tiles: Sequence[Tile],
        decide: Callable[[Sequence[Tile]], Generator[T_contra]],
        placing: Places[T_contra],
        on_progress: Progress,
    ) -> tuple[int, int]:
        """Let the missing tiles pass through the network, and place what comes of them one behind the other."""
        missing = choose_tiles(tiles, lambda tile: not placing.writer.done(tile.keep))
        with (
            WorkBehind(placing.place, depth=self._plan.pipeline.behind) as written,
            closing(decide(missing)) as decided,
        ):
            for done, tile in enumerate(decided, start=1):
                written.put(tile)
                on_progress((1 - FINISHING_SHARE) * done / len(missing))
        return len(missing), placing.skipped_tiles

    def _seam_change(
        self, writer: ClassMapWriter, contexts: ViewContexts, on_progress: Progress
    ) -> float | None:
        sizes, grid = self._plan.sizes, writer.grid
        seams = plan_seams(grid.width, grid.height, tile=sizes.tile, halo=sizes.halo, stride=sizes.stride)
        return seam_change(
            self._forward, self._reader, writer, seams, contexts=contexts, on_progress=on_progress
        )


def context_run(setup: Setup, imagery: Imagery) -> Run:
    """What a context of this raster depends on besides its pixels."""
    known = describe_weights(setup.weights.card, setup.options, weights_sha256=setup.weights.sha256)
    return {**known, **describe_pixels(imagery, precision=setup.precision)}
