"""Reading files that are stored in strips as wide as the raster, without decoding each strip once per tile.

A window of such a file costs as much as all of its rows. So these rows are read once, as a swath, and the windows of
the same rows that follow are cut from it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from rsseg.raster.pixels import Pixels
from rsseg.tiling import BLOCK, Window

SWATH_BYTES = 48 * 2**20
"""Bound on the pixels of a swath; wider rasters are read in several swaths side by side."""
KEPT = 3
"""How many swaths are kept: those of one row of tiles, at the seam of two swaths, and of the next row."""


class Swaths:
    """Reads windows through swaths of the same rows; any thread may call `read`.

    Args:
        read: reads a window of the file, inside the raster.
        width: of the raster, in pixels.
        pixel_bytes: of one pixel, all bands together.
    """

    def __init__(self, read: Callable[[Window], Pixels], *, width: int, pixel_bytes: int) -> None:
        self._read = read
        self._width = width
        self._pixel_bytes = pixel_bytes
        self._kept: OrderedDict[Window, Future[Pixels]] = OrderedDict()
        self._lock = threading.Lock()

    def columns(self, rows: int) -> int:
        """How wide a swath of so many rows is, in pixels."""
        return max(BLOCK, SWATH_BYTES // (rows * self._pixel_bytes) // BLOCK * BLOCK)

    def read(self, window: Window) -> Pixels:
        """Read a window that lies in the raster.

        Raises:
            RasterError: a strip cannot be decoded.
        """
        columns = self.columns(window.height)
        first, last = window.col_off // columns, (window.cols.stop - 1) // columns
        parts = [self._part(window, index * columns, columns) for index in range(first, last + 1)]
        if len(parts) == 1:
            return parts[0]
        data = np.concatenate([part.data for part in parts], axis=2)
        return Pixels(data, np.concatenate([part.valid for part in parts], axis=1))

    def _part(self, window: Window, start: int, columns: int) -> Pixels:
        """What a swath holds of a window."""
        stop = min(start + columns, self._width)
        swath = Window(start, window.row_off, stop - start, window.height)
        pixels = self._swath(swath)
        rows, cols = window.intersection(swath).slices(swath)
        return Pixels(pixels.data[:, rows, cols].copy(), pixels.valid[rows, cols].copy())

    def _swath(self, swath: Window) -> Pixels:
        """The pixels of a swath: kept, being read by another thread, or read now."""
        with self._lock:
            future = self._kept.get(swath)
            mine = future is None
            if future is None:
                future = self._kept[swath] = Future()
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(swath)
        if mine:
            try:
                future.set_result(self._read(swath))
            except BaseException as err:  # noqa: BLE001 - raised by `result` in every thread that waits
                future.set_exception(err)
                with self._lock:
                    self._kept.pop(swath, None)
        return future.result()
