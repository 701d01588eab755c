"""The part of a raster that is wanted: what lies in the polygons of a file."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsseg.files import write_file
from rsseg.raster.grid import Grid, to_ground
from rsseg.raster.polygons import (
    Bounds,
    PolygonLayer,
    Shapes,
    bounds_of_raster,
    crs_notes,
    misses,
    polygons_on_grid,
    read_polygons,
)
from rsseg.tiling import Window

_MOST_VERTICES = 1000
"""Polygons with more are cut, so that painting a window does not walk along a whole coast."""
_SMALLEST_PIECE = 64
"""Pieces of so many pixels are not cut any more."""
_OF_NOTHING = hashlib.sha256().hexdigest()
_PARTS = (".shx", ".dbf", ".prj", ".cpg")
"""Of a shapefile, besides the one that gives it its name."""


class Area:
    """An area of interest on a raster. Made by `open_area`; `inside` may be called from any thread.

    A pixel is inside when its centre is in a polygon, or when one touches it, as was asked for. Reading windows equals
    cutting them from the whole.

    Attributes:
        path: the file.
        files: all that it consists of.
        extent: the smallest window around all that is inside.
        sha256: of the polygons near the raster and their CRS, in hexadecimal; how a file holds them does not matter.
        notes: what the user should know about the file, one sentence each.
    """

    def __init__(
        self,
        path: str,
        pieces: NDArray[Any],
        *,
        extent: Window,
        sha256: str = _OF_NOTHING,
        touched: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.files = _files(path)
        self.extent = extent
        self.sha256 = sha256
        self.notes = notes
        self._shapes = Shapes(pieces, np.ones(len(pieces), dtype=np.uint8), all_touched=touched)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window (rows, cols) are inside; none out of the raster."""
        inside = np.zeros((window.height, window.width), dtype=np.bool_)
        part = window.intersection(self.extent)
        if part.pixels:
            # Most windows lie in the middle of an area, and painting costs milliseconds.
            whole = self._shapes.cover(part)
            inside[part.slices(window)] = whole or self._shapes.paint(part, background=0) == 1
        return inside


def open_area(path: str | Path, *, grid: Grid, touched: bool = False) -> Area:
    """Read the polygons of a file and bring them onto a grid.

    Polygons of any CRS are reprojected, vertex by vertex; those that cross themselves are mended, as areas that are
    inside wherever one of their rings has them inside. Only what is near the raster is held in memory.

    Args:
        path: any vector file that OGR reads, with one layer of polygons.
        grid: the raster's.
        touched: whether a pixel is inside that a polygon touches anywhere; otherwise its centre decides.

    Raises:
        LabelError: the file is missing or no vector, has no polygons or several layers of them, or has a CRS while the
            raster has none.
        ElsewhereError: no pixel of the raster is in its polygons.
    """
    layer = read_polygons(str(path), layer=None, attribute=None, around=grid)
    cut, mended = _near_raster(layer, grid)
    placed, _ = _mended(polygons_on_grid(cut, grid))
    pieces = _cut_small(_clipped(placed, (0, 0, grid.width, grid.height)))
    extent = _extent(pieces, grid, reach=0.5 if touched else 0.0)
    if not extent.pixels:
        raise misses(layer.path, "the raster")
    notes = layer.notes + crs_notes(layer, grid)
    if mended:
        notes += (f"{path}: {mended} of its polygons cross themselves and were mended",)
    sha256 = hashlib.sha256(b"".join([str(layer.crs).encode(), *shapely.to_wkb(layer.polygons)])).hexdigest()
    return Area(layer.path, pieces, extent=extent, sha256=sha256, touched=touched, notes=notes)


def empty_area(path: str | Path) -> Area:
    """What a file of polygons that lie elsewhere means for a raster: none of its pixels is inside."""
    return Area(str(path), np.empty(0, dtype=object), extent=Window(0, 0, 0, 0))


def can_write_area(grid: Grid) -> bool:
    """Whether polygons can be laid on a raster; see `polygons_on_grid`."""
    return not (grid.gcps or grid.rpcs is not None or grid.transform.is_degenerate)


