"""Which tiles have a part in the average of a pixel, and how large a part.

Tiles are those of `plan_tiles`. Across each edge between kept parts, from half a halo before it to half a halo beyond,
the weight goes in a straight line from one tile to the next. So the weights of all tiles sum to 1 at every pixel, and
the outer half of a halo only gives surroundings: with a halo of at least twice what the network sees, the tiles agree
wherever they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from rsseg.tiling.plan import BAND_WIDTH, Axis, Tile, plan_tiles
from rsseg.tiling.window import Window


@dataclass(frozen=True)
class BlendTile(Tile):
    """A tile whose `keep` is all in whose average it has a part; `core` is what it would keep if it decided alone."""

    core: Window


class Cell(NamedTuple):
    """Pixels that the same tiles have a part in, and how many tiles these are."""

    window: Window
    tiles: int


class BlendPlan(Sequence[BlendTile]):
    """The tiles of a raster in the order in which they are averaged; made by `plan_blend`.

    Each is computed when it is asked for. The tiles on either side of an edge between two bands of columns are listed
    in both bands, each time with what lies in that band as `keep`, so that nothing has to wait for the next band.

    Args:
        cols: what is read and kept along the rows.
        rows: the same from top to bottom.
        band: how many columns of tiles make a band.
    """

    def __init__(self, cols: Axis, rows: Axis, *, band: int) -> None:
        self._cols = cols
        self._rows = rows
        self._band = band
        self._ramps = (_ramp(rows), _ramp(cols))
        self._beyond = 1 if self._ramps[1] else 0  # columns of tiles that a band shares with the next one
        self._bands = -(-cols.count // band)

    def __len__(self) -> int:
        return (self._cols.count + 2 * self._beyond * (self._bands - 1)) * self._rows.count

    @overload
    def __getitem__(self, index: int) -> BlendTile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BlendTile]: ...
    def __getitem__(self, index: int | slice) -> BlendTile | Sequence[BlendTile]:
        """The tile at a place of the order, or a list of some of them."""
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        listed = self._band + 2 * self._beyond
        band = min((places // self._rows.count + self._beyond) // listed, self._bands - 1)
        before = max(band * listed - self._beyond, 0) * self._rows.count
        first, last = band * self._band, min((band + 1) * self._band, self._cols.count)
        start, stop = max(first - self._beyond, 0), min(last + self._beyond, self._cols.count)
        row, col = divmod(places - before, stop - start)
        return self._tile(start + col, row, within=range(first * self._cols.keep, last * self._cols.keep))

    def _tile(self, col: int, row: int, *, within: range) -> BlendTile:
        cols, rows = self._cols, self._rows
        core = Window.of(cols.kept(col), rows.kept(row))
        keep = Window.of(
            _shared(_widened(core.cols, self._ramps[1], cols.length), within),
            _widened(core.rows, self._ramps[0], rows.length),
        )
        return BlendTile(read=Window.of(cols.read(col), rows.read(row)), keep=keep, core=core)

    def weights(self, tile: BlendTile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What part a tile has in the average of each row and each column of its keep; a pixel's is their product."""
        return (
            _weights(tile.keep.rows, tile.core.rows, self._ramps[0], self._rows.length),
            _weights(tile.keep.cols, tile.core.cols, self._ramps[1], self._cols.length),
        )

    def cells(self, tile: BlendTile) -> list[Cell]:
        """The cells of a tile's keep; all cells of all tiles partition the raster."""
        rows = _segments(tile.keep.rows, tile.core.rows, self._ramps[0], self._rows.length)
        cols = _segments(tile.keep.cols, tile.core.cols, self._ramps[1], self._cols.length)
        return [Cell(Window.of(c.pixels, r.pixels), r.tiles * c.tiles) for r, c in product(rows, cols)]


def plan_blend(
    width: int, height: int, *, tile: int, halo: int, stride: int, band_width: int = BAND_WIDTH
) -> BlendPlan:
    """List the tiles of a raster for averaging; see `plan_tiles` for the arguments.

    Raises:
        OptionError: see `plan_tiles`.
    """
    plan = plan_tiles(width, height, tile=tile, halo=halo, stride=stride, band_width=band_width)
    cols = Axis.of(width, tile=tile, halo=halo, stride=stride)
    rows = Axis.of(height, tile=tile, halo=halo, stride=stride)
    return BlendPlan(cols, rows, band=-(-plan.band_width // cols.keep))


class _Segment(NamedTuple):
    """A stretch of one axis with the same tiles in its average, and how many these are."""

    pixels: range
    tiles: int


def _ramp(axis: Axis) -> int:
    """How far beyond an edge tiles are averaged; so far that at most two tiles meet along an axis."""
    return min(axis.halo, axis.keep) // 2 if axis.count > 1 else 0


def _segments(keep: range, core: range, ramp: int, length: int) -> list[_Segment]:
    alone = range(
        core.start + ramp if core.start > 0 else 0, core.stop - ramp if core.stop < length else length
    )
    stretches = (
        _Segment(_shared(keep, range(alone.start)), 2),
        _Segment(_shared(keep, alone), 1),
        _Segment(_shared(keep, range(alone.stop, length)), 2),
    )
    return [stretch for stretch in stretches if stretch.pixels]


def _weights(keep: range, core: range, ramp: int, length: int) -> NDArray[np.float32]:
    centres = np.arange(keep.start, keep.stop) + 0.5

    def beyond(edge: int) -> NDArray[np.float64]:
        """How much of the weight has gone over an edge to what lies behind it, 0 to 1."""
        if edge in (0, length):
            return np.full(len(keep), 1.0 if edge == 0 else 0.0)
        return np.clip((centres - edge) / (2 * ramp) + 0.5, 0, 1) if ramp else (centres > edge).astype(float)

    return (beyond(core.start) - beyond(core.stop)).astype(np.float32)


def _widened(stretch: range, margin: int, length: int) -> range:
    return range(max(stretch.start - margin, 0), min(stretch.stop + margin, length))


def _shared(some: range, others: range) -> range:
    return range(max(some.start, others.start), min(some.stop, others.stop))
