"""Labels as the class map sees them: class ids on the map's pixels, from pixels or from polygons."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.data.coding import CodedLabels, open_coded_labels
from rsseg.errors import RasterError
from rsseg.evaluation.boundary import erode_boundaries
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.recoding import Recoding
from rsseg.evaluation.rules import LabelRules
from rsseg.raster.area import Area, open_area
from rsseg.raster.grid import Grid, check_same_grid, grid_text, same_crs, to_ground
from rsseg.raster.labels import LabelRaster, LabelSource, open_label_raster
from rsseg.raster.vectors import is_vector_file, open_label_vector
from rsseg.raster.warped_labels import warp_labels
from rsseg.tiling import Window

_ALIGNED_PX = 0.01
"""Pixels that are nowhere further apart than this count as the same."""

_Raster = LabelRaster | CodedLabels


@dataclass(frozen=True, eq=False)
class LabelPixels:
    """Labels of a window: class ids (rows, cols) with 255 where nothing counts; `tally` as in `Recoding.tally`."""

    ids: NDArray[np.uint8]
    tally: NDArray[np.int64]


class Labels:
    """Labels placed on a class map's grid; a context manager that closes its files.

    `window` is the part of the map that is compared, beyond which nothing counts; `notes` is what a person should
    know, one sentence each. `in_strips` says that whole rows are read best.
    """

    def __init__(self, placed: _Placed, *, area: Area | None, recoding: Recoding, erode: int) -> None:
        self.window = placed.window if area is None else placed.window.intersection(area.extent)
        self.notes = placed.notes + (area.notes if area is not None else ())
        self.in_strips = placed.in_strips
        self.recoding = recoding
        self._placed = placed
        self._area = area
        self._erode = erode

    def read(self, window: Window, *, keep: Window) -> LabelPixels:
        """Read a window of the class map; only what is in `keep` is tallied. May be called from any thread.

        First values become classes, then objects lose their edges, then what is outside the area of interest is left
        out: so an area's edge is none of an object's, and reading windows equals cutting them from the whole.

        Raises:
            LabelError: a value is no class.
            RasterError: a block cannot be read.
        """
        wide = window.expanded(self._erode).intersection(self._placed.window)
        values = self._placed.read(wide)
        ids = self.recoding(values)
        if self._erode:
            ids = erode_boundaries(ids, radius=self._erode, ignore_index=IGNORE_INDEX)
        ids, kept = ids[window.slices(wide)], values[keep.slices(wide)]
        if self._area is not None:
            inside = self._area.inside(window)
            ids = np.where(inside, ids, np.uint8(IGNORE_INDEX))
            kept = kept[inside[keep.slices(window)]]
        return LabelPixels(ids, self.recoding.tally(kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._placed.source.close()


def open_labels(
    pair: Pair,
    grid: Grid,
    *,
    rules: LabelRules,
    classes: ClassTable | None,
    recoding: Recoding | None = None,
    erode: int = 0,
) -> Labels:
    """Open labels and place them on the grid of the class map they are compared with.

    Label rasters hold class ids, or what the coding of the pair says. They lie anywhere: on the map's pixels they are
    read as they are; on other pixels, or in another CRS, each pixel of the map takes the label under its middle, and a
    note says so. Polygons are drawn on the map's grid. Labels that are open already lie on the map's grid.

    Args:
        pair: the class map and the labels.
        grid: the grid of the class map.
        rules: which class features are, and where labels count; labels that are open already have their own.
        classes: the classes that `rules` may name, or None.
        recoding: what values count as; by default what they are.
        erode: how near to another label a label does not count, in pixels of the map. What lies outside the labels'
            file does not count as another one; where labels are warped, it does.

    Raises:
        RasterError: nothing says where labels of another size lie, or they lie elsewhere.
        LabelError: the labels are unreadable.
        OptionError: the rules do not fit the labels.
    """
    if pair.opened is None:
        rules.check_fits(pair.labels)
    aoi = rules.aoi if pair.opened is None else pair.opened.aoi
    area = None if aoi is None else open_area(aoi, grid=grid)
    if pair.opened is not None:
        placed = _opened(pair, pair.opened.source, grid)
    elif is_vector_file(pair.labels):
        placed = _draw_polygons(pair.labels, grid, rules=rules, classes=classes)
    else:
        placed = _open_raster(pair, grid)
    return Labels(placed, area=area, recoding=recoding or Recoding(), erode=erode)


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A source of labels, where it begins on the map, and the part of the map that it is compared in."""

    source: LabelSource
    window: Window
    col_off: int = 0
    row_off: int = 0
    in_strips: bool = False
    notes: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Values of a window of the map."""
        return self.source.read(
            Window(window.col_off - self.col_off, window.row_off - self.row_off, window.width, window.height)
        )


def _opened(pair: Pair, source: LabelSource, grid: Grid) -> _Placed:
    check_same_grid(grid, source.grid, what_a=str(pair.prediction), what_b=str(pair.labels))
    return _Placed(source=source, window=grid.window)


def _draw_polygons(path: Path, grid: Grid, *, rules: LabelRules, classes: ClassTable | None) -> _Placed:
    ids = rules.class_ids(classes)
    source = open_label_vector(
        path,
        grid=grid,
        class_id=ids.class_id,
        attribute=rules.attribute,
        values=ids.values or None,
        unlabelled=ids.unlabelled,
        layer=rules.layer,
    )
    return _Placed(source=source, window=grid.window, notes=source.notes)


def _open_raster(pair: Pair, grid: Grid) -> _Placed:
    with ExitStack() as on_error:
        source: _Raster
        if pair.coding is None:
            source = open_label_raster(pair.labels)
        else:
            source = open_coded_labels(pair.labels, pair.coding.coding)
        on_error.enter_context(source)
        placed = _place(source, grid, pair)
        on_error.pop_all()
    return placed


def _place(source: _Raster, whole: Grid, pair: Pair) -> _Placed:
    """Find where labels lie on the map."""
    part = source.grid
    same_size = (part.width, part.height) == (whole.width, whole.height)
    if not (_has_transform(part) and _has_transform(whole)):
        check_same_grid(whole, part, what_a=str(pair.prediction), what_b=str(pair.labels))
        return _Placed(source=source, window=whole.window, in_strips=source.in_strips)
    for path, grid in ((pair.prediction, whole), (pair.labels, part)):
        if grid.transform.is_degenerate or not np.isfinite(list(grid.transform)).all():
            raise RasterError(
                f"{path}: its transform gives pixels no place on the ground",
                hint="give it its place again: gdal_edit -a_ullr ...",
            )
    offset = _offset(part, whole)
    if offset is None:
        return _warp(source, whole, pair)
    if offset == (0, 0) and same_size:
        return _Placed(source=source, window=whole.window, in_strips=source.in_strips)
    return _cut(source, whole, pair, offset=offset)


def _cut(source: _Raster, whole: Grid, pair: Pair, *, offset: tuple[int, int]) -> _Placed:
    """Labels on the pixels of the map, of which they cover a part."""
    col_off, row_off = offset
    covered = Window(col_off, row_off, source.grid.width, source.grid.height)
    window = covered.intersection(whole.window)
    if not window.pixels:
        raise _elsewhere(pair)
    notes = [f"{pair.labels}: is {window} of {pair.prediction}; only this part is compared"]
    if beyond := covered.pixels - window.pixels:
        notes.append(
            f"{pair.labels}: {beyond:,} px of {covered.pixels:,} lie beyond the map and are not compared"
        )
    return _Placed(
        source=source,
        window=window,
        col_off=col_off,
        row_off=row_off,
        in_strips=source.in_strips,
        notes=tuple(notes),
    )


def _warp(source: _Raster, whole: Grid, pair: Pair) -> _Placed:
    """Labels on other pixels than the map's."""
    warped = warp_labels(source, grid=whole)
    if not warped.extent.pixels:
        raise _elsewhere(pair)
    note = (
        f"{pair.labels}: its grid ({grid_text(source.grid)}) is not that of {pair.prediction} ({grid_text(whole)}); "
        f"each pixel of the map takes the label under its middle; labels cover about {warped.covered:.1%} of the map"
    )
    return _Placed(source=warped, window=warped.extent, notes=(note,))


def _elsewhere(pair: Pair) -> RasterError:
    return RasterError(
        f"{pair.labels}: lies elsewhere than {pair.prediction}",
        hint="check the place and the CRS of both files",
    )


def _offset(part: Grid, whole: Grid) -> tuple[int, int] | None:
    """The column and row of the map where the labels begin; None where their pixels are others."""
    if part.crs and whole.crs and not same_crs(part.crs, whole.crs):
        return None
    x, y = np.array([(x, y) for x in (0, part.width) for y in (0, part.height)]).T
    cols, rows = to_ground(~whole.transform, *to_ground(part.transform, x, y))
    col_off, row_off = round(cols[0]), round(rows[0])
    shift = np.hypot(cols - x - col_off, rows - y - row_off).max()
    return (col_off, row_off) if shift <= _ALIGNED_PX else None


def _has_transform(grid: Grid) -> bool:
    return grid.georeferenced() and not grid.gcps and grid.rpcs is None
