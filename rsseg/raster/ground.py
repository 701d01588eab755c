"""How much ground a unit of a map covers, by place."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import rasterio.warp
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from rsseg.raster.env import GDAL_ERRORS

_EARTH_RADIUS_M = 6378137.0
_STEP_M = 1000.0
"""Over so many metres of a map its scale is taken; it changes by 1e-8 of itself in between."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)

Places = NDArray[np.float64]


def unit_sides_m(crs: CRS, x: Places, y: Places) -> tuple[Places, Places]:
    """How many metres on the ground one unit of the map is at some places, from west to east and south to north.

    Exact on the ellipsoid for degrees (or other angles) and for Mercator projections, whose scale grows with latitude.
    In any other projection the map counts as true. Not a number, or nothing, where a map has no such place.

    Args:
        crs: of the map.
        x: of the places, in the units of the map.
        y: the same.
    """
    if crs.is_geographic:
        angle = crs.units_factor[1]  # in radians
        east, north = _radian_sides_m(crs, y * angle)
        return east * angle, north * angle
    if is_mercator(crs):
        return _mercator_sides_m(crs, x, y)
    return np.full(x.shape, unit_m(crs)), np.full(x.shape, unit_m(crs))


def mean_area_scale(
    crs: CRS, *, width: float, rows: range, to_map: Callable[[Places, Places], tuple[Places, Places]]
) -> float:
    """Mean ground area of a square unit of the map over some rows of pixels, in square metres; see `unit_sides_m`.

    Args:
        crs: of the map.
        width: of the rows, in pixels.
        rows: the rows.
        to_map: gives the map's coordinates of columns and rows.

    Returns:
        NaN where nobody knows.
    """
    if not crs.is_geographic and not is_mercator(crs):
        return unit_m(crs) ** 2
    # Scale changes so smoothly that 8 by 8 places tell the mean to the last digits.
    middle = 0.5 * (_NODES + 1)  # from -1...1 to 0...1
    east, north = unit_sides_m(crs, *to_map(*np.meshgrid(width * middle, rows.start + len(rows) * middle)))
    return float(_WEIGHTS @ (east * north) @ _WEIGHTS) / 4


def _radian_sides_m(crs: CRS, latitude: Places) -> tuple[Places, Places]:
    """Metres in a radian of longitude and of latitude on the ellipsoid, at latitudes in radians."""
    axis, flattening = ellipsoid(crs)
    squared = flattening * (2 - flattening)  # eccentricity
    flat = 1 - squared * np.sin(latitude) ** 2
    return axis * np.cos(latitude) / np.sqrt(flat), axis * (1 - squared) / flat**1.5


def _mercator_sides_m(crs: CRS, x: Places, y: Places) -> tuple[Places, Places]:
    """On a sphere or an ellipsoid, whichever parallel is true: degrees are compared a step to each side."""
    step = _STEP_M / unit_m(crs)
    try:
        east, _ = _degrees(crs, x + step / 2, y)
        west, latitude = _degrees(crs, x - step / 2, y)
        _, north = _degrees(crs, x, y + step / 2)
        _, south = _degrees(crs, x, y - step / 2)
    except GDAL_ERRORS:
        return np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    across, along = _radian_sides_m(crs, np.radians(latitude))
    return across * np.radians((east - west) % 360) / step, along * np.radians(north - south) / step


def lon_lat(crs: CRS, x: float, y: float) -> tuple[float, float] | None:
    """Longitude and latitude of a place of a map, in degrees of WGS 84; None where it has none, as on other planets."""
    try:
        longitude, latitude = _degrees(crs, np.array(x), np.array(y))
    except GDAL_ERRORS:
        return None
    return (float(longitude), float(latitude)) if np.isfinite([longitude, latitude]).all() else None


def _degrees(crs: CRS, x: Places, y: Places) -> tuple[Places, Places]:
    longitudes, latitudes = rasterio.warp.transform(crs, CRS.from_epsg(4326), x.ravel(), y.ravel())
    return np.reshape(longitudes, x.shape), np.reshape(latitudes, x.shape)


def unit_m(crs: CRS) -> float:
    """The metres in a unit of a projected CRS."""
    try:
        return float(crs.linear_units_factor[1])
    except CRSError:  # local systems: the unit stands in the text
        unit = re.search(r'UNIT\["[^"]*",([0-9.eE+-]+)', crs.to_wkt())
        return float(unit[1]) if unit else 1.0


def ellipsoid(crs: CRS) -> tuple[float, float]:
    """Semi-major axis in metres and flattening of the body the CRS describes, which need not be the Earth."""
    found = re.search(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",([0-9.eE+]+),([0-9.eE+]+)', crs.to_wkt())
    if found is None:
        return _EARTH_RADIUS_M, 0.0
    inverse = float(found[2])
    return float(found[1]), 1 / inverse if inverse else 0.0


def is_mercator(crs: CRS) -> bool:
    """Whether a CRS is a Mercator projection, whose scale grows with latitude."""
    names = r'PROJECTION\["Mercator|METHOD\["(Popular Visualisation Pseudo )?Mercator'
    return re.search(names, crs.to_wkt()) is not None
