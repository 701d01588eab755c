"""Opening the labels of an entry, whatever they are: class ids, another coding, or polygons; all of it or an area."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.coding import open_coded_labels
from rsseg.data.entries import SceneEntry
from rsseg.data.pool import FilePool, PooledLabels
from rsseg.log import logger
from rsseg.raster import (
    Area,
    Grid,
    LabelSource,
    check_same_grid,
    open_area,
    open_label_raster,
    open_label_vector,
)
from rsseg.raster.env import georeference_optional
from rsseg.tiling import Window


class LabelsInside:
    """A label source that ends where an area does: 255 outside of it."""

    def __init__(self, labels: LabelSource, area: Area) -> None:
        self.grid = labels.grid
        self._labels = labels
        self._area = area

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of a window, from any thread."""
        inside = self._area.inside(window)
        if not inside.any():
            return np.full(inside.shape, IGNORE_INDEX, dtype=np.uint8)
        return np.where(inside, self._labels.read(window), np.uint8(IGNORE_INDEX))

    def close(self) -> None:
        """Close the labels."""
        self._labels.close()


def open_labels(pool: FilePool, entry: SceneEntry, grid: Grid) -> LabelSource:
    """Open the labels of an entry on the grid of its image; may be called from any thread.

    Raises:
        RasterError: they cannot be read, or lie on another grid.
        LabelError: they are no labels, their polygons do not meet the image, or the area does not.
    """
    if entry.vector is not None:
        with georeference_optional():  # shapely silences warnings as rasterio does: not safely in threads
            return _open_polygons(entry, grid)
    coding = entry.coding
    opener = (
        partial(open_label_raster, entry.labels)
        if coding is None
        else partial(open_coded_labels, entry.labels, coding)
    )
    labels = PooledLabels(pool, opener)
    check_same_grid(grid, labels.grid, what_a=str(entry.image), what_b=str(entry.labels))
    if entry.aoi is None:
        return labels
    with georeference_optional():
        area = open_area(entry.aoi, grid=grid)
    _show(area.notes)
    return LabelsInside(labels, area)


def _open_polygons(entry: SceneEntry, grid: Grid) -> LabelSource:
    rules = entry.vector
    assert rules is not None
    labels = open_label_vector(
        entry.labels,
        grid=grid,
        class_id=rules.class_id,
        attribute=rules.attribute,
        values=rules.values,
        ranked=rules.ranked,
        unlabelled=rules.unlabelled,
        aoi=entry.aoi,
        layer=rules.layer,
        all_touched=rules.all_touched,
    )
    _show(labels.notes)
    return labels


def _show(notes: tuple[str, ...]) -> None:
    for note in notes:
        logger.info(note)