def write_area(path: Path, windows: Iterable[Window], grid: Grid) -> None:
    """Write windows of a raster as polygons: `open_area` finds just their pixels inside.

    The file has no CRS, so that its coordinates are taken in the raster's, for which not every format has a word.

    Args:
        path: a .csv file.
        windows: of the raster.
        grid: the raster's, for which `can_write_area`.

    Raises:
        ResourceError: the disk does not take it.
    """
    lines = ["number,WKT"]
    for number, window in enumerate(windows):
        left, top, right, bottom = window.cols.start, window.rows.start, window.cols.stop, window.rows.stop
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        ring = shapely.Polygon([to_ground(grid.transform, *corner) for corner in corners])
        lines.append(f'{number},"{shapely.to_wkt(ring, rounding_precision=-1)}"')
    write_file(path, "".join(f"{line}\n" for line in lines).encode())


def _near_raster(layer: PolygonLayer, grid: Grid) -> tuple[PolygonLayer, int]:
    """The polygons cut off around the raster, and how many had to be mended for that.

    Cut before they are reprojected: a border that runs through a pole has no place in most projections.
    """
    polygons, mended = _mended(layer.polygons)
    bounds = bounds_of_raster(grid, layer.crs)
    if bounds is not None:
        polygons = _clipped(polygons, bounds)
    return replace(layer, polygons=polygons), mended


def _mended(polygons: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Polygons that are valid, and how many of them were not."""
    wrong = ~shapely.is_valid(polygons)
    if not wrong.any():
        return polygons, 0
    mended = polygons.copy()
    mended[wrong] = shapely.make_valid(polygons[wrong], method="structure", keep_collapsed=False)
    return mended, int(wrong.sum())


def _parts(geometries: NDArray[Any]) -> NDArray[Any]:
    """The single polygons of many; lines and points, which cutting may leave, have no pixels."""
    parts = shapely.get_parts(shapely.get_parts(geometries))
    return np.asarray(parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)])


def _clipped(polygons: NDArray[Any], bounds: Bounds) -> NDArray[Any]:
    """The parts of polygons in a rectangle; those that lie in it as they are."""
    left, bottom, right, top = shapely.bounds(polygons).T
    sticks_out = ~((left >= bounds[0]) & (bottom >= bounds[1]) & (right <= bounds[2]) & (top <= bounds[3]))
    clipped = polygons.copy()
    clipped[sticks_out] = shapely.intersection(polygons[sticks_out], shapely.box(*bounds))
    return _parts(clipped)


def _cut_small(polygons: NDArray[Any]) -> NDArray[Any]:
    """Halve polygons between pixels, which moves no centre to another side, until none has many vertices."""
    done: list[NDArray[Any]] = []
    while len(polygons):
        bounds = shapely.bounds(polygons)
        sides = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
        large = (shapely.get_num_coordinates(polygons) > _MOST_VERTICES) & (sides > _SMALLEST_PIECE)
        done.append(polygons[~large])
        halves = [
            shapely.clip_by_rect(polygon, *half)
            for polygon, whole in zip(polygons[large], bounds[large].tolist(), strict=True)
            for half in _halves(*whole)
        ]
        polygons = _parts(np.array(halves, dtype=object))
    return np.concatenate(done) if done else polygons


def _halves(left: float, top: float, right: float, bottom: float) -> tuple[Bounds, Bounds]:
    if right - left >= bottom - top:
        middle = float(round((left + right) / 2))
        return (left, top, middle, bottom), (middle, top, right, bottom)
    middle = float(round((top + bottom) / 2))
    return (left, top, right, middle), (left, middle, right, bottom)


def _extent(polygons: NDArray[Any], grid: Grid, *, reach: float) -> Window:
    """The smallest window of the raster around all pixels whose centre may be in a polygon, or as near; or none."""
    if not len(polygons):
        return Window(0, 0, 0, 0)
    left, top, right, bottom = shapely.total_bounds(polygons)
    cols = range(int(np.ceil(left - 0.5 - reach)), int(np.floor(right - 0.5 + reach)) + 1)
    rows = range(int(np.ceil(top - 0.5 - reach)), int(np.floor(bottom - 0.5 + reach)) + 1)
    return Window.of(cols, rows).intersection(grid.window)


def _files(name: str) -> tuple[str, ...]:
    """What a source of polygons consists of: a file, a folder of files, or the parts of a shapefile."""
    path = Path(name)
    if path.is_dir():
        return tuple(sorted(str(file) for file in path.rglob("*") if file.is_file()))
    if path.suffix.lower() != ".shp" or not path.exists():
        return (name,)  # an address, too, in which a path would lose a slash
    parts = [
        file for file in path.parent.glob(f"{glob.escape(path.stem)}.*") if file.suffix.lower() in _PARTS
    ]
    return (name, *sorted(map(str, parts)))
