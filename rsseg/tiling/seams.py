"""Where tiles meet, and tiles laid over these places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rsseg.tiling.plan import Axis, Tile, check_tile
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


class SeamPlan(Sequence[Seam]):
    """All places where the tiles of a raster meet, row by row; made by `plan_seams`. Each is computed when asked for.

    Args:
        cols: the axis of the plan along the rows.
        rows: the same from top to bottom.
        stride: the network's output stride, in pixels.
    """

    def __init__(self, cols: Axis, rows: Axis, *, stride: int) -> None:
        self._cols = cols
        self._rows = rows
        self._stride = stride
        # An axis that one tile spans has no edge; it is one stretch of the tiles over the other's edges.
        self._per_row = max(cols.count - 1, 1)
        self._count = self._per_row * max(rows.count - 1, 1) if cols.count * rows.count > 1 else 0

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Seam: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Seam]: ...
    def __getitem__(self, index: int | slice) -> Seam | Sequence[Seam]:
        """The seam at a place of the order, or a list of some of them."""
        places = range(self._count)[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        row, col = divmod(places, self._per_row)
        (cols_read, cols_kept, col_edge) = self._shifted(self._cols, col)
        (rows_read, rows_kept, row_edge) = self._shifted(self._rows, row)
        tile = Tile(Window.of(cols_read, rows_read), Window.of(cols_kept, rows_kept))
        return Seam(tile, col=col_edge, row=row_edge)

    def _shifted(self, axis: Axis, index: int) -> tuple[range, range, int | None]:
        """One axis of a shifted tile: a stretch to read, the stretch of it to keep, and the edge in its middle."""
        if axis.count == 1:
            return axis.read(0), axis.kept(0), None
        edge = (index + 1) * axis.keep
        start = edge - axis.keep + axis.keep // 2 // self._stride * self._stride
        return axis.read_around(start), range(start, min(start + axis.keep, axis.length)), edge


def plan_seams(width: int, height: int, *, tile: int, halo: int, stride: int) -> SeamPlan:
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
    cols = Axis.of(width, tile=tile, halo=halo, stride=stride)
    rows = Axis.of(height, tile=tile, halo=halo, stride=stride)
    return SeamPlan(cols, rows, stride=stride)


def _near(stretch: range, edge: int | None, distance: int) -> NDArray[np.bool_]:
    """Which pixels of a stretch lie at most `distance` pixels beside an edge."""
    if edge is None:
        return np.zeros(len(stretch), dtype=np.bool_)
    pixels = np.arange(stretch.start, stretch.stop)
    return (pixels >= edge - distance) & (pixels < edge + distance)
