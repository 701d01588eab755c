"""The file in which the blocks of a layer wait until all of them are there.

Each block has a place of its own, so that they can be written in any order and found again after a kill. GDAL keeps a
growing GeoTIFF's table of blocks in memory until it is closed; here the table is written at the end, by `seal`, and
until then the places are known from the grid alone. A sealed file is an uncompressed, tiled BigTIFF that GDAL opens.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.raster.grid import Grid
from rsseg.tiling import BLOCK

Block = tuple[int, int]
"""Column and row of a block in the grid of blocks."""

_BAND_BYTES = BLOCK * BLOCK
_SHORT, _LONG, _LONG8, _ASCII = 3, 4, 16, 2
_TYPES = {_SHORT: "<u2", _LONG: "<u4", _LONG8: "<u8", _ASCII: "u1"}
_PLANES = 2
"""TIFF's number for bands that are stored one by one and not pixel by pixel."""


class BlockFile:
    """Blocks of 8-bit bands at fixed places of a file; what a hole in it stands for is said when it is sealed.

    The bands of a block lie one behind the other, so that a block is one write.

    Args:
        path: the file.
        grid: the grid of the map; only its size counts.
        bands: how many bands.
    """

    def __init__(self, path: Path, *, grid: Grid, bands: int = 1) -> None:
        self.path = path
        self._grid = grid
        self._bands = bands
        self._cols = -(-grid.width // BLOCK)
        self._blocks = self._cols * -(-grid.height // BLOCK)
        self._start = -(-(1024 + bands * (8 + 16 * self._blocks)) // 4096) * 4096  # room for the header
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
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._file, self._start + self._blocks * self._bands * _BAND_BYTES)

    def write(self, block: Block, pixels: NDArray[np.uint8]) -> None:
        """Write (bands, rows, cols), fewer than 512 rows or columns only at the grid's end.

        Raises:
            OSError: the disk does not take it.
        """
        bands, rows, cols = pixels.shape
        assert bands == self._bands
        whole = np.full((bands, BLOCK, BLOCK), NODATA_CLASS, dtype=np.uint8)
        whole[:, :rows, :cols] = pixels
        _write_all(self._file, whole.data.cast("B"), self._start + self._index(block) * bands * _BAND_BYTES)

    def read(self, block: Block) -> NDArray[np.uint8]:
        """Read (bands, 512, 512) of a block that was written.

        Raises:
            OSError: the disk does not give it.
        """
        size = self._bands * _BAND_BYTES
        content = os.pread(self._file, size, self._start + self._index(block) * size)
        return np.frombuffer(content, dtype=np.uint8).reshape(self._bands, BLOCK, BLOCK)

    def sync(self) -> None:
        """Wait until all that was written is on the disk.

        Raises:
            OSError: the disk did not take it.
        """
        os.fdatasync(self._file)
        os.stat(self.path)  # noqa: PTH116 - a folder that was taken away would else be missed only at the end

    def checksum(self, blocks: Iterable[Block]) -> int:
        """A checksum of these blocks, in this order, as they lie in the file now; what is cut off counts as nothing."""
        total, size = 0, self._bands * _BAND_BYTES
        if not self.path.exists():
            return total
        with self.path.open("rb") as file:
            for block in blocks:
                total = crc32(os.pread(file.fileno(), size, self._start + self._index(block) * size), total)
        return total

    def seal(self, blocks: Iterable[Block]) -> None:
        """Write the header: these blocks hold data, all others are 255.

        Raises:
            OSError: the disk does not take it.
        """
        filled = np.array([self._index(block) for block in blocks], dtype=np.int64)
        offsets = np.zeros((self._bands, self._blocks), dtype=np.uint64)
        sizes = np.zeros_like(offsets)
        for band in range(self._bands):
            offsets[band, filled] = self._start + (filled * self._bands + band) * _BAND_BYTES
            sizes[band, filled] = _BAND_BYTES
        header = _tiff_header(self._grid, self._bands, offsets=offsets, sizes=sizes)
        assert len(header) <= self._start
        _write_all(self._file, memoryview(header), 0)
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.is_open:
            os.close(self._file)
            self._file = -1

    def _index(self, block: Block) -> int:
        col, row = block
        return row * self._cols + col


def _write_all(file: int, rest: memoryview, offset: int) -> None:
    """Write bytes at an offset, however many calls the system makes of it."""
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _tiff_header(grid: Grid, bands: int, *, offsets: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> bytes:
    """The header and directory of a BigTIFF (version 43, little-endian) with 8-bit bands in tiles of 512 pixels."""
    several = bands > 1
    tags: list[tuple[int, int, list[int] | NDArray[np.uint64]]] = [
        (256, _LONG, [grid.width]),
        (257, _LONG, [grid.height]),
        (258, _SHORT, [8] * bands),  # bits per sample
        (259, _SHORT, [1]),  # no compression
        (262, _SHORT, [1]),  # 0 is black
        (277, _SHORT, [bands]),  # samples per pixel
        *([(284, _SHORT, [_PLANES])] if several else []),
        (322, _LONG, [BLOCK]),
        (323, _LONG, [BLOCK]),
        (324, _LONG8, offsets.ravel()),
        (325, _LONG8, sizes.ravel()),
        *([(338, _SHORT, [0] * (bands - 1))] if several else []),  # extra samples that are nothing special
        (339, _SHORT, [1] * bands),  # unsigned
        (42113, _ASCII, list(f"{NODATA_CLASS}\0".encode())),
    ]
    directory = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(tags))
    end = len(directory) + 20 * len(tags) + 8
    values: list[bytes] = []
    for tag, kind, numbers in tags:
        packed = np.asarray(numbers).astype(_TYPES[kind]).tobytes()
        directory += struct.pack("<HHQ", tag, kind, len(numbers))
        if len(packed) > 8:
            directory += struct.pack("<Q", end)
            values.append(packed)
            end += len(packed)
        else:
            directory += packed.ljust(8, b"\0")
    return b"".join([directory, struct.pack("<Q", 0), *values])
