"""Polygons from vector files, brought into the pixel coordinates of a raster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import rasterio.warp
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsseg.errors import LabelError
from rsseg.raster.env import GDAL_ERRORS, reason
from rsseg.raster.grid import Grid, crs_name, same_crs, to_ground

_LONGEST_EDGE_M = 1000.0
"""Straight edges longer than this are cut before they are reprojected; one of this length bends by about 2 cm."""


@dataclass(frozen=True)
class PolygonLayer:
    """What is needed of a vector layer: its polygons, an attribute of each, and where they lie."""

    path: str
    polygons: NDArray[Any]
    attribute: NDArray[Any] | None
    crs: CRS | None
    notes: tuple[str, ...]


def read_polygons(path: str, *, layer: str | None, attribute: str | None) -> PolygonLayer:
    """Read the polygons of a vector file; features of other kinds are left out with a note.

    Args:
        path: any file that OGR reads.
        layer: its layer, where it has several.
        attribute: the attribute to read with them.

    Raises:
        LabelError: the file is missing, is no vector file, or lacks the attribute or polygons.
    """
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise LabelError(f"{path}: no such file", hint="check the path")
    try:
        fields = pyogrio.read_info(path, layer=layer)["fields"]
        if attribute is not None and attribute not in fields:
            raise LabelError(
                f"{path}: has no attribute {attribute!r}, expected one of {', '.join(map(repr, fields)) or 'none'}",
                hint="see `ogrinfo -so FILE LAYER`",
            )
        meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer, columns=[attribute] if attribute else [])
    except (DataSourceError, DataLayerError) as err:
        raise LabelError(
            f"{path}: is not a vector file that can be read ({reason(err)})", hint="try `ogrinfo FILE`"
        ) from err
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
        attribute=columns[0][kept] if attribute else None,
        crs=_crs(path, meta["crs"]),
        notes=(f"{path}: {left_out} features are not polygons and are left out",) if left_out else (),
    )


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
            f"{layer.path}: vector labels cannot be laid on an image placed by control points only",
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
