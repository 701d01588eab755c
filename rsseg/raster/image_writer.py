"""Writing images: staged beside the output, renamed when complete."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray

from rsseg.raster.blocks import check_blocks_on_disk
from rsseg.raster.env import GDAL_ERRORS, georeference_optional
from rsseg.raster.grid import Grid, place_on_grid
from rsseg.raster.staging import StagingFolder, disk_errors
from rsseg.tiling import BLOCK, Window

_LARGE_BYTES = 2**31


class ImageWriter:
    """Writes an image as tiled GeoTIFF (DEFLATE, blocks of 512), BigTIFF where it may grow past 4 GB.

    Windows that are whole blocks are fastest; others are recompressed and waste space. One thread writes at a time (a
    lock sees to it). Leaving the `with` without `finish` leaves nothing behind.

    Args:
        path: the image to be.
        grid: its size and georeference.
        bands: how many bands.
        dtype: their type.
        nodata: value of pixels without data, also where nothing is written; None for none.
        overwrite: whether an existing image may be replaced.

    Raises:
        OptionError, ResourceError: see `check_output`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        grid: Grid,
        bands: int,
        dtype: str = "uint8",
        nodata: float | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.grid = grid
        self._folder = StagingFolder(self.path, overwrite=overwrite)
        self._lock = threading.Lock()
        self._staged = self._folder.path / "image.tif"
        self._dataset: Any = None
        size = grid.width * grid.height * bands * np.dtype(dtype).itemsize
        self._profile = {
            "count": bands,
            "dtype": dtype,
            "nodata": nodata,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "deflate",
            "predictor": 3 if np.dtype(dtype).kind == "f" else 2,
            "zlevel": 1,
            "interleave": "pixel",
            "photometric": "rgb" if bands == 3 else "minisblack",
            "BIGTIFF": "YES" if size > _LARGE_BYTES else "NO",
        }

    def __enter__(self) -> Self:
        # Here and not in the constructor: an interrupt between the two would leave the folder behind.
        try:
            self._folder.make()
            with disk_errors(f"{self._staged}: cannot be created"), georeference_optional():
                self._dataset = rasterio.open(
                    self._staged,
                    "w",
                    driver="GTiff",
                    width=self.grid.width,
                    height=self.grid.height,
                    **self._profile,
                )
                place_on_grid(self._dataset, self.grid)
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, window: Window, data: NDArray[Any]) -> None:
        """Write pixels (bands, rows, cols) at a window inside the raster.

        Raises:
            ResourceError: the disk does not take it.
        """
        where = rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._dataset.write(data, window=where)

    def finish(self) -> None:
        """Complete the file and put it in place.

        Raises:
            ResourceError: the disk does not take it.
        """
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._dataset.close()
            check_blocks_on_disk(self._staged)
        self._folder.publish({self._staged: self.path})

    def abort(self) -> None:
        """Drop what was written; does nothing after `finish`."""
        if self._dataset is not None:
            with self._lock, suppress(*GDAL_ERRORS):
                self._dataset.close()
        self._folder.remove()
