"""Polygons from vector files, brought into the pixel coordinates of a raster and painted there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import rasterio.features
import rasterio.warp
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from rsseg.errors import ElsewhereError, LabelError
from rsseg.raster.env import GDAL_ERRORS, georeference_optional, reason
from rsseg.raster.grid import Grid, crs_name, same_crs, to_ground
from rsseg.tiling import Window

Bounds = tuple[float, float, float, float]
"""The smallest x and y, then the largest x and y."""

_LONGEST_EDGE_M = 1000.0
"""Straight edges longer than this are cut before they are reprojected; one of this length bends by about 2 cm."""
_MARGIN = 0.05
"""So much more than a raster, in parts of its sides, is looked at for polygons."""
_ANYTHING = ("Unknown", "GeometryCollection")
"""Kinds of geometry of layers that may hold polygons among others, as pyogrio calls them."""


@dataclass(frozen=True)
class PolygonLayer:
    """What is needed of a vector layer: its polygons, an attribute of each, and where they lie."""

    path: str
    polygons: NDArray[Any]
    attribute: NDArray[Any] | None
    crs: CRS | None
    notes: tuple[str, ...]


def read_polygons(
    path: str, *, layer: str | None, attribute: str | None, around: Grid | None = None
) -> PolygonLayer:
    """Read the polygons of a vector file; features of other kinds are left out with a note.

    Args:
        path: any file that OGR reads.
        layer: its layer, where several of its layers could hold polygons.
        attribute: the attribute to read with them.
        around: leave out, without a word, what is far from this raster; None reads all.

    Raises:
        LabelError: the file is missing, is no vector file, or lacks the attribute or polygons.
        ElsewhereError: none is near.
    """
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise LabelError(f"{path}: no such file", hint="check the path")
    try:
        layer = layer or _only_layer(path)
        info = pyogrio.read_info(path, layer=layer)
        fields = info["fields"]
        if attribute is not None and attribute not in fields:
            raise LabelError(
                f"{path}: has no attribute {attribute!r}, expected one of {', '.join(map(repr, fields)) or 'none'}",
                hint="see `ogrinfo -so FILE LAYER`",
            )
        crs = _crs(path, info["crs"])
        bounds = None if around is None else bounds_of_raster(around, crs)
        columns = [attribute] if attribute else []
        _, _, wkb, values = pyogrio.raw.read(path, layer=layer, columns=columns, bbox=bounds)
    except (DataSourceError, DataLayerError) as err:
        raise LabelError(
            f"{path}: is not a vector file that can be read ({reason(err)})", hint="try `ogrinfo FILE`"
        ) from err
    if bounds is not None and not len(wkb) and info["features"]:
        raise misses(path, "the raster")
    geometries = shapely.force_2d(shapely.from_wkb(wkb))
    kept = np.isin(shapely.get_type_id(geometries), (3, 6)) & ~shapely.is_empty(geometries)
    if not kept.any():
        raise LabelError(
            f"{path}: has no polygons (of {len(kept)} features)",
            hint="turn lines and points into areas first",
        )
    left_out = len(kept) - int(kept.sum())
    return PolygonLayer(
        path=path,
        polygons=geometries[kept],
        attribute=values[0][kept] if attribute else None,
        crs=crs,
        notes=(f"{path}: {left_out} features are not polygons and are left out",) if left_out else (),
    )


def _only_layer(path: str) -> str | None:
    """The one layer that can hold polygons; tables without geometry lie beside it in many files."""
    kinds = {name: kind for name, kind in pyogrio.list_layers(path).tolist() if kind is not None}
    areas = [name for name, kind in kinds.items() if "Polygon" in kind or kind in _ANYTHING]
    if len(areas) > 1:
        raise LabelError(
            f"{path}: has {len(areas)} layers with polygons, expected one: {', '.join(map(repr, areas))}",
            hint=f"make a file of the one you mean: ogr2ogr one.gpkg {path} {areas[0]!r}",
        )
    return str(next(iter(areas or kinds), "")) or None


def bounds_of_raster(grid: Grid, crs: CRS | None) -> Bounds | None:
    """A rectangle in a CRS that holds a raster and a little more; None where none can be given.

    Args:
        grid: the raster's.
        crs: None for the raster's own.
    """
    if grid.transform.is_degenerate or grid.gcps or grid.rpcs is not None or (crs and not grid.crs):
        return None
    corners = [(0, 0), (grid.width, 0), (0, grid.height), (grid.width, grid.height)]
    xs, ys = zip(*(to_ground(grid.transform, *corner) for corner in corners), strict=True)
    bounds = (min(xs), min(ys), max(xs), max(ys))
    if crs is not None and grid.crs is not None and not same_crs(crs, grid.crs):
        try:
            bounds = rasterio.warp.transform_bounds(grid.crs, crs, *bounds)
        except GDAL_ERRORS:
            return None
    left, bottom, right, top = bounds
    if not (np.isfinite(bounds).all() and left < right and bottom < top):  # across the antimeridian
        return None
    margin_x, margin_y = _MARGIN * (right - left), _MARGIN * (top - bottom)
    return left - margin_x, bottom - margin_y, right + margin_x, top + margin_y


def misses(path: str, what: str) -> ElsewhereError:
    """The error for polygons that lie elsewhere."""
    return ElsewhereError(f"{path}: none of its polygons meets {what}", hint="check the CRS of both files")


def _crs(path: str, text: str | None) -> CRS | None:
    if not text:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as err:
        raise LabelError(f"{path}: has a CRS that is not understood ({reason(err)})") from err


def polygons_on_grid(layer: PolygonLayer, grid: Grid) -> NDArray[Any]:
    """Bring polygons into pixel coordinates (x = columns, y = rows); those that cannot be placed become empty.

    Raises:
        LabelError: the image is placed by control points only, by a transform that cannot be turned round, or has no
            CRS while the polygons have one.
    """
    if grid.gcps or grid.rpcs is not None:
        raise LabelError(
            f"{layer.path}: polygons cannot be laid on an image placed by control points only",
            hint="rectify the image first, for example with gdalwarp",
        )
    if grid.transform.is_degenerate:
        raise LabelError(
            f"{layer.path}: cannot be laid on the image, whose transform gives pixels no area",
            hint="give the image its place again: gdal_edit -a_ullr ...",
        )
    polygons = layer.polygons
    if layer.crs is not None and grid.crs is None:
        raise LabelError(
            f"{layer.path}: has the CRS {crs_name(layer.crs)}, but the image has none",
            hint="give the image its CRS first: gdal_edit -a_srs ...",
        )
    if layer.crs is not None and grid.crs is not None and not same_crs(layer.crs, grid.crs):
        polygons = _reprojected(layer, grid)
    xy = shapely.get_coordinates(polygons)
    cols, rows = to_ground(~grid.transform, xy[:, 0], xy[:, 1])
    placed = np.asarray(shapely.set_coordinates(polygons.copy(), np.column_stack([cols, rows])))
    # A place that the projection does not have, such as a pole in Mercator, comes back as infinity.
    placed[~np.isfinite(shapely.bounds(placed)).all(axis=1)] = shapely.Polygon()
    return placed


def _reprojected(layer: PolygonLayer, grid: Grid) -> NDArray[Any]:
    """The polygons in the grid's CRS, in which a vertex may be infinitely far away."""
    assert layer.crs is not None
    assert grid.crs is not None
    unit_m = 111_000.0 if layer.crs.is_geographic else 1.0
    polygons = shapely.segmentize(layer.polygons, _LONGEST_EDGE_M / unit_m)
    xy = shapely.get_coordinates(polygons)
    try:
        xs, ys = rasterio.warp.transform(layer.crs, grid.crs, xy[:, 0], xy[:, 1])
    except GDAL_ERRORS as err:
        raise LabelError(
            f"{layer.path}: cannot be brought from {crs_name(layer.crs)} to {crs_name(grid.crs)} ({reason(err)})"
        ) from err
    return np.asarray(shapely.set_coordinates(polygons, np.column_stack([xs, ys])))


