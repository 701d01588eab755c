"""Pictures to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from rsseg.files import write_file
from rsseg.raster.env import georeference_optional


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write a PNG; an existing one is replaced.

    It is encoded in memory, so that GDAL leaves no sidecar beside it and the file appears complete or not at all.

    Args:
        path: the picture to be.
        rgb: (rows, cols, 3), or 4 with alpha.

    Raises:
        ResourceError: the file cannot be written.
    """
    rows, cols, bands = rgb.shape
    with georeference_optional(), MemoryFile(ext=".png") as memory:
        with memory.open(driver="PNG", width=cols, height=rows, count=bands, dtype="uint8") as dataset:
            dataset.write(np.moveaxis(rgb, 2, 0))
        encoded = memory.read()
    write_file(path, encoded)
