"""How a raster is predicted, decided once before anything is computed: tiles, queues, and what they take.

Whatever the user left open gives way until the run keeps to its bound of memory (`choice.py`); whatever was asked for
stays, and is refused where it does not fit. Nothing is decided later, so the same options on the same machine give the
same map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsseg.prediction.choice import Chooser, Pipeline
from rsseg.prediction.context_pass import ENCODER_COST, PASS_COST
from rsseg.prediction.disk import DiskUse, check_disk, disk_use
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.layout import LayoutWarning, layout_warnings
from rsseg.prediction.memory import MemoryUse
from rsseg.prediction.options import ContextKind, PredictOptions
from rsseg.prediction.setup import Setup
from rsseg.prediction.sizes import Sizes
from rsseg.raster.layers import band_names
from rsseg.raster.layout import Layout, read_layout
from rsseg.tiling import TilePlan
from rsseg.tiling.blending import BlendPlan, plan_blend


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one raster is predicted, and what that takes.

    Attributes:
        sizes: of the tiles.
        tiles: their kept parts partition the raster; the context is taken over them.
        decided: the tiles that are decided, in order: the same, or more where they are averaged.
        context: what they attend to.
        context_passes: how many passes over the raster come before they are decided.
        context_cost: what these passes cost, in tiles that are decided with nothing kept.
        tile_cost: what deciding a tile costs, in the same: less where features of the passes are kept.
        pipeline: what is held at work.
        readers: threads that read.
        memory: of the host.
        bound_bytes: what memory keeps to.
        disk: of the output's disk.
        warnings: what makes reading slow.
        seconds: an estimate; None where nothing was timed.
    """

    sizes: Sizes
    tiles: TilePlan
    decided: TilePlan | BlendPlan
    context: ContextKind
    context_passes: int
    context_cost: float
    tile_cost: float
    pipeline: Pipeline
    readers: int
    memory: MemoryUse
    bound_bytes: int
    disk: DiskUse
    warnings: tuple[LayoutWarning, ...]
    seconds: float | None = None


def plan_prediction(setup: Setup, imagery: Imagery, output: Path) -> Plan:
    """Decide how a raster is predicted.

    Args:
        setup: what predicts it.
        imagery: the raster.
        output: the class map to be; its folder exists.

    Raises:
        OptionError: sizes do not fit the network.
        ResourceError: memory or disk do not suffice.
    """
    options = setup.options
    layouts = {path: read_layout(path) for path in (imagery.source.path, options.extra) if path is not None}
    layer_bands = 1 + sum(len(band_names(name, setup.weights.card.classes)) for name in options.layers)
    disk = disk_use(
        output,
        grid=imagery.source.grid,
        target=imagery.grid,
        layer_bands=layer_bands,
        sieves=options.min_area > 1,
    )
    if all(_has_data_everywhere(imagery, layout, options) for layout in layouts.values()):
        check_disk(disk, output)
    block_bytes = sum(layout.block_bytes for layout in layouts.values())
    chooser = Chooser(setup, imagery, block_bytes=block_bytes, layer_bands=layer_bands)
    sizes, pipeline = chooser.choose()
    tiles, grid = chooser.tiles(sizes), imagery.grid
    passes = 0 if options.use_context is not None else setup.passes
    seen_whole = passes > 0 and options.aoi is None and options.context_sample is None
    wanted = math.ceil(setup.feature_bytes * tiles[0].read.pixels) * len(tiles) * seen_whole
    disk = disk.with_features(wanted, most=options.feature_cache)
    spared = ENCODER_COST * (disk.feature_bytes / wanted if wanted else 0)
    context_tiles = (options.context_sample or 1.0) * len(tiles)
    return Plan(
        sizes=sizes,
        tiles=tiles,
        decided=tiles if options.blend == "crop" else _overlapping(imagery, sizes, tiles),
        context=setup.context,
        context_passes=passes,
        context_cost=context_tiles * (passes * PASS_COST - max(passes - 1, 0) * spared),
        tile_cost=1 - spared,
        pipeline=pipeline,
        readers=options.readers,
        memory=chooser.memory(sizes, pipeline),
        bound_bytes=chooser.bound,
        disk=disk,
        warnings=tuple(
            warning
            for path, layout in layouts.items()
            for warning in layout_warnings(
                str(path),
                layout,
                width=grid.width,
                height=grid.height,
                band_width=tiles.band_width * grid.width // imagery.source.grid.width,
                cache_bytes=pipeline.cache_bytes,
                preview=options.preview is not None,
            )
        ),
    )


def _has_data_everywhere(imagery: Imagery, layout: Layout, options: PredictOptions) -> bool:
    """Whether it is known that no pixel is missing, so that every block of the map will be staged."""
    narrowed = options.aoi is not None or options.collar is not None or options.nodata not in ("auto", None)
    may_be_nan = np.issubdtype(np.dtype(imagery.source.dtype), np.inexact)
    return layout.all_valid and not may_be_nan and not narrowed


def _overlapping(imagery: Imagery, sizes: Sizes, tiles: TilePlan) -> BlendPlan:
    grid = imagery.source.grid
    return plan_blend(
        grid.width,
        grid.height,
        tile=sizes.tile,
        halo=sizes.halo,
        stride=sizes.stride,
        band_width=tiles.band_width,
    )
