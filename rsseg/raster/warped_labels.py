"""Labels of another grid, seen on the pixels of a raster: each pixel takes the label under its middle.

Places are transformed exactly at the corners and middles of squares of 16 x 16 pixels, which are anchored at the
raster's origin; in between they are interpolated, unless the middle shows that this is off by more than a tenth of a
pixel of the labels: then every pixel of the square is transformed. So a label never depends on the window that is
read. GDAL's warped VRT chooses its approximation by the window: decisions/0016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import rasterio.warp
from numpy.typing import NDArray
from rasterio.crs import CRS

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import RasterError
from rsseg.raster.env import GDAL_ERRORS, reason
from rsseg.raster.grid import Grid, crs_name, same_crs, to_ground
from rsseg.raster.labels import LabelSource
from rsseg.tiling import Window

_SQUARE = 16
"""Side of the squares in which places are interpolated, in pixels of the raster."""
_WORST_PX = 0.1
"""How far an interpolated place may be off, in pixels of the labels."""
_TIE_PX = 1e-6
"""A place so near to an edge of label pixels counts as beyond it; else rounding would decide, pixel by pixel."""
_CHUNK_PX = 2**18
"""Pixels of the raster, and of the labels, that are held at a time."""
_LOOKS = 128
"""Along each axis: how many pixels tell what share of a raster is covered, and where."""

Places = NDArray[np.floating[Any]]
Transform = Callable[[Places, Places], tuple[Places, Places]]


class WarpedLabels:
    """Labels on a raster's grid; closing them closes what they are made of. `read` may be called from any thread.

    Attributes:
        grid: the raster's.
        extent: a window of the raster outside of which there is no label.
        covered: about which share of the raster has a pixel of the labels under it, from 0 to 1.
    """

    def __init__(
        self, source: LabelSource, *, grid: Grid, to_labels: Transform, to_raster: Transform
    ) -> None:
        self.grid = grid
        self._source = source
        self._to_labels = to_labels
        x, y = np.meshgrid(_looks(grid.width), _looks(grid.height))
        found = self._on_labels(*(_pixel(place) for place in to_labels(x, y)))
        self.covered = float(found.mean())
        self.extent = _extent(source.grid, grid, to_raster, found=(x[found], y[found]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the labels, after what is being read of them."""
        self._source.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols); 255 where the labels have none, and beyond them.

        Raises:
            LabelError: a value is no class id from 0 to 255.
            RasterError: a block cannot be read.
        """
        labels = np.full((window.height, window.width), IGNORE_INDEX, dtype=np.uint8)
        inside = window.intersection(self.extent)
        if inside.pixels:
            self._fill(labels[inside.slices(window)], inside)
        return labels

    def _fill(self, labels: NDArray[np.uint8], window: Window) -> None:
        """Fill in a window, in halves where too much would be held at a time."""
        if window.pixels > _CHUNK_PX:
            self._fill_halves(labels, window)
            return
        cols, rows = self._pixels_under(window)
        under = self._on_labels(cols, rows)
        if not under.any():
            return
        cols, rows = cols[under], rows[under]
        needed = Window.of(
            range(int(cols.min()), int(cols.max()) + 1), range(int(rows.min()), int(rows.max()) + 1)
        )
        if needed.pixels > 4 * _CHUNK_PX and window.pixels > 1:
            self._fill_halves(labels, window)
        else:
            labels[under] = self._source.read(needed)[rows - needed.row_off, cols - needed.col_off]

    def _fill_halves(self, labels: NDArray[np.uint8], window: Window) -> None:
        for half in _halves(window):
            self._fill(labels[half.slices(window)], half)

    def _pixels_under(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Column and row of the label pixel under each pixel's middle, both (rows, cols); -1 where there is none."""
        first_col, first_row = window.col_off // _SQUARE, window.row_off // _SQUARE
        squares = (
            (window.rows.stop - 1) // _SQUARE + 1 - first_row,
            (window.cols.stop - 1) // _SQUARE + 1 - first_col,
        )
        corner_x, corner_y = np.meshgrid(
            (first_col + np.arange(squares[1] + 1)) * float(_SQUARE),
            (first_row + np.arange(squares[0] + 1)) * float(_SQUARE),
        )
        corners = self._to_labels(corner_x, corner_y)
        middle = _SQUARE / 2
        exact = self._to_labels(corner_x[:-1, :-1] + middle, corner_y[:-1, :-1] + middle)
        with np.errstate(invalid="ignore"):
            off = np.hypot(*(_mean_of_corners(c) - e for c, e in zip(corners, exact, strict=True)))
        wrong = ~(off <= _WORST_PX)
        col = _Within(window.cols, first_col)
        row = _Within(window.rows, first_row)
        x, y = (_interpolated(c, row, col) for c in corners)
        if wrong.any():
            there = np.nonzero(wrong[np.ix_(row.square, col.square)])
            x[there], y[there] = self._to_labels(
                window.col_off + there[1] + 0.5, window.row_off + there[0] + 0.5
            )
        return _pixel(x), _pixel(y)

    def _on_labels(self, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        grid = self._source.grid
        found: NDArray[np.bool_] = (cols >= 0) & (cols < grid.width) & (rows >= 0) & (rows < grid.height)
        return found


def warp_labels(source: LabelSource, *, grid: Grid) -> WarpedLabels:
    """See labels on the grid of a raster, by nearest neighbour.

    Args:
        source: the labels; closed with the result.
        grid: the raster's. Both need a transform; where only one has a CRS, it is that of both.

    Raises:
        RasterError: there is no way between the two CRS.
    """
    ours, theirs = grid.transform, source.grid.transform
    from_crs, to_crs = grid.crs, source.grid.crs
    if from_crs is None or to_crs is None or same_crs(from_crs, to_crs):
        from_crs = to_crs = None

    def to_labels(x: Places, y: Places) -> tuple[Places, Places]:
        return to_ground(~theirs, *_reprojected(from_crs, to_crs, *to_ground(ours, x, y)))

    def to_raster(x: Places, y: Places) -> tuple[Places, Places]:
        return to_ground(~ours, *_reprojected(to_crs, from_crs, *to_ground(theirs, x, y)))

    return WarpedLabels(source, grid=grid, to_labels=to_labels, to_raster=to_raster)


class _Within:
    """Where the middles of pixels lie in their squares, along one axis.

    `square` (n) counts from the square `first`; `share` (n), from 0 to 1, is how far into it.
    """

    def __init__(self, pixels: range, first: int) -> None:
        index = np.arange(pixels.start, pixels.stop)
        self.square = index // _SQUARE - first
        self.share = (index % _SQUARE + 0.5) / _SQUARE


def _interpolated(corners: Places, row: _Within, col: _Within) -> Places:
    """Values (rows, cols) between those of the corners of squares."""
    with np.errstate(
        invalid="ignore"
    ):  # a corner may be infinitely far away; such squares are seen to afterwards
        along = corners[row.square] * (1 - row.share)[:, None] + corners[row.square + 1] * row.share[:, None]
        between: Places = along[:, col.square] * (1 - col.share) + along[:, col.square + 1] * col.share
    return between


def _mean_of_corners(corners: Places) -> Places:
    mean: Places = (corners[:-1, :-1] + corners[:-1, 1:] + corners[1:, :-1] + corners[1:, 1:]) / 4
    return mean


def _pixel(place: Places) -> NDArray[np.int64]:
    """The pixel at a place; -1 for one that is no number or beyond any raster."""
    with np.errstate(invalid="ignore"):
        near = np.abs(place) < 2**31
    return np.floor(np.where(near, place + _TIE_PX, -1.0)).astype(np.int64)


def _reprojected(source: CRS | None, target: CRS | None, x: Places, y: Places) -> tuple[Places, Places]:
    """Places in another CRS; infinity where it has none for them."""
    if source is None or target is None:
        return x, y
    try:
        xs, ys = rasterio.warp.transform(source, target, x.ravel(), y.ravel())
    except GDAL_ERRORS as err:
        raise RasterError(
            f"labels cannot be brought from {crs_name(source)} to {crs_name(target)} or back ({reason(err)})",
            hint="warp them first: gdalwarp -r near -t_srs ...",
        ) from err
    return np.reshape(xs, x.shape), np.reshape(ys, y.shape)


def _extent(labels: Grid, raster: Grid, to_raster: Transform, *, found: tuple[Places, Places]) -> Window:
    """A window of the raster that holds all of the labels, with room for bends between the places looked at.

    It is the whole raster where that would leave out pixels that were `found` (x, y) to have a label: a line such as
    the antimeridian, where places jump, may lie between.
    """
    x, y = to_raster(*np.meshgrid(_looks(labels.width, edges=True), _looks(labels.height, edges=True)))
    if not np.isfinite([x, y]).all():
        return raster.window
    room_x, room_y = 2 + 0.02 * np.ptp(x), 2 + 0.02 * np.ptp(y)
    left, right, top, bottom = x.min() - room_x, x.max() + room_x, y.min() - room_y, y.max() + room_y
    found_x, found_y = found
    if ((found_x < left) | (found_x > right) | (found_y < top) | (found_y > bottom)).any():
        return raster.window
    cols = range(_clipped(left, raster.width), _clipped(right, raster.width))
    return Window.of(cols, range(_clipped(top, raster.height), _clipped(bottom, raster.height)))


def _clipped(place: float, length: int) -> int:
    return int(min(max(place, 0.0), float(length)))


def _looks(length: int, *, edges: bool = False) -> Places:
    """Places along an axis: the edges and between, or the middles of pixels, evenly."""
    if edges:
        return np.linspace(0, length, _LOOKS)
    count = min(length, _LOOKS)
    return (np.arange(count) * length // count) + 0.5


def _halves(window: Window) -> tuple[Window, Window]:
    cols, rows = window.cols, window.rows
    if len(cols) >= len(rows):
        middle = cols.start + len(cols) // 2
        return Window.of(range(cols.start, middle), rows), Window.of(range(middle, cols.stop), rows)
    middle = rows.start + len(rows) // 2
    return Window.of(cols, range(rows.start, middle)), Window.of(cols, range(middle, rows.stop))
