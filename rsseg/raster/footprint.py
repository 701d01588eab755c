"""Where parts of several rasters lie on one plane, to find out what overlaps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.warp
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from rsseg.raster.env import GDAL_ERRORS
from rsseg.raster.grid import Grid, same_crs, to_ground
from rsseg.raster.polygons import polygons_on_grid, read_polygons
from rsseg.tiling import Window

_MERCATOR = "EPSG:3857"
_LONGEST_EDGE = 1024.0
"""Edges longer than this, in pixels, are cut before they are reprojected, since they bend."""


@dataclass(frozen=True)
class Plane:
    """A plane for the places of several rasters: the CRS they share, or web Mercator; None for one without a name.

    Both keep angles, so that a distance on the ground is the same number of its units in all directions.
    """

    crs: CRS | None

    @classmethod
    def of(cls, grids: Iterable[Grid]) -> Plane | None:
        """The plane for rasters of which some are placed; None if none is."""
        placed = [grid for grid in grids if _is_affine(grid)]
        known: list[CRS] = [grid.crs for grid in placed if grid.crs is not None]
        if not known:
            return cls(None) if placed else None
        first = known[0]
        if not first.is_geographic and all(crs is first or same_crs(crs, first) for crs in known[1:]):
            return cls(first)
        return cls(CRS.from_string(_MERCATOR))

    def holds(self, grid: Grid) -> bool:
        """Whether a raster has a place on it: control points do not count, nor a raster without a CRS among others."""
        return _is_affine(grid) and (self.crs is None) == (grid.crs is None)

    def outlines(self, grid: Grid, windows: Sequence[Window]) -> NDArray[Any]:
        """Polygons around windows of a raster that it holds; empty ones where the plane has no such place."""
        boxes = [shapely.box(w.cols.start, w.rows.start, w.cols.stop, w.rows.stop) for w in windows]
        polygons = shapely.segmentize(np.array(boxes, dtype=object), _LONGEST_EDGE)
        xy = shapely.get_coordinates(polygons)
        x, y = self.places_of(grid, xy[:, 0], xy[:, 1])
        placed = np.asarray(shapely.set_coordinates(polygons, np.column_stack([x, y])))
        placed[~np.isfinite(shapely.bounds(placed)).all(axis=1)] = shapely.Polygon()
        return placed

    def places_of(
        self, grid: Grid, cols: NDArray[Any], rows: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Places on the plane of columns and rows of a raster; the centre of its first pixel is (0.5, 0.5)."""
        return _moved(grid.crs, self.crs, *to_ground(grid.transform, cols, rows))

    def pixels_of(self, grid: Grid, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Columns and rows of a raster at places of the plane; infinite where it has none."""
        x, y = _moved(self.crs, grid.crs, x, y)
        cols, rows = to_ground(~grid.transform, x, y)
        return cols, rows


def polygons_in_pixels(polygons: NDArray[Any], plane: Plane, grid: Grid) -> NDArray[Any]:
    """Polygons of a plane in the pixel coordinates (x = columns, y = rows) of a raster that it holds."""
    xy = shapely.get_coordinates(polygons)
    cols, rows = plane.pixels_of(grid, xy[:, 0], xy[:, 1])
    return np.asarray(shapely.set_coordinates(polygons.copy(), np.column_stack([cols, rows])))


def area_in_pixels(path: Path, grid: Grid) -> Any:
    """The area of a vector file as one polygon in pixel coordinates.

    Raises:
        LabelError: see `rsseg.raster.area.open_area`.
    """
    layer = read_polygons(str(path), layer=None, attribute=None, around=grid)
    return shapely.union_all(shapely.make_valid(polygons_on_grid(layer, grid)))


def area_geojson(area: Any, grid: Grid) -> bytes:
    """A polygon in pixel coordinates as GeoJSON: in the raster's CRS if that has an EPSG code, else in WGS 84."""
    shape = shapely.segmentize(area, _LONGEST_EDGE)
    xy = shapely.get_coordinates(shape)
    x, y = to_ground(grid.transform, xy[:, 0], xy[:, 1])
    code = None if grid.crs is None else grid.crs.to_epsg()
    if code is None:
        x, y = _moved(grid.crs, CRS.from_epsg(4326), x, y)
    placed = shapely.set_coordinates(shape, np.column_stack([x, y]))
    document: dict[str, Any] = {"type": "FeatureCollection"}
    if code is not None:
        document["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
    document["features"] = [
        {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(part))}
        for part in shapely.get_parts(placed)
        if shapely.get_type_id(part) == 3
    ]
    return json.dumps(document).encode()


def _is_affine(grid: Grid) -> bool:
    return grid.georeferenced() and not grid.gcps and grid.rpcs is None and not grid.transform.is_degenerate


def _moved(
    source: CRS | None, target: CRS | None, x: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Places in another CRS; infinite where it does not have them."""
    if source is None or target is None or same_crs(source, target):
        return x, y
    try:
        moved = rasterio.warp.transform(source, target, x, y)
    except GDAL_ERRORS:
        return np.full(x.shape, np.inf), np.full(y.shape, np.inf)
    return np.asarray(moved[0]), np.asarray(moved[1])
