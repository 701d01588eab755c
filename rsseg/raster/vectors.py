"""Class ids from polygons in any vector format that OGR reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import LabelError, OptionError
from rsseg.raster.area import Area, open_area
from rsseg.raster.grid import Grid
from rsseg.raster.polygons import PolygonLayer, Shapes, crs_notes, misses, polygons_on_grid, read_polygons
from rsseg.tiling import Window

_SUFFIXES = frozenset(
    (
        ".geojson",
        ".json",
        ".geojsonl",
        ".gpkg",
        ".shp",
        ".fgb",
        ".parquet",
        ".gml",
        ".kml",
        ".sqlite",
        ".tab",
        ".mif",
    )
)


def is_vector_file(path: Path) -> bool:
    """Whether labels are polygons, by the ending of their name; GDAL's many formats for pixels are all the others."""
    return path.suffix.lower() in _SUFFIXES


class LabelVector:
    """Polygons as a label source. Made by `open_label_vector`; `read` may be called from any thread.

    A pixel belongs to a polygon that holds its centre, or to any that touches it where that was asked for; later
    polygons paint over earlier ones.

    Attributes:
        path: the file.
        grid: the grid on which it is read.
        extent: the window outside of which all is 255: around the area of interest, or the whole raster.
        notes: what the user should know about the file, one sentence each.
    """

    def __init__(
        self,
        path: str,
        *,
        grid: Grid,
        shapes: Shapes,
        aoi: Area | None,
        unlabelled: int,
        notes: tuple[str, ...],
    ) -> None:
        self.path = path
        self.grid = grid
        self.notes = notes
        self.extent = grid.window if aoi is None else aoi.extent
        self._shapes = shapes
        self._aoi = aoi
        self._unlabelled = unlabelled

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: all polygons are in memory."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Paint class ids (rows, cols) of a window; 255 outside the raster and outside the area of interest."""
        labels = np.full((window.height, window.width), IGNORE_INDEX, dtype=np.uint8)
        inside = window.intersection(self.extent)
        if not inside.pixels:
            return labels
        painted = self._shapes.paint(inside, background=self._unlabelled)
        if self._aoi is not None:
            painted[~self._aoi.inside(inside)] = IGNORE_INDEX
        labels[inside.slices(window)] = painted
        return labels


def open_label_vector(
    path: str | Path,
    *,
    grid: Grid,
    class_id: int | None = None,
    attribute: str | None = None,
    values: Mapping[str, int] | None = None,
    ranked: bool = True,
    unlabelled: int | None = None,
    aoi: str | Path | None = None,
    layer: str | None = None,
    all_touched: bool = False,
) -> LabelVector:
    """Read polygons and bring them onto a grid as labels.

    Args:
        path: any vector file that OGR reads.
        grid: the image's grid; polygons are reprojected to its CRS, vertex by vertex.
        class_id: the class of all polygons; or else
        attribute: the attribute that decides the class, by
        values: attribute value to class id; None if the attribute holds class ids itself.
        ranked: whether polygons of later `values` paint over those of earlier ones; else later polygons do.
        unlabelled: the class of pixels in no polygon; None for 255.
        aoi: polygons outside of which pixels are 255.
        layer: the layer, where the file has several.
        all_touched: whether a polygon has all pixels that it touches, and not only those whose centre it holds.

    Raises:
        OptionError: neither or both of `class_id` and `attribute`, or ids outside 0 to 255.
        LabelError: a file is missing or no vector, lacks the attribute or polygons, has unknown values, does not
            meet the raster, or has a CRS while the raster has none.
    """
    _check_options(class_id, attribute, values, unlabelled)
    features = read_polygons(str(path), layer=layer, attribute=attribute)
    ids = _class_ids(features, class_id=class_id, attribute=attribute, values=values)
    order = _painting_order(features, values if ranked else None)
    shapes = Shapes(polygons_on_grid(features, grid)[order], ids[order], all_touched=all_touched)
    notes = features.notes + crs_notes(features, grid)
    area = None if aoi is None else open_area(aoi, grid=grid)
    # An area without polygons is labelled all the same where pixels in no polygon have a class.
    needed = area if unlabelled is None else None
    if not shapes.meets(grid.window if needed is None else needed.extent):
        raise misses(str(path), "the raster" if needed is None else "the area of interest")
    if area is not None:
        notes += area.notes
    fill = IGNORE_INDEX if unlabelled is None else unlabelled
    return LabelVector(str(path), grid=grid, shapes=shapes, aoi=area, unlabelled=fill, notes=notes)


def _check_options(
    class_id: int | None, attribute: str | None, values: Mapping[str, int] | None, unlabelled: int | None
) -> None:
    if (class_id is None) == (attribute is None):
        raise OptionError(
            "vector labels need either one class id for all polygons or an attribute that decides"
        )
    if values is not None and (attribute is None or not values):
        raise OptionError("values of vector labels need an attribute, and at least one value")
    for value in (class_id, unlabelled, *(values or {}).values()):
        if value is not None and not 0 <= value <= IGNORE_INDEX:
            raise OptionError(f"class id of vector labels is {value}; expected 0 to {IGNORE_INDEX}")


def _class_ids(
    layer: PolygonLayer, *, class_id: int | None, attribute: str | None, values: Mapping[str, int] | None
) -> NDArray[np.uint8]:
    """The class id of every polygon."""
    if layer.attribute is None:
        return np.full(len(layer.polygons), class_id, dtype=np.uint8)
    found = [_as_text(value) for value in layer.attribute]
    known = values if values is not None else {str(i): i for i in range(IGNORE_INDEX + 1)}
    unknown = sorted({value for value in found if value not in known})
    if unknown:
        expected = ", ".join(map(repr, known)) if values is not None else f"0 to {IGNORE_INDEX}"
        raise LabelError(
            f"{layer.path}: attribute {attribute!r} has the values {', '.join(map(repr, unknown[:10]))}, "
            f"expected {expected}",
            hint="give a class to every value; 'ignore' leaves its features out",
        )
    return np.array([known[value] for value in found], dtype=np.uint8)


def _as_text(value: Any) -> str:
    """An attribute value as it would be written in a manifest: whole numbers without a point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _painting_order(layer: PolygonLayer, ranks: Mapping[str, int] | None) -> NDArray[np.intp]:
    """Polygons in the order of their values in `ranks`, those of one value as in the file."""
    if layer.attribute is None or ranks is None:
        return np.arange(len(layer.polygons))
    place = {value: number for number, value in enumerate(ranks)}
    return np.argsort([place[_as_text(value)] for value in layer.attribute], kind="stable")
