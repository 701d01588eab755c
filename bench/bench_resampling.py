"""Seeing a raster at another pixel size: our averages and lines against GDAL's warped VRT.

    python bench/bench_resampling.py [--side 2000]

Tiles of 512 px are read of a raster of noise whose pixels are made larger (by average) or smaller (bilinear), with
each of both in turn. `differ` is the share of tiles that are not what is cut from the whole. `validity` is the share of
pixels, of a raster with an alpha band and a nodata value, that are valid though the pixel under their middle is not, or
the other way round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NodataShadowWarning
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from rsseg.raster import ResampledSource, gdal_env, open_raster
from rsseg.tiling import Window

TILE, STEP = 512, 384
CRS = "EPSG:32645"
PLACE = Affine(0.15, 0, 350_000, 0, -0.15, 3_060_000)
SIZES = (0.3, 0.5, 0.7, 0.9, 1.3, 2.0)
"""Sides of the new raster, in sides of the old one."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=2000)
    side = parser.parse_args().side
    warnings.simplefilter("ignore", NodataShadowWarning)
    print(
        f"{'size':>4} {'tiles':>5} | {'warped VRT: differ':>18} {'validity':>8} {'ms a tile':>9}", end=" | "
    )
    print(f"{'rsseg: differ':>13} {'validity':>8} {'ms a tile':>9} {'ratio':>5}")
    with tempfile.TemporaryDirectory() as name, gdal_env():
        plain = write_noise(Path(name) / "plain.tif", side, alpha=False)
        odd = write_noise(Path(name) / "odd.tif", side, alpha=True)
        for size in SIZES:
            made = round(side * size)
            (differ, ms), wrong = compare_tiles(plain, made), compare_validity(odd, made)
            cells = [f"{differ[i]:>{18 - 5 * i}.0%} {wrong[i]:>8.2%} {ms[i]:>9.1f}" for i in (0, 1)]
            print(f"{size:>4} {len(windows(made)):>5} | {' | '.join(cells)} {ms[1] / ms[0]:>5.2f}")


def write_noise(path: Path, side: int, *, alpha: bool) -> Path:
    """Noise, with `alpha` also an alpha band of which a thousandth is 0, and a corner of nodata."""
    random = np.random.default_rng(0)
    data = random.integers(1, 255, (3 + alpha, side, side)).astype(np.uint8)
    colors = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha][: len(data)]
    if alpha:
        data[3] = np.where(random.random((side, side)) < 0.001, 0, 255)
        data[:3, : side // 8, : side // 8] = 0
    how = {"tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel", "compress": "deflate"}
    shape = {
        "width": side,
        "height": side,
        "count": len(data),
        "dtype": "uint8",
        "nodata": 0 if alpha else None,
    }
    with rasterio.open(path, "w", driver="GTiff", crs=CRS, transform=PLACE, **shape, **how) as dataset:
        dataset.colorinterp = colors
        dataset.write(data)
    return path


def windows(side: int) -> list[Window]:
    starts = range(0, max(1, side - TILE + 1), STEP)
    return [Window(col, row, min(TILE, side), min(TILE, side)) for row in starts for col in starts]


@contextmanager
def both(path: Path, side: int) -> Iterator[tuple[WarpedVRT, ResampledSource]]:
    """The same raster at another size, by GDAL and by us; rasterio refuses a tolerance of 0."""
    with rasterio.open(path) as dataset, open_raster(path, channels=3) as base:
        scale = dataset.width / side
        how = Resampling.average if scale > 1 else Resampling.bilinear
        place = {"crs": CRS, "transform": PLACE @ Affine.scale(scale), "width": side, "height": side}
        with WarpedVRT(dataset, resampling=how, tolerance=1e-9, **place) as vrt:
            yield vrt, ResampledSource(base, width=side, height=side)


def compare_tiles(path: Path, side: int) -> tuple[list[float], list[float]]:
    """Share of tiles that differ from the whole, and milliseconds a tile; GDAL first."""
    with both(path, side) as (vrt, own):
        wholes = vrt.read(), own.read(own.grid.window).data
    differ, seconds = [0, 0], [0.0, 0.0]
    with both(path, side) as (vrt, own):
        for window in windows(side):
            there = RasterioWindow(window.col_off, window.row_off, window.width, window.height)
            started = time.perf_counter()
            first = vrt.read(window=there)
            between = time.perf_counter()
            tiles = [first, own.read(window).data]
            times = [started, between, time.perf_counter()]
            for i in (0, 1):
                differ[i] += bool((tiles[i] != wholes[i][(..., *window.slices())]).any())
                seconds[i] += times[i + 1] - times[i]
    count = len(windows(side))
    return [d / count for d in differ], [1000 * s / count for s in seconds]


def compare_validity(path: Path, side: int) -> list[float]:
    """Share of pixels whose validity is not that of the pixel under their middle; GDAL first."""
    with open_raster(path, channels=3) as source:
        valid = source.read(source.grid.window).valid
    middles = ((np.arange(side) + 0.5) * len(valid) / side).astype(int)
    expected = valid[np.ix_(middles, middles)]
    with both(path, side) as (vrt, own):
        found = vrt.dataset_mask().astype(bool), own.read(own.grid.window).valid
    return [float((one != expected).mean()) for one in found]


if __name__ == "__main__":
    main()
