"""Class ids from polygons in any vector format that OGR reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import LabelError, OptionError
from rsseg.raster.env import georeference_optional
from rsseg.raster.grid import Grid
from rsseg.raster.polygons import PolygonLayer, crs_notes, polygons_on_grid, read_polygons
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

    A pixel belongs to a polygon that holds its centre; later polygons paint over earlier ones.

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
        shapes: _Shapes,
        aoi: _Shapes | None,
        unlabelled: int,
        notes: tuple[str, ...],
    ) -> None:
        self.path = path
        self.grid = grid
        self.notes = notes
        self.extent = grid.window if aoi is None else aoi.extent(grid)
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
            painted[self._aoi.paint(inside, background=0) == 0] = IGNORE_INDEX
        labels[inside.slices(window)] = painted
        return labels


class _Shapes:
    """Polygons in pixel coordinates (x = columns, y = rows), in the order of painting, with their class ids."""

    def __init__(self, polygons: NDArray[Any], ids: NDArray[np.uint8]) -> None:
        self._polygons = polygons
        self._ids = ids
        self._tree = shapely.STRtree(polygons)

    def extent(self, grid: Grid) -> Window:
        """The smallest window of the raster around all polygons; without pixels if none meets it."""
        left, top, right, bottom = shapely.total_bounds(self._polygons)
        cols = range(max(int(np.floor(left)), 0), min(int(np.ceil(right)), grid.width))
        rows = range(max(int(np.floor(top)), 0), min(int(np.ceil(bottom)), grid.height))
        return Window.of(cols, rows)

    def meets(self, window: Window) -> bool:
        return bool(len(self._near(window)))

    def paint(self, window: Window, *, background: int) -> NDArray[np.uint8]:
        near = self._near(window)
        if not len(near):
            return np.full((window.height, window.width), background, dtype=np.uint8)
        # rasterio silences its own warning here in a way that is not safe in threads; this takes turns.
        with georeference_optional():
            painted: NDArray[np.uint8] = rasterio.features.rasterize(
                zip(self._polygons[near], self._ids[near].tolist(), strict=True),
                out_shape=(window.height, window.width),
                fill=background,
                transform=Affine.translation(window.col_off, window.row_off),
                dtype="uint8",
            )
        return painted

    def _near(self, window: Window) -> NDArray[np.intp]:
        """Which polygons may touch a window, in the order of painting."""
        box = shapely.box(window.cols.start, window.rows.start, window.cols.stop, window.rows.stop)
        return np.sort(self._tree.query(box, predicate="intersects"))


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

    Raises:
        OptionError: neither or both of `class_id` and `attribute`, or ids outside 0 to 255.
        LabelError: a file is missing or no vector, lacks the attribute or polygons, has unknown values, does not
            meet the raster, or has a CRS while the raster has none.
    """
    _check_options(class_id, attribute, values, unlabelled)
    features = read_polygons(str(path), layer=layer, attribute=attribute)
    ids = _class_ids(features, class_id=class_id, attribute=attribute, values=values)
    order = _painting_order(features, values if ranked else None)
    shapes = _Shapes(polygons_on_grid(features, grid)[order], ids[order])
    area, notes = None, features.notes + crs_notes(features, grid)
    if aoi is not None:
        outline = read_polygons(str(aoi), layer=None, attribute=None)
        area = _Shapes(polygons_on_grid(outline, grid), np.ones(len(outline.polygons), dtype=np.uint8))
        notes += outline.notes + crs_notes(outline, grid)
        _check_meets(str(aoi), area, grid.window, "the raster")
    where = grid.window if area is None else area.extent(grid)
    _check_meets(str(path), shapes, where, "the raster" if area is None else "the area of interest")
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


def _check_meets(path: str, shapes: _Shapes, window: Window, what: str) -> None:
    if not shapes.meets(window):
        raise LabelError(f"{path}: none of its polygons meets {what}", hint="check the CRS of both files")
