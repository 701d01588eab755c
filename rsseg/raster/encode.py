"""From the staged blocks to the finished class map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio.shutil

from rsseg.classes import ClassTable
from rsseg.log import logger
from rsseg.raster.blocks import check_blocks_on_disk
from rsseg.raster.env import open_dataset
from rsseg.raster.grid import Grid, grid_of
from rsseg.raster.sidecar import write_sidecar
from rsseg.tiling import BLOCK

# Measured on 268 Mpx of five classes, two cores: DEFLATE level 3 takes 5.7 s for 32 MB (level 6: 11.3 s, 23 MB;
# ZSTD level 9: 7.3 s, 21 MB; ZSTD level 1: 5.4 s, 29 MB), of which overviews are 3.5 s. More threads change little.
# ZSTD is the better codec, but some programs that people open maps with cannot read it.
_COG_OPTIONS: dict[str, Any] = {
    "COMPRESS": "DEFLATE",
    "LEVEL": 3,
    "BLOCKSIZE": BLOCK,
    "OVERVIEWS": "IGNORE_EXISTING",
    "OVERVIEW_RESAMPLING": "MODE",
    "BIGTIFF": "IF_SAFER",
}


def encode_class_map(staged: Path, encoded: Path, *, grid: Grid, classes: ClassTable) -> Path:
    """Copy staged blocks into a Cloud Optimized GeoTIFF with overviews, and write its sidecar beside it.

    GDAL's COG driver holds a raster in memory when pixels are written to it, but streams when it copies one. The
    same blocks give the same bytes.

    Args:
        staged: the raw GeoTIFF.
        encoded: the file to make.
        grid: where the map has to lie.
        classes: names and colours.

    Returns:
        The sidecar.

    Raises:
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """
    rasterio.shutil.copy(str(staged), str(encoded), driver="COG", **_COG_OPTIONS)
    check_blocks_on_disk(encoded)
    sidecar = encoded.with_name(encoded.name + ".aux.xml")
    kept = _grid_at(encoded) == grid
    write_sidecar(sidecar, classes=classes, lost=None if kept else grid)
    if not kept and _grid_at(encoded) != grid:
        logger.warning("%s: GeoTIFF cannot express the georeference exactly", encoded.name)
    return sidecar


def _grid_at(path: Path) -> Grid:
    with open_dataset(path) as dataset:
        return grid_of(dataset)
