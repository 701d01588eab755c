"""Which part of a raster is read and decided together.

The grid is anchored at the raster's origin and the raster counts as padded, to the right and below, to a multiple
of the network's stride, just as the network pads it when it sees all of it at once. Reads never leave that padded
raster: near its border they are shifted inwards by multiples of the stride. So a network that looks at most `halo`
pixels far decides every kept pixel as it would on the whole raster.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from rsseg.errors import OptionError
from rsseg.tiling.window import Window

BLOCK = 512
"""Side of the squares in which a class map is stored, in pixels."""

BAND_WIDTH = 8192
"""Tiles are listed in bands of columns about this wide, so that few blocks are open at a time in any raster."""


@dataclass(frozen=True)
class Tile:
    """The unit of prediction: the network sees `read` and decides `keep`.

    `read` may stick out of the raster, to the right and below, by less than the stride.
    """

    read: Window
    keep: Window


class TilePlan(Sequence[Tile]):
    """The tiles of a raster in the order in which they are predicted; made by `plan_tiles`.

    Each is computed when it is asked for, so a plan takes no memory whatever the size of the raster.

    Args:
        cols: what is read and kept along the rows.
        rows: the same from top to bottom.
        band: how many columns of tiles are listed before the next row of them.
    """

    def __init__(self, cols: Axis, rows: Axis, *, band: int) -> None:
        self._cols = cols
        self._rows = rows
        self._band = band

    @property
    def band_width(self) -> int:
        """Width of a band, in pixels of what is kept; the last one may be narrower."""
        return min(self._band * self._cols.keep, self._cols.length)

    def __len__(self) -> int:
        return self._cols.count * self._rows.count

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tile]: ...
    def __getitem__(self, index: int | slice) -> Tile | Sequence[Tile]:
        """The tile at a place of the order, or some of them."""
        places = range(len(self))[index]
        if isinstance(places, range):
            return ChosenTiles(self, places)
        band, place = divmod(places, self._band * self._rows.count)
        first = band * self._band
        row, col = divmod(place, min(self._band, self._cols.count - first))
        return self._tile(first + col, row)

    def _tile(self, col: int, row: int) -> Tile:
        read = Window.of(self._cols.read(col), self._rows.read(row))
        return Tile(read=read, keep=Window.of(self._cols.kept(col), self._rows.kept(row)))


class ChosenTiles(Sequence[Tile]):
    """Some tiles of a plan, known by their places in it: 8 bytes for each, or none for a range of them."""

    def __init__(self, tiles: Sequence[Tile], places: Iterable[int]) -> None:
        self._tiles = tiles
        self._places = places if isinstance(places, range) else array("q", places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Tile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tile]: ...
    def __getitem__(self, index: int | slice) -> Tile | Sequence[Tile]:
        """The tile at a place of the choice, or some of them."""
        if isinstance(index, slice):
            return ChosenTiles(self._tiles, self._places[index])
        return self._tiles[self._places[index]]


def choose_tiles(tiles: Sequence[Tile], wanted: Callable[[Tile], bool]) -> ChosenTiles:
    """The tiles for which `wanted` is true, in their order."""
    return ChosenTiles(tiles, (place for place, tile in enumerate(tiles) if wanted(tile)))


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a plan: what is kept are cells of `keep` pixels that partition [0, length).

    Reads never leave [0, end), where `end` is the padded length.
    """

    length: int
    end: int
    tile: int
    halo: int
    keep: int

    @classmethod
    def of(cls, length: int, *, tile: int, halo: int, stride: int) -> Axis:
        """The axis of a raster so many pixels long; where one tile covers all of it, it is read and kept whole."""
        end = padded_length(length, stride=stride)
        if end <= tile:
            return cls(length=length, end=end, tile=end, halo=0, keep=end)
        return cls(length=length, end=end, tile=tile, halo=halo, keep=tile - 2 * halo)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return -(-self.length // self.keep)

    def kept(self, index: int) -> range:
        """A cell."""
        start = index * self.keep
        return range(start, min(start + self.keep, self.length))

    def read(self, index: int) -> range:
        """What is read for a cell."""
        return self.read_around(index * self.keep)

    def read_around(self, start: int) -> range:
        """What is read for a stretch of `keep` pixels that begins at `start`."""
        first = min(max(start - self.halo, 0), self.end - self.tile)
        return range(first, first + self.tile)


def plan_tiles(
    width: int, height: int, *, tile: int, halo: int, stride: int, band_width: int = BAND_WIDTH
) -> TilePlan:
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
        band_width: about how wide a band is, in pixels; a raster that is no wider is one band.

    Raises:
        OptionError: sizes are no multiples of the stride, or the halo leaves nothing to keep.
    """
    check_tile(tile=tile, halo=halo, stride=stride)
    cols = Axis.of(width, tile=tile, halo=halo, stride=stride)
    rows = Axis.of(height, tile=tile, halo=halo, stride=stride)
    band = cols.count if width <= band_width else _tiles_per_band(tile - 2 * halo, band_width)
    return TilePlan(cols, rows, band=band)


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


def _tiles_per_band(keep: int, band_width: int) -> int:
    """How many tiles make about the width of a band and end on an edge of the block grid."""
    aligned = math.lcm(keep, BLOCK) // keep
    return aligned * max(1, band_width // (aligned * keep))
