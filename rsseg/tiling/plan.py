"""Which part of a raster is read and decided together.

The grid is anchored at the raster's origin and the raster counts as padded, to the right and below, to a multiple
of the network's stride, just as the network pads it when it sees all of it at once. Reads never leave that padded
raster: near its border they are shifted inwards by multiples of the stride. So a network that looks at most `halo`
pixels far decides every kept pixel as it would on the whole raster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from rsseg.errors import OptionError
from rsseg.tiling.window import Window

BLOCK = 512
"""Side of the squares in which a class map is stored, in pixels."""

_BAND_WIDTH = 8192
"""Tiles are listed in bands of columns about this wide, so that few blocks are open at a time in any raster."""


@dataclass(frozen=True)
class Tile:
    """The unit of prediction: the network sees `read` and decides `keep`.

    `read` may stick out of the raster, to the right and below, by less than the stride.
    """

    read: Window
    keep: Window


class _Span(NamedTuple):
    """One axis of a tile: a stretch to read and the stretch of it to keep."""

    read: range
    keep: range


def plan_tiles(width: int, height: int, *, tile: int, halo: int, stride: int) -> list[Tile]:
    """List the tiles of a raster in the order in which they are predicted.

    The kept parts partition the raster: cells of a grid of `tile - 2 * halo` pixels. All reads have the same size,
    start at multiples of `stride` and hold `halo` pixels around `keep`, except where the raster ends. Order: bands
    of columns from left to right, within a band row by row; a band ends where an edge of the tile grid falls on an
    edge of the block grid, so that no block belongs to two bands.

    Args:
        width: raster columns, in pixels.
        height: raster rows, in pixels.
        tile: side of what the network reads, in pixels.
        halo: margin around what it decides, in pixels.
        stride: the network's output stride, in pixels; 1 for a network that looks at single pixels.

    Raises:
        OptionError: sizes are no multiples of the stride, or the halo leaves nothing to keep.
    """
    check_tile(tile=tile, halo=halo, stride=stride)
    cols = _spans(width, tile=tile, halo=halo, stride=stride)
    rows = _spans(height, tile=tile, halo=halo, stride=stride)
    per_band = _tiles_per_band(tile - 2 * halo)
    return [
        Tile(read=Window.of(col.read, row.read), keep=Window.of(col.keep, row.keep))
        for first in range(0, len(cols), per_band)
        for row in rows
        for col in cols[first : first + per_band]
    ]


def plan_blocks(width: int, height: int, *, block: int) -> list[Window]:
    """List the cells of a grid of `block` pixels, row by row; they partition the raster."""
    return [
        Window.of(range(col, min(col + block, width)), range(row, min(row + block, height)))
        for row in range(0, height, block)
        for col in range(0, width, block)
    ]


def check_tile(*, tile: int, halo: int, stride: int) -> None:
    """Refuse a tile that the network cannot see or that leaves nothing to keep.

    Raises:
        OptionError: see `plan_tiles`.
    """
    if tile < stride:
        raise OptionError(
            f"tile is {tile} px; the network needs at least its stride, {stride} px",
            hint=f"choose a --tile that is a multiple of {stride}, such as {16 * stride}",
        )
    if halo < 0:
        raise OptionError(f"halo is {halo} px; it cannot be negative")
    for name, size in (("tile", tile), ("halo", halo)):
        if size % stride:
            raise OptionError(
                f"{name} is {size} px; it must be a multiple of the network's stride, {stride} px",
                hint=f"the nearest is --{name} {round(size / stride) * stride}",
            )
    if 2 * halo >= tile:
        raise OptionError(
            f"halo is {halo} px on each side of a tile of {tile} px; nothing is left to keep",
            hint="choose a larger --tile or a smaller --halo",
        )


def padded_length(length: int, *, stride: int) -> int:
    """The smallest multiple of `stride` that is at least `length`."""
    return -(-length // stride) * stride


def _tiles_per_band(keep: int) -> int:
    """How many tiles make about the width of a band and end on an edge of the block grid."""
    aligned = math.lcm(keep, BLOCK) // keep
    return aligned * max(1, _BAND_WIDTH // (aligned * keep))


def _spans(length: int, *, tile: int, halo: int, stride: int) -> list[_Span]:
    """Cells of one axis with what is read for them; the kept parts partition [0, length)."""
    end = padded_length(length, stride=stride)
    if end <= tile:
        return [_Span(read=range(end), keep=range(length))]
    keep = tile - 2 * halo
    spans = []
    for start in range(0, length, keep):
        read = read_around(start, end=end, tile=tile, halo=halo)
        spans.append(_Span(read, range(start, min(start + keep, length))))
    return spans


def read_around(start: int, *, end: int, tile: int, halo: int) -> range:
    """What is read along one axis for a kept part that begins at `start`: it never leaves [0, end)."""
    first = min(max(start - halo, 0), end - tile)
    return range(first, first + tile)