def crs_notes(layer: PolygonLayer, grid: Grid) -> tuple[str, ...]:
    """Say so if the image's CRS is assumed."""
    if layer.crs is not None or grid.crs is None:
        return ()
    return (f"{layer.path}: has no CRS; its coordinates are taken in the image's, {crs_name(grid.crs)}",)


class Shapes:
    """Polygons in pixel coordinates (x = columns, y = rows), in the order of painting, with their class ids.

    Methods may be called from any thread.
    """

    def __init__(self, polygons: NDArray[Any], ids: NDArray[np.uint8], *, all_touched: bool = False) -> None:
        self._polygons = polygons
        self._ids = ids
        self._all_touched = all_touched
        self._tree = shapely.STRtree(polygons)

    def meets(self, window: Window) -> bool:
        """Whether any polygon touches a window."""
        return bool(len(self._near(window)))

    def cover(self, window: Window) -> bool:
        """Whether one polygon holds a window as a whole; polygons that cross themselves may give a wrong answer."""
        return bool(len(self._tree.query(_box(window), predicate="covered_by")))

    def paint(self, window: Window, *, background: int) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of the pixels whose centre is in a polygon, or that it touches if all count."""
        near = self._near(window)
        if not len(near):
            return np.full((window.height, window.width), background, dtype=np.uint8)
        # rasterio silences its own warning here in a way that is not safe in threads; this takes turns.
        with georeference_optional():
            painted: NDArray[np.uint8] = rasterio.features.rasterize(
                zip(self._polygons[near], self._ids[near].tolist(), strict=True),
                out_shape=(window.height, window.width),
                fill=background,
                all_touched=self._all_touched,
                transform=Affine.translation(window.col_off, window.row_off),
                dtype="uint8",
            )
        return painted

    def _near(self, window: Window) -> NDArray[np.intp]:
        """Which polygons may touch a window, in the order of painting."""
        return np.sort(self._tree.query(_box(window), predicate="intersects"))


def _box(window: Window) -> Any:
    return shapely.box(window.cols.start, window.rows.start, window.cols.stop, window.rows.stop)
