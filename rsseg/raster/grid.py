"""Where the pixels of a raster lie on the ground."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import rasterio.transform
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine

from rsseg.errors import RasterError
from rsseg.raster.ground import mean_area_scale, unit_sides_m
from rsseg.tiling import Window

_SAME_PLACE_PX = 0.01
"""Corners may differ by this part of a pixel: other tools round the numbers of a transform."""


class ControlPoint(NamedTuple):
    """A pixel position with its place on the ground, in the units of the points' CRS."""

    row: float
    col: float
    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Grid:
    """Size and georeference of a raster.

    A raster lies on the ground by its `transform` (any affine one: rotated, south-up), or by ground control points
    `gcps` in `gcp_crs`, or by rational polynomials `rpcs`; the last two come with the identity as transform.
    """

    width: int
    height: int
    transform: Affine = Affine.identity()  # noqa: RUF009 - immutable
    crs: CRS | None = None
    gcps: tuple[ControlPoint, ...] = ()
    gcp_crs: CRS | None = None
    rpcs: RPC | None = None

    @property
    def window(self) -> Window:
        """All of the raster."""
        return Window.whole(self.width, self.height)

    def georeferenced(self) -> bool:
        """Whether anything says where the raster lies, with or without a CRS."""
        return self.transform != Affine.identity() or bool(self.gcps) or self.rpcs is not None

    @cached_property
    def gsd_m(self) -> float | None:
        """Side of a pixel in metres on the ground, at the middle of the raster; None where that is unknown.

        It is the root of the pixel's area, so rotation does not matter. The scale of Mercator projections and the
        shrinking of degrees with latitude are taken out, on the ellipsoid.
        """
        transform, unit = self._affine(), self._unit_sides_m()
        if transform is None or unit is None:
            return None
        metres = math.sqrt(abs(transform.determinant) * math.prod(unit))
        return metres if metres > 0 else None

    def pixel_area_m2(self, rows: range) -> float | None:
        """Mean area of a pixel of these rows on the ground, in square metres; None where that is unknown.

        Exact on the ellipsoid for degrees and for Mercator projections, whose scale grows with latitude. Any other
        projection counts as true: the area is that of the map (UTM is off by 0.2 % at most).
        """
        crs, transform = self.crs or self.gcp_crs, self._affine()
        if crs is None or transform is None:
            return None
        scale = mean_area_scale(
            crs, width=self.width, rows=rows, to_map=lambda x, y: to_ground(transform, x, y)
        )
        area = abs(transform.determinant) * scale
        return area if area > 0 else None  # not a number where a map has no such place

    @cached_property
    def pixel_sides_m(self) -> tuple[float, float] | None:
        """How far a step along a row and one along a column go, in metres on the ground; None where unknown.

        Both at the middle of the raster and in the way of `gsd_m`. They differ in degrees, whose length from west to
        east shrinks towards the poles.
        """
        transform, unit = self._affine(), self._unit_sides_m()
        if transform is None or unit is None or self.gsd_m is None:
            return None
        t, (east, north) = transform, unit
        return math.hypot(t.a * east, t.d * north), math.hypot(t.b * east, t.e * north)

    def resized(self, width: int, height: int) -> Grid:
        """The grid of so many pixels over the same ground.

        Args:
            width: columns, at least 1.
            height: rows, at least 1.
        """
        x, y = self.width / width, self.height / height
        points = tuple(p._replace(row=p.row / y, col=p.col / x) for p in self.gcps)
        placed = self.transform != Affine.identity()
        transform = self.transform @ Affine.scale(x, y) if placed else self.transform
        return replace(self, width=width, height=height, transform=transform, gcps=points, rpcs=None)

    def _unit_sides_m(self) -> tuple[float, float] | None:
        """Metres on the ground in a unit of the map at the middle, from west to east and from south to north."""
        crs, transform = self.crs or self.gcp_crs, self._affine()
        if crs is None or transform is None:
            return None
        x, y = to_ground(transform, self.width / 2, self.height / 2)
        east, north = (float(side) for side in unit_sides_m(crs, np.array(x), np.array(y)))
        return (east, north) if east > 0 and north > 0 else None  # a map may have no such place

    def _affine(self) -> Affine | None:
        """The transform, or the one that fits the control points best."""
        if self.transform != Affine.identity():
            return self.transform
        if len(self.gcps) < 3:
            return None
        return rasterio.transform.from_gcps(control_points(self))


def grid_of(dataset: Any) -> Grid:
    """The grid of an open rasterio dataset."""
    gcps, gcp_crs = dataset.gcps
    points = tuple(ControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0) for p in gcps)
    placed = dataset.transform != Affine.identity()
    return Grid(
        width=dataset.width,
        height=dataset.height,
        transform=dataset.transform,
        crs=dataset.crs or None,
        gcps=() if placed else points,
        gcp_crs=(gcp_crs or None) if points and not placed else None,
        rpcs=None if placed or points else dataset.rpcs,
    )


