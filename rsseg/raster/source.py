"""What gives pixels window by window: a file, two files upon one another, or either of them at another pixel size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from rsseg.raster.grid import Grid
from rsseg.raster.pixels import Pixels
from rsseg.raster.swaths import Swaths
from rsseg.tiling import Window


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """What is known of a source without reading pixels; `RasterSource` explains the names."""

    path: str
    grid: Grid
    bands: tuple[int, ...]
    dtype: str
    files: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    block_shape: tuple[int, int]
    is_striped: bool
    all_valid: bool


class RasterSource(ABC):
    """The chosen bands of an open raster. Made by `open_raster`; close it, best with `with`.

    `read`, `read_once` and `read_decimated` may be called from any thread.

    Attributes:
        path: the file, as the user named it.
        grid: size and georeference.
        bands: band numbers (from 1) that become channels, in order.
        dtype: pixel type of what is read, such as `uint8`.
        files: the files on disk that it is read from: itself, sidecars, the sources of a VRT.
        notes: what the user should know about the file, one sentence each.
        warnings: what may well be wrong with it, one sentence each.
        block_shape: (rows, cols) of the blocks in which the file is stored.
        is_striped: whether it is stored in strips wider than what one usually reads of them.
        all_valid: whether no pixel can be invalid.
        pixel_bytes: of one pixel, all channels together.
        facts: all of them but the last, together.
    """

    def __init__(self, facts: SourceFacts) -> None:
        self.facts = facts
        self.path = facts.path
        self.grid = facts.grid
        self.bands = facts.bands
        self.dtype = facts.dtype
        self.files = facts.files
        self.notes = facts.notes
        self.warnings = facts.warnings
        self.block_shape = facts.block_shape
        self.is_striped = facts.is_striped
        self.all_valid = facts.all_valid
        self.pixel_bytes = len(facts.bands) * np.dtype(facts.dtype).itemsize
        self._swaths = Swaths(self._read_inside, width=facts.grid.width, pixel_bytes=self.pixel_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the files in all threads, after what they are reading."""

    @abstractmethod
    def read_decimated(self, *, max_side: int) -> Pixels:
        """Read the whole raster made smaller, for previews: by average, from overviews where the file has some.

        Args:
            max_side: bound on the longer side of the result, in pixels; smaller rasters keep their size.

        Raises:
            RasterError: a block cannot be read.
        """

    @abstractmethod
    def _read_inside(self, window: Window) -> Pixels:
        """Read a window that lies in the raster and is not empty."""

    def read(self, window: Window) -> Pixels:
        """Read the pixels of a window.

        The window may stick out of the raster; pixels out there are 0 and invalid. Of a raster in strips, the rows of
        the window are kept for the windows beside it.

        Raises:
            RasterError: a block cannot be read; the message names file and window.
        """
        return self._read_around(window, self._swaths.read if self.is_striped else self._read_inside)

    def read_once(self, window: Window) -> Pixels:
        """Read the pixels of a window as `read` does, keeping nothing for the windows beside it.

        Raises:
            RasterError: a block cannot be read; the message names file and window.
        """
        return self._read_around(window, self._read_inside)

    def _read_around(self, window: Window, read: Callable[[Window], Pixels]) -> Pixels:
        """Read a window by way of `read`, which knows the raster's inside only."""
        inside = window.intersection(self.grid.window)
        if inside == window and window.pixels:
            return read(window)
        data = np.zeros((len(self.bands), window.height, window.width), dtype=self.dtype)
        valid = np.zeros((window.height, window.width), dtype=np.bool_)
        if inside.pixels:
            rows, cols = inside.slices(window)
            pixels = read(inside)
            data[:, rows, cols], valid[rows, cols] = pixels.data, pixels.valid
        return Pixels(data, valid)

    @property
    def block_bytes(self) -> int:
        """Size of a decoded block, all channels together."""
        rows, cols = self.block_shape
        return rows * cols * self.pixel_bytes

    def swath_columns(self, rows: int) -> int:
        """How many columns of so many rows are read at a time; the whole width where the file is not striped."""
        return self._swaths.columns(rows) if self.is_striped else self.grid.width
