"""Staged rasters made anew before they are encoded: brought to another pixel size, freed of small regions.

Each function reads a sealed file of blocks and writes another one, block by block in a fixed order. The same input
gives the same bytes, and a file that a killed run left half written is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio.windows
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.raster.block_file import BlockFile
from rsseg.raster.env import open_dataset
from rsseg.raster.grid import Grid
from rsseg.raster.regions import RegionCollector, painted
from rsseg.tiling import BLOCK, Window, plan_blocks

Resampling = Literal["nearest", "bilinear"]
"""How a pixel follows from those of another size: the one under its centre, or its four neighbours weighted."""

Valid = Callable[[Window], NDArray[np.bool_] | None]
"""Tells which pixels of a window (rows, cols) may have data; None for all of them."""

_STRIP = 64
"""Rows of the target that are made at a time."""


def resample_layer(
    staged: Path, resampled: Path, *, grid: Grid, target: Grid, how: Resampling, valid: Valid | None = None
) -> None:
    """Bring a staged raster to another pixel size; both grids cover the same ground, edge on edge.

    A pixel takes the value under its centre; with `bilinear` it takes the average of the four pixels around its centre,
    weighted by nearness, without those that are 255. It is 255 where the pixel under its centre is, and where it is not
    `valid` itself. There is no averaging over more pixels, whatever the ratio. Memory: a block of the target with all
    bands, and 64 of its rows as the source has them in one band, 8 MB where pixels become 16 times as large.

    Args:
        staged: a sealed file of blocks with any number of bands.
        resampled: the file to make; what is there is replaced.
        grid: of the staged raster.
        target: of the one to make.
        how: `nearest` or `bilinear`; numbers of classes have no average.
        valid: asked for each block of the target that has data; None: all pixels are.

    Raises:
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """
    resample = {"nearest": _nearest, "bilinear": _bilinear}[how]
    with open_dataset(staged) as source:

        def strip(band: int, rows: range, cols: range) -> NDArray[np.uint8]:
            down = _Stretch(rows, target.height, grid.height)
            across = _Stretch(cols, target.width, grid.width)
            return resample(_read(source, Window.of(across.source, down.source), band), down, across)

        def block(window: Window, band: int) -> NDArray[np.uint8]:
            firsts = range(window.rows.start, window.rows.stop, _STRIP)
            parts = (range(first, min(first + _STRIP, window.rows.stop)) for first in firsts)
            return np.concatenate([strip(band, rows, window.cols) for rows in parts])

        def blocks() -> Iterator[tuple[Window, NDArray[np.uint8]]]:
            for window in plan_blocks(target.width, target.height, block=BLOCK):
                pixels = np.stack([block(window, band) for band in source.indexes])
                known = valid(window) if valid and (pixels != NODATA_CLASS).any() else None
                if known is not None:
                    pixels[:, ~known] = NODATA_CLASS
                yield window, pixels

        _write_blocks(resampled, blocks(), grid=target, bands=source.count)


def sieve_classes(staged: Path, sieved: Path, *, min_area: int, most_regions: int | None = None) -> None:
    """Merge the regions of a staged class map that are smaller than `min_area` pixels into their largest neighbours.

    The rule is that of `rsseg.raster.regions`, about the whole map. Memory: at most 300 bytes for each region.

    Args:
        staged: a sealed file of blocks with one band.
        sieved: the file to make; what is there is replaced.
        min_area: pixels of the smallest region that stays; with 0 and 1 all stay.
        most_regions: bound on the regions, each block's for themselves; None: none.

    Raises:
        ResourceError: there are more regions.
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """
    with open_dataset(staged) as source:
        windows = plan_blocks(source.width, source.height, block=BLOCK)
        regions = RegionCollector(source.width, most=most_regions)
        for window in windows:
            regions.add(window, _read(source, window, 1))
        merged = zip(windows, regions.merged_classes(min_area=min_area), strict=True)
        blocks = ((window, painted(_read(source, window, 1), classes)[None]) for window, classes in merged)
        _write_blocks(sieved, blocks, grid=Grid(source.width, source.height), bands=1)


class _Stretch:
    """Where the centres of some pixels of one axis lie among the pixels of another size that cover the same axis.

    Attributes:
        source: the pixels of that size that are needed.
        under: for each centre the pixel under it, counted within `source`.
        before, after: the pixels whose centres lie around it, within `source`.
        share: how far it is from the one before to the one after, 0 to 1.
    """

    def __init__(self, pixels: range, length: int, source_length: int) -> None:
        doubled = 2 * np.arange(pixels.start, pixels.stop, dtype=np.int64) + 1
        under = doubled * source_length // (2 * length)
        place = doubled * source_length / (2 * length) - 0.5
        before = np.floor(place).astype(np.int64)
        first, last = max(int(before[0]), 0), min(int(before[-1]) + 1, source_length - 1)
        self.source = range(first, last + 1)
        self.under = under - first
        self.before = before.clip(first, last) - first
        self.after = (before + 1).clip(first, last) - first
        self.share = (place - before).astype(np.float32)


def _nearest(band: NDArray[np.uint8], rows: _Stretch, cols: _Stretch) -> NDArray[np.uint8]:
    return band[rows.under[:, None], cols.under]


def _bilinear(band: NDArray[np.uint8], rows: _Stretch, cols: _Stretch) -> NDArray[np.uint8]:
    shape = (len(rows.under), len(cols.under))
    total, weights = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for row, row_share in ((rows.before, 1 - rows.share), (rows.after, rows.share)):
        for col, col_share in ((cols.before, 1 - cols.share), (cols.after, cols.share)):
            values = band[row[:, None], col]
            weight = np.outer(row_share, col_share) * (values != NODATA_CLASS)
            total += weight * values
            weights += weight
    known = _nearest(band, rows, cols) != NODATA_CLASS
    mean = np.divide(total, weights, out=np.zeros_like(total), where=known)
    return np.where(known, np.rint(mean).astype(np.uint8), np.uint8(NODATA_CLASS))


def _read(source: Any, window: Window, band: int) -> NDArray[np.uint8]:
    """The pixels of a window (rows, cols) in one band."""
    pixels: NDArray[np.uint8] = source.read(
        band, window=rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
    )
    return pixels


def _write_blocks(
    path: Path, blocks: Iterable[tuple[Window, NDArray[np.uint8]]], *, grid: Grid, bands: int
) -> None:
    """Write and seal a file of blocks (bands, rows, cols); those without data become holes."""
    path.unlink(missing_ok=True)
    file = BlockFile(path, grid=grid, bands=bands)
    file.open()
    try:
        filled = []
        for window, pixels in blocks:
            if (pixels != NODATA_CLASS).any():
                block = (window.col_off // BLOCK, window.row_off // BLOCK)
                file.write(block, pixels)
                filled.append(block)
        file.seal(filled)
    finally:
        file.close()