def to_ground(transform: Affine, x: Any, y: Any) -> tuple[Any, Any]:
    """Apply a transform to numbers or arrays; affine's own operator for this differs between its versions."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def control_points(grid: Grid) -> list[GroundControlPoint]:
    """The ground control points as rasterio wants them; numbered, since GDAL would give random names."""
    return [
        GroundControlPoint(row=p.row, col=p.col, x=p.x, y=p.y, z=p.z, id=str(i), info="")
        for i, p in enumerate(grid.gcps, start=1)
    ]


def place_on_grid(dataset: Any, grid: Grid) -> None:
    """Write the georeference of a grid into an open rasterio dataset."""
    if grid.gcps:
        dataset.gcps = (control_points(grid), grid.gcp_crs or CRS())
    elif grid.georeferenced() and grid.rpcs is None:
        dataset.transform = grid.transform
    elif grid.rpcs is not None:
        dataset.rpcs = grid.rpcs
    if grid.crs is not None and not grid.gcps:
        dataset.crs = grid.crs


def north_up_grid(width: int, height: int, *, west: float, north: float, gsd_m: float, epsg: int) -> Grid:
    """The grid of a north-up raster with square pixels in a metric CRS; `west`, `north` is its upper left corner."""
    transform = Affine(gsd_m, 0.0, west, 0.0, -gsd_m, north)
    return Grid(width=width, height=height, transform=transform, crs=CRS.from_epsg(epsg))


def check_same_grid(a: Grid, b: Grid, *, what_a: str, what_b: str) -> None:
    """Refuse two rasters whose pixels do not lie upon one another.

    Sizes always have to be equal. Places are compared only when both rasters have one, because labels are often
    stored as plain images beside their georeferenced photo.

    Args:
        a: one grid.
        b: the other.
        what_a: how messages call the first, such as its path.
        what_b: how messages call the second.

    Raises:
        RasterError: size, CRS, transform or control points differ.
    """
    if (a.width, a.height) != (b.width, b.height):
        raise RasterError(
            f"{what_b}: is {b.width} x {b.height} px, {what_a} is {a.width} x {a.height} px",
            hint="both must cover the same pixels; see gdalwarp -te ... -ts ...",
        )
    if not (a.georeferenced() and b.georeferenced()):
        return
    difference = _place_difference(a, b)
    if difference:
        raise RasterError(
            f"{what_b}: {difference.format(b='its', a=f'of {what_a}')}",
            hint="bring both onto one grid first, for example with gdalwarp",
        )


def _place_difference(a: Grid, b: Grid) -> str | None:
    """What differs between the places of two grids of one size, as a phrase with blanks for both."""
    if a.crs and b.crs and not same_crs(a.crs, b.crs):
        return f"{{b}} CRS {crs_name(b.crs)} differs from the CRS {crs_name(a.crs)} {{a}}"
    if (a.gcps, a.gcp_crs, a.rpcs) != (b.gcps, b.gcp_crs, b.rpcs):
        return "{b} control points differ from those {a}"
    shift = _largest_shift(a, b)
    if shift > _SAME_PLACE_PX:
        return f"{{b}} pixels lie up to {shift:.4g} px away from those {{a}}"
    return None


def same_crs(a: CRS, b: CRS) -> bool:
    """Whether two CRS are the same; EPSG codes decide, because GDAL takes realisations of one datum for equal."""
    codes = a.to_epsg(), b.to_epsg()
    return codes[0] == codes[1] if None not in codes else bool(a == b)


def _largest_shift(a: Grid, b: Grid) -> float:
    """How far a corner of `b` is from the same corner of `a`, in pixels of `a`."""
    if a.transform == b.transform:
        return 0.0
    if a.transform.is_degenerate:
        return math.inf
    corners = [(0, 0), (a.width, 0), (0, a.height), (a.width, a.height)]
    return max(math.dist(c, to_ground(~a.transform, *to_ground(b.transform, *c))) for c in corners)


def grid_text(grid: Grid) -> str:
    """A grid in a few words: size, size of a pixel in units of the map, and CRS."""
    t = grid.transform
    sides = f"{math.hypot(t.a, t.d):.6g} x {math.hypot(t.b, t.e):.6g}"
    crs = "no CRS" if grid.crs is None else crs_name(grid.crs)
    return f"{grid.width} x {grid.height} px of {sides}, {crs}"


def crs_name(crs: CRS) -> str:
    """A CRS in a word or two: its EPSG code, or the name it gives itself."""
    code = crs.to_epsg()
    if code is not None:
        return f"EPSG:{code}"
    name = re.search(r'\["([^"]*)"', crs.to_wkt())
    return f'"{name[1]}"' if name else "without a name"
