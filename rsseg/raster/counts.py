"""How much of a map each class covers, in pixels and on the ground.

Pixels are counted by row of blocks: whole numbers that come out the same in whatever order blocks are counted, and by
row the area of a pixel hardly changes, whatever the CRS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio.windows
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.raster.env import open_dataset
from rsseg.raster.grid import Grid
from rsseg.tiling import BLOCK, plan_blocks

RowCounts = Mapping[int, Mapping[int, int]]
"""Pixels of each class id, by row of blocks."""


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """How much of a map each class covers, in the order of the ids.

    Attributes:
        pixels: of each class.
        areas_m2: of each class on the ground; None where nothing says how large a pixel is.
        nodata_pixels: without a class.
        nodata_area_m2: on the ground, or None.
    """

    pixels: tuple[int, ...]
    areas_m2: tuple[float, ...] | None
    nodata_pixels: int
    nodata_area_m2: float | None


def add_up(rows: RowCounts, *, grid: Grid, classes: int) -> ClassCounts:
    """Add up what was counted; a pixel's area is the mean over its row of blocks.

    Args:
        rows: pixels of each class id, by row of blocks; what is missing there has no class.
        grid: of the map.
        classes: how many there are.
    """
    spans = [range(top, min(top + BLOCK, grid.height)) for top in range(0, grid.height, BLOCK)]
    pixels = np.zeros((len(spans), NODATA_CLASS + 1), dtype=np.int64)
    for row, counts in rows.items():
        for value, count in counts.items():
            pixels[row, value] = count
    pixels[:, NODATA_CLASS] = [len(span) * grid.width for span in spans] - pixels[:, :NODATA_CLASS].sum(
        axis=1
    )
    areas = _areas_m2(pixels, [grid.pixel_area_m2(span) for span in spans])
    return ClassCounts(
        pixels=tuple(pixels[:, :classes].sum(axis=0).tolist()),
        areas_m2=None if areas is None else areas[:classes],
        nodata_pixels=int(pixels[:, NODATA_CLASS].sum()),
        nodata_area_m2=None if areas is None else areas[NODATA_CLASS],
    )


def _areas_m2(pixels: NDArray[np.int64], of_a_pixel: Sequence[float | None]) -> tuple[float, ...] | None:
    """Areas by class id of pixels (rows, classes)."""
    if None in of_a_pixel:
        return None
    areas = pixels * np.array(of_a_pixel, dtype=np.float64)[:, None]
    return tuple(areas.sum(axis=0).tolist())


def count_map(path: Path) -> RowCounts:
    """Count the pixels of each class id in a map with blocks of 512 px, block by block.

    Raises:
        RasterError: the file is no raster; or one of `GDAL_ERRORS`.
    """
    rows: dict[int, Counter[int]] = {}
    with open_dataset(path) as dataset:
        for block in plan_blocks(dataset.width, dataset.height, block=BLOCK):
            window = rasterio.windows.Window(block.col_off, block.row_off, block.width, block.height)
            rows.setdefault(block.row_off // BLOCK, Counter()).update(
                count_block(dataset.read(1, window=window))
            )
    return rows


def count_block(classes: NDArray[np.uint8]) -> dict[int, int]:
    """Count the pixels of each class id that occurs, without those that have none."""
    pixels = np.bincount(classes.ravel(), minlength=NODATA_CLASS)[:NODATA_CLASS]
    return {int(value): int(pixels[value]) for value in np.flatnonzero(pixels)}
