"""A sample of the pixels of a raster, spread evenly, the same wherever and whenever it is taken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rsseg.raster.pixels import Pixels
from rsseg.raster.source import RasterSource
from rsseg.tiling import Window

_SIDE = 64
"""Rows and columns that are read in one place."""
_PLACES = 16
"""Along each side, for a sample: 1,048,576 pixels in all, or all of a raster of 1024 x 1024."""
_CHECKED_PLACES = 3
"""Along each side, for a checksum: each may be a request to a server."""


def sample_pixels(
    source: RasterSource, read: Callable[[Window], Pixels] | None = None
) -> tuple[NDArray[Any], int]:
    """Read the valid pixels of evenly spread windows, at full size.

    Overviews are not used: they differ with who made them, and may come and go beside a file. Where a raster is longer
    than 1024 pixels, it is read in 16 stretches of 64 pixels, each in the middle of a 16th of it.

    Args:
        source: the raster.
        read: reads a window of it in another way than `read_once`.

    Returns:
        Values (bands, valid pixels), and how many pixels were looked at.

    Raises:
        RasterError: a block cannot be read.
    """
    windows = _windows(source, _PLACES)
    reads = [(read or source.read_once)(window) for window in windows]
    values = np.concatenate([read.data[:, read.valid] for read in reads], axis=1)
    return values, sum(window.pixels for window in windows)


def checksum_pixels(source: RasterSource) -> int:
    """A checksum of the pixels in 3 by 3 places, at full size: another image has another one, but for a part of it.

    Raises:
        RasterError: a block cannot be read.
    """
    total = 0
    for window in _windows(source, _CHECKED_PLACES):
        read = source.read_once(window)
        total = crc32(np.packbits(read.valid).tobytes(), crc32(read.data.tobytes(), total))
    return total


def _windows(source: RasterSource, places: int) -> list[Window]:
    stretches = [_stretches(length, places) for length in (source.grid.height, source.grid.width)]
    return [Window.of(cols, rows) for rows, cols in product(*stretches)]


def _stretches(length: int, places: int) -> list[range]:
    """The parts of one axis that are looked at: all of it, or stretches of 64 pixels in so many places."""
    if length <= places * _SIDE:
        return [range(first, min(first + _SIDE, length)) for first in range(0, length, _SIDE)]
    middles = [(2 * place + 1) * length // (2 * places) for place in range(places)]
    return [range(middle - _SIDE // 2, middle + _SIDE // 2) for middle in middles]
