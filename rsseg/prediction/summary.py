"""What came of one raster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsseg.prediction.options import ContextKind, Runtime


@dataclass(frozen=True, kw_only=True)
class PredictSummary:
    """What came of one raster.

    Attributes:
        output: the class map.
        layers: the rasters written beside it, by name.
        preview: the picture; None where nobody asked.
        saved_context: where the raster's context was saved; None where nobody asked.
        width: of the map, in pixels.
        height: of the map, in pixels.
        tile: side of what the network read, in pixels.
        halo: margin around what it decided, in pixels.
        tiles: how many were predicted, fewer than the raster has where an earlier run was gone on with.
        skipped_tiles: those of them without a pixel to decide.
        class_pixels: pixels of each class in the order of the ids.
        class_areas_m2: their areas on the ground; None where nothing says how large a pixel is.
        nodata_pixels: pixels without a class.
        context: what tiles attended to.
        precision: number format of the network.
        runtime: what ran the network.
        seam_change: share of pixels near the edges of tiles that other tiles would classify otherwise; None where
            nobody asked or no tiles meet.
        resumed_blocks: blocks of the map that were there from an earlier run.
        seconds: wall time.
    """

    output: Path
    layers: Mapping[str, Path]
    preview: Path | None
    saved_context: Path | None
    width: int
    height: int
    tile: int
    halo: int
    tiles: int
    skipped_tiles: int
    class_pixels: tuple[int, ...]
    class_areas_m2: tuple[float, ...] | None
    nodata_pixels: int
    context: ContextKind
    precision: str
    runtime: Runtime
    seam_change: float | None
    resumed_blocks: int
    seconds: float
