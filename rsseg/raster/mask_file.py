"""Small numbers, one to a pixel and mostly 0, that wait in a file beside the output."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray

from rsseg.files import sync_file
from rsseg.raster.blocks import check_blocks_on_disk, iter_blocks
from rsseg.raster.env import GDAL_ERRORS, damage_is_an_error, georeference_optional, open_dataset
from rsseg.tiling import BLOCK, Window


class MaskWriter:
    """Writes such a file; blocks of zeros take no place. Leaving the `with` block checks it and brings it to the disk.

    Raises:
        OSError: the disk does not take it; or one of `GDAL_ERRORS`.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path = path
        self._written: set[tuple[int, int]] = set()
        with georeference_optional():
            self._dataset: Any = rasterio.open(
                path,
                "w",
                driver="GTiff",
                width=width,
                height=height,
                count=1,
                dtype="uint8",
                tiled=True,
                blockxsize=BLOCK,
                blockysize=BLOCK,
                compress="DEFLATE",
                zlevel=1,
                sparse_ok=True,
                bigtiff="IF_SAFER",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(OSError, *GDAL_ERRORS):  # what has gone wrong first is what is told
                self._dataset.close()
            return
        self._dataset.close()
        check_blocks_on_disk(self._path, self._written)
        sync_file(self._path)

    def write(self, window: Window, numbers: NDArray[np.uint8]) -> None:
        """Write (rows, cols) at a window that begins and ends at multiples of 512 or the raster's edge."""
        for col, row in iter_blocks(window):
            part = Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK).intersection(window)
            values = numbers[part.slices(window)]
            if values.any():
                self._dataset.write(values, 1, window=_gdal_window(part))
                self._written.add((col, row))


class MaskFile:
    """Reads such a file, from any thread in turns.

    There is one handle for all threads, which stays good when the file is removed; opening more would not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._dataset = open_dataset(path)

    def close(self) -> None:
        """Close it, after what is being read."""
        with self._lock:
            self._dataset.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read the numbers (rows, cols) of a window that lies in the raster.

        Raises:
            RasterError: a block cannot be read.
        """
        with self._lock, damage_is_an_error(f"{self._path}: cannot read {window}"):
            numbers: NDArray[np.uint8] = self._dataset.read(1, window=_gdal_window(window))
        return numbers


def _gdal_window(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
