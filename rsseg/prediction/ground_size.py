"""How many pixels the network sees of a raster, so that each is as large on the ground as asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rsseg.errors import RasterError
from rsseg.raster import Grid

_AUTO_RATIO = 2.0
"""`auto` resamples up to this ratio, either way; beyond it the imagery is of another kind than the weights know."""
_SAME_RATIO = 1.05
"""`auto` leaves pixels alone that are as good as the wished ones: each resampling blurs."""
_MOST_RATIO = 16.0
"""Beyond this a tile would be read from, or written to, more than 256 times its pixels."""


@dataclass(frozen=True)
class SeenSize:
    """The size in which the network sees a raster, in pixels, and what to tell the user about it."""

    width: int
    height: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def seen_size(
    grid: Grid, wish: float | Literal["auto", "native"], *, card_gsd_m: float | None, path: str
) -> SeenSize:
    """Decide how many pixels the network sees.

    Each axis has its own ratio, so that what is seen is square on the ground where the raster's pixels are not.

    Args:
        grid: the raster's.
        wish: `native`, `auto`, or metres.
        card_gsd_m: ground size of the pixels that the weights were trained on.
        path: how messages call the raster.

    Raises:
        RasterError: metres are asked for, and the raster does not say how large its pixels are, or by far too large
            or small.
    """
    native = SeenSize(grid.width, grid.height)
    sides = grid.pixel_sides_m
    if wish == "native":
        return native
    if wish == "auto":
        return _auto(grid, sides, card_gsd_m, path)
    if sides is None:
        raise RasterError(
            f"{path}: does not say how large its pixels are on the ground (no CRS or no place), so --gsd"
            f" {wish:g} has no meaning",
            hint="leave --gsd out, or give the raster its CRS and place with gdal_edit",
        )
    if _ratio(sides, wish) > _MOST_RATIO:
        raise RasterError(
            f"{path}: its pixels are {_metres(sides)}; --gsd {wish:g} is more than {_MOST_RATIO:g} times off",
            hint="resample it first, for example with gdalwarp",
        )
    return _resampled(grid, sides, wish, path)


def _auto(grid: Grid, sides: tuple[float, float] | None, card_gsd_m: float | None, path: str) -> SeenSize:
    """The card's ground size where that is known and near; otherwise the raster as it is, and why."""
    width, height = grid.width, grid.height
    if sides is None or card_gsd_m is None:
        who = "the weights do" if card_gsd_m is None else "it does"
        told = (
            f"{path}: is seen as it is, because {who} not say how large pixels are on the ground (--gsd auto)"
        )
        return SeenSize(width, height, notes=(told,))
    if _ratio(sides, card_gsd_m) <= _SAME_RATIO:
        return SeenSize(width, height)
    # The mean of both sides decides: in degrees, one of them may be beyond at high latitudes.
    mean = math.sqrt(math.prod(sides))
    if _ratio((mean, mean), card_gsd_m) > _AUTO_RATIO:
        told = (
            f"{path}: its pixels are {_metres(sides)}, the weights were trained on {card_gsd_m:.3g} m; that is too"
            " far apart for --gsd auto, so they are seen as they are"
        )
        return SeenSize(width, height, warnings=(told,))
    return _resampled(grid, sides, card_gsd_m, path)


def _resampled(grid: Grid, sides: tuple[float, float], gsd_m: float, path: str) -> SeenSize:
    width = max(1, round(grid.width * sides[0] / gsd_m))
    height = max(1, round(grid.height * sides[1] / gsd_m))
    if (width, height) == (grid.width, grid.height):
        return SeenSize(width, height)
    told = f"{path}: its pixels of {_metres(sides)} are seen as {width} x {height} px of {gsd_m:.3g} m"
    return SeenSize(width, height, notes=(told,))


def _ratio(sides: tuple[float, float], gsd_m: float) -> float:
    """How many times larger or smaller a side is, whichever is farther off; at least 1."""
    return max(max(side / gsd_m, gsd_m / side) for side in sides)


def _metres(sides: tuple[float, float]) -> str:
    across, down = (f"{side:.3g}" for side in sides)
    return f"{across} m" if across == down else f"{across} x {down} m"
