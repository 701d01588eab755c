"""Labels as the class map sees them: class ids on the map's pixels, from pixels or from polygons."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassTable
from rsseg.errors import RasterError
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.rules import LabelRules
from rsseg.raster.grid import Grid, check_same_grid, same_crs, to_ground
from rsseg.raster.labels import LabelSource, open_label_raster
from rsseg.raster.vectors import LabelVector, is_vector_file, open_label_vector
from rsseg.tiling import Window

_ALIGNED_PX = 0.01
"""Pixels that are nowhere further apart than this count as the same."""


class Labels:
    """Labels placed on a class map's grid; a context manager that closes its files.

    `window` is the part of the map that is compared, beyond which nothing counts; `notes` is what a person should
    know, one sentence each.
    """

    def __init__(
        self,
        source: LabelSource,
        *,
        origin: Window,
        window: Window,
        area: LabelSource | None,
        notes: tuple[str, ...],
    ) -> None:
        self.window = window
        self.notes = notes
        self._source = source
        self._origin = origin  # where the source lies on the map
        self._area = area

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of a window of the class map; 255 where nothing counts."""
        col, row = window.col_off - self._origin.col_off, window.row_off - self._origin.row_off
        label = self._source.read(Window(col, row, window.width, window.height))
        if self._area is not None:
            label[self._area.read(window) == IGNORE_INDEX] = IGNORE_INDEX
        return label

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()
        if self._area is not None:
            self._area.close()


def open_labels(pair: Pair, grid: Grid, *, rules: LabelRules, classes: ClassTable | None) -> Labels:
    """Open labels and place them on the grid of the class map they are compared with.

    Label rasters have the map's grid, or are a part of it: georeferenced, with the same pixels, and nowhere beyond
    the map, so that labelled pixels without a prediction never go unseen. Polygons are drawn on the map's grid.

    Args:
        pair: the class map and the labels.
        grid: the grid of the class map.
        rules: which class features are, and where labels count.
        classes: the classes that `rules` may name, or None.

    Raises:
        RasterError: the labels are on another grid.
        LabelError: the labels are unreadable.
        OptionError: the rules do not fit the labels.
    """
    rules.check_fits(pair.labels)
    if is_vector_file(pair.labels):
        return _open_polygons(pair.labels, grid, rules=rules, classes=classes)
    with ExitStack() as on_error:
        source = on_error.enter_context(open_label_raster(pair.labels))
        origin = _place(source.grid, grid, pair)
        area = None if rules.aoi is None else _open_area(rules.aoi, grid)
        on_error.pop_all()
    window = origin if area is None else origin.intersection(area.extent)
    part = f"{pair.labels}: is {origin} of {pair.prediction}; only this part is compared"
    notes = () if origin == grid.window else (part,)
    return Labels(source, origin=origin, window=window, area=area, notes=notes)


def _open_polygons(path: Path, grid: Grid, *, rules: LabelRules, classes: ClassTable | None) -> Labels:
    ids = rules.class_ids(classes)
    source = open_label_vector(
        path,
        grid=grid,
        class_id=ids.class_id,
        attribute=rules.attribute,
        values=ids.values or None,
        unlabelled=ids.unlabelled,
        aoi=rules.aoi,
        layer=rules.layer,
    )
    return Labels(source, origin=grid.window, window=source.extent, area=None, notes=source.notes)


def _open_area(aoi: Path, grid: Grid) -> LabelVector:
    """A source that is 0 inside the polygons and 255 outside; being their own area bounds its extent."""
    return open_label_vector(aoi, grid=grid, class_id=0, aoi=aoi)


def _place(part: Grid, whole: Grid, pair: Pair) -> Window:
    """Where the labels lie on the map, which they have to cover or to be a part of."""
    same_size = (part.width, part.height) == (whole.width, whole.height)
    if same_size or not (_has_transform(part) and _has_transform(whole)):
        check_same_grid(whole, part, what_a=str(pair.prediction), what_b=str(pair.labels))
        return whole.window
    if whole.transform.is_degenerate:
        raise RasterError(
            f"{pair.prediction}: its transform gives pixels no area, so {pair.labels} has no place on it",
            hint="give the map its place again: gdal_edit -a_ullr ...",
        )
    window, reason = _sub_window(part, whole)
    if reason:
        raise RasterError(
            f"{pair.labels}: is {part.width} x {part.height} px, {pair.prediction} is "
            f"{whole.width} x {whole.height} px, and the labels are no part of it: {reason}",
            hint="labels must lie on the pixels of the class map; see gdalwarp -te ... -tr ... -t_srs ...",
        )
    return window


def _sub_window(part: Grid, whole: Grid) -> tuple[Window, str]:
    """Which pixels of `whole` those of `part` are, and why they are none ("" if they are)."""
    x, y = np.array([(x, y) for x in (0, part.width) for y in (0, part.height)]).T
    with np.errstate(all="ignore"):  # a damaged transform may hold infinity
        cols, rows = to_ground(~whole.transform, *to_ground(part.transform, x, y))
    if not np.isfinite([cols, rows]).all():
        return whole.window, "one of the two has no place on the ground"
    window = Window(round(cols[0]), round(rows[0]), part.width, part.height)
    shift = np.hypot(cols - x - window.col_off, rows - y - window.row_off).max()
    if part.crs and whole.crs and not same_crs(part.crs, whole.crs):
        return window, "their CRS differs"
    if shift > _ALIGNED_PX:
        return window, f"their pixels lie up to {shift:.3g} px away from its pixels"
    if not whole.window.contains(window):
        return window, f"they cover {window} of the map, which is beyond its edge"
    return window, ""


def _has_transform(grid: Grid) -> bool:
    return grid.georeferenced() and not grid.gcps and grid.rpcs is None
