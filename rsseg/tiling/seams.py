"""Where tiles meet, and tiles laid over these places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.tiling.plan import Tile, check_tile, padded_length, read_around
from rsseg.tiling.window import Window


@dataclass(frozen=True)
class Seam:
    """A place where kept parts meet, and a tile that decides what lies around it.

    `col` and `row` are the first pixels beyond the edges that cross there; None where one tile spans that axis.
    """

    tile: Tile
    col: int | None
    row: int | None

    def near(self, distance: int) -> NDArray[np.bool_]:
        """Which pixels of the tile's keep (rows, cols) lie at most `distance` pixels beside an edge."""
        cols = _near(self.tile.keep.cols, self.col, distance)
        rows = _near(self.tile.keep.rows, self.row, distance)
        return rows[:, None] | cols[None, :]


def plan_seams(width: int, height: int, *, tile: int, halo: int, stride: int) -> list[Seam]:
    """List the places where the tiles of `plan_tiles` meet, each with a tile shifted by half a keep.

    Where both axes are divided that is every corner at which four tiles meet. The shift is a multiple of the stride,
    so that the network sees the raster on the same grid; a keep below two strides cannot be shifted.

    Args:
        width: raster columns, in pixels.
        height: raster rows, in pixels.
        tile: side of what the network reads, in pixels.
        halo: margin around what it decides, in pixels.
        stride: the network's output stride, in pixels.

    Raises:
        OptionError: see `plan_tiles`.
    """
    check_tile(tile=tile, halo=halo, stride=stride)
    cols = _shifted_spans(width, tile=tile, halo=halo, stride=stride)
    rows = _shifted_spans(height, tile=tile, halo=halo, stride=stride)
    return [
        Seam(Tile(Window.of(col.read, row.read), Window.of(col.keep, row.keep)), col=col.edge, row=row.edge)
        for row in rows
        for col in cols
        if (col.edge, row.edge) != (None, None)
    ]


class _ShiftedSpan(NamedTuple):
    """One axis of a shifted tile: a stretch to read, the stretch of it to keep, and the edge in its middle."""

    read: range
    keep: range
    edge: int | None


def _shifted_spans(length: int, *, tile: int, halo: int, stride: int) -> list[_ShiftedSpan]:
    end, keep = padded_length(length, stride=stride), tile - 2 * halo
    if end <= tile:
        return [_ShiftedSpan(range(end), range(length), None)]
    before = keep - keep // 2 // stride * stride
    return [
        _ShiftedSpan(
            read_around(edge - before, end=end, tile=tile, halo=halo),
            range(edge - before, min(edge - before + keep, length)),
            edge,
        )
        for edge in range(keep, length, keep)
    ]


def _near(stretch: range, edge: int | None, distance: int) -> NDArray[np.bool_]:
    """Which pixels of a stretch lie at most `distance` pixels beside an edge."""
    if edge is None:
        return np.zeros(len(stretch), dtype=np.bool_)
    pixels = np.arange(stretch.start, stretch.stop)
    return (pixels >= edge - distance) & (pixels < edge + distance)
