"""The file in which the blocks of a class map wait until all of them are there.

Each block has a place of its own, so that they can be written in any order and found again after a kill. GDAL keeps a
growing GeoTIFF's table of blocks in memory until it is closed; here the table is written at the end, by `seal`, and
until then the places are known from the grid alone. A sealed file is an uncompressed, tiled BigTIFF that GDAL opens.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.raster.grid import Grid
from rsseg.tiling import BLOCK

Block = tuple[int, int]
"""Column and row of a block in the grid of blocks."""

_BLOCK_BYTES = BLOCK * BLOCK
_SHORT, _LONG, _LONG8, _ASCII = 3, 4, 16, 2
_FORMATS = {_SHORT: "H", _LONG: "I", _LONG8: "Q", _ASCII: "B"}


class BlockFile:
    """Blocks of class ids at fixed places of a file; what a hole in it stands for is said when it is sealed.

    Args:
        path: the file.
        grid: the grid of the map.
    """

    def __init__(self, path: Path, *, grid: Grid) -> None:
        self._grid = grid
        self._cols = -(-grid.width // BLOCK)
        self._blocks = self._cols * -(-grid.height // BLOCK)
        self._start = -(-(1024 + 16 * self._blocks) // 4096) * 4096  # room for the header, then the blocks
        self._path = path
        self._file = -1

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return self._file >= 0

    def open(self) -> None:
        """Open the file; it is made if it is not there.

        Raises:
            OSError: the disk does not take it.
        """
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._file, self._start + self._blocks * _BLOCK_BYTES)

    def write(self, block: Block, classes: NDArray[np.uint8]) -> None:
        """Write class ids (rows, cols), fewer than 512 of them only at the grid's end.

        Raises:
            OSError: the disk does not take it.
        """
        rows, cols = classes.shape
        whole = np.full((BLOCK, BLOCK), NODATA_CLASS, dtype=np.uint8)
        whole[:rows, :cols] = classes
        _write_all(self._file, whole.tobytes(), self._place(block))

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        os.fdatasync(self._file)

    def seal(self, blocks: Iterable[Block]) -> None:
        """Write the header: these blocks hold classes, all others are 255."""
        offsets, sizes = [0] * self._blocks, [0] * self._blocks
        for block in blocks:
            index = self._index(block)
            offsets[index], sizes[index] = self._place(block), _BLOCK_BYTES
        header = _tiff_header(self._grid, offsets, sizes)
        assert len(header) <= self._start
        _write_all(self._file, header, 0)
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.is_open:
            os.close(self._file)
            self._file = -1

    def _index(self, block: Block) -> int:
        col, row = block
        return row * self._cols + col

    def _place(self, block: Block) -> int:
        return self._start + self._index(block) * _BLOCK_BYTES


def _write_all(file: int, data: bytes, offset: int) -> None:
    """Write at an offset, however many calls the system makes of it."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _tiff_header(grid: Grid, offsets: list[int], sizes: list[int]) -> bytes:
    """The header and directory of a BigTIFF (version 43, little-endian) with one 8-bit band in tiles of 512 pixels."""
    count = len(offsets)
    nodata = f"{NODATA_CLASS}\0".encode()
    tags: list[tuple[int, int, list[int]]] = [
        (256, _LONG, [grid.width]),
        (257, _LONG, [grid.height]),
        (258, _SHORT, [8]),  # bits per sample
        (259, _SHORT, [1]),  # no compression
        (262, _SHORT, [1]),  # 0 is black
        (277, _SHORT, [1]),  # samples per pixel
        (322, _LONG, [BLOCK]),
        (323, _LONG, [BLOCK]),
        (324, _LONG8, offsets),
        (325, _LONG8, sizes),
        (339, _SHORT, [1]),  # unsigned
        (42113, _ASCII, list(nodata)),
    ]
    directory = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(tags))
    end = len(directory) + 20 * len(tags) + 8
    values = b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{_FORMATS[kind]}", *numbers)
        if len(packed) > 8:
            place, values = struct.pack("<Q", end + len(values)), values + packed
        else:
            place = packed.ljust(8, b"\0")
        directory += struct.pack("<HHQ", tag, kind, len(numbers)) + place
    assert count == len(sizes)
    return directory + struct.pack("<Q", 0) + values
