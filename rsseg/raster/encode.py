"""From sealed blocks to finished rasters: Cloud Optimized GeoTIFFs with georeference, names and overviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.log import logger
from rsseg.raster.blocks import check_blocks_on_disk
from rsseg.raster.env import georeference_optional, open_dataset
from rsseg.raster.grid import Grid, grid_of, place_on_grid
from rsseg.raster.layers import CERTAIN
from rsseg.raster.sidecar import write_sidecar
from rsseg.tiling import BLOCK

# Measured on 268 Mpx of five classes, two cores: DEFLATE level 3 takes 5.7 s for 32 MB (level 6: 11.3 s, 23 MB;
# ZSTD level 9: 7.3 s, 21 MB; ZSTD level 1: 5.4 s, 29 MB), of which overviews are 3.5 s. ZSTD is the better codec, but
# some programs that people open maps with cannot read it. A second thread halves the time; with any number of them the
# bytes are the same.
_COG_OPTIONS: dict[str, Any] = {
    "COMPRESS": "DEFLATE",
    "LEVEL": 3,
    "BLOCKSIZE": BLOCK,
    "OVERVIEWS": "IGNORE_EXISTING",
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": "ALL_CPUS",
}


def encode_class_map(
    staged: Path, encoded: Path, *, grid: Grid, classes: ClassTable, tags: Mapping[str, str]
) -> Path:
    """Make a class map of staged blocks, with a palette and overviews by the commonest class, and its sidecar.

    The same blocks give the same bytes.

    Args:
        staged: the sealed file; it is described in place.
        encoded: the file to make.
        grid: where the map has to lie.
        classes: names and colours.
        tags: provenance.

    Returns:
        The sidecar, beside the map.

    Raises:
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """
    colors = {value: (*rgb, 255) for value, rgb in classes.colormap().items()}
    with georeference_optional(), rasterio.open(staged, "r+") as dataset:
        place_on_grid(dataset, grid)
        dataset.write_colormap(1, colors | {NODATA_CLASS: (0, 0, 0, 0)})
        dataset.update_tags(**tags)
    _copy(staged, encoded, OVERVIEW_RESAMPLING="MODE")
    sidecar = _sidecar(encoded)
    write_sidecar(sidecar, classes=classes, lost=_lost(encoded, grid))
    _check_place(encoded, grid)
    return sidecar


def encode_probabilities(
    staged: Path, encoded: Path, *, grid: Grid, names: Sequence[str], tags: Mapping[str, str]
) -> Path | None:
    """Make a raster of probabilities of staged blocks, with named bands and overviews by average.

    Its bands say by their scale that 0 to 254 stand for 0 to 1. The same blocks give the same bytes.

    Args:
        staged: the sealed file; it is described in place.
        encoded: the file to make.
        grid: where it has to lie.
        names: of its bands.
        tags: provenance.

    Returns:
        The sidecar, where the raster needs one.

    Raises:
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """
    with georeference_optional(), rasterio.open(staged, "r+") as dataset:
        place_on_grid(dataset, grid)
        dataset.descriptions = tuple(names)
        dataset.scales = (1 / CERTAIN,) * len(names)
        dataset.update_tags(**tags)
    _copy(staged, encoded, OVERVIEW_RESAMPLING="AVERAGE", PREDICTOR="STANDARD")
    lost, sidecar = _lost(encoded, grid), _sidecar(encoded)
    if lost is not None:
        write_sidecar(sidecar, lost=lost)
        _check_place(encoded, grid)
    return sidecar if sidecar.exists() else None


def _copy(staged: Path, encoded: Path, **options: str) -> None:
    """Copy into a COG; GDAL's driver holds a raster in memory when pixels are written to it, but streams a copy."""
    # Overviews are made of parts as wide as the raster and so many rows high, of a palette as colours. With GDAL's own
    # choice of rows that takes 486 MB at a width of 200,000 px; with this one 150 MB, for the same bytes, as quickly.
    with rasterio.Env(GDAL_OVR_CHUNKYSIZE=64):
        rasterio.shutil.copy(str(staged), str(encoded), driver="COG", **_COG_OPTIONS, **options)
    check_blocks_on_disk(encoded)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".aux.xml")


def _lost(path: Path, grid: Grid) -> Grid | None:
    """The grid, where the file itself cannot say where it lies."""
    return None if _grid_at(path) == grid else grid


def _check_place(path: Path, grid: Grid) -> None:
    if _grid_at(path) != grid:
        logger.warning("%s: GeoTIFF cannot express the georeference exactly", path.name)


def _grid_at(path: Path) -> Grid:
    with open_dataset(path) as dataset:
        return grid_of(dataset)
