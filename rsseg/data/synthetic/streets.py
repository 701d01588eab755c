"""The plan of the world: a bent lattice of streets and rivers, and how densely each place is built.

Lattice points are (column, row), columns of points join to winding streets one way, rows the other way. Everything is
a function of the seed and of lattice numbers, so a block knows its surroundings without anything else being made.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.data.synthetic.noise import FloatArray, hashed, smooth_noise

PITCH_M: Final = 88.0
"""Mean distance of neighbouring streets."""

WARP_M: Final = 42.0
WARP_SCALE_M: Final = 380.0
TOWN_PITCH_M: Final = 620.0
RIVER_EVERY: Final = 8
MAIN_EVERY: Final = 5

Kind = Literal["main", "street", "lane", "track", "river", "none"]


class Street(NamedTuple):
    """What runs along one edge of the lattice; `width` in metres, without pavements and banks.

    `stops` says whether it ends at the bank of a river, without a bridge, at its start and at its end.
    """

    kind: Kind
    width: float
    stops: tuple[bool, bool] = (False, False)

    @property
    def reserve(self) -> float:
        """Half of what has to stay free for it, in metres."""
        margin = {"main": 2.4, "street": 1.0, "lane": 0.3, "track": 0.5, "river": 5.0, "none": 0.4}
        return self.width / 2 + margin[self.kind]


class Curve(NamedTuple):
    """A cubic in a parameter from 0 to 1: `coefficients` (4, 2), constant term first."""

    coefficients: FloatArray

    def at(self, t: FloatArray) -> FloatArray:
        """Points (n, 2) at parameters (n,)."""
        c = self.coefficients
        s = np.asarray(t, dtype=np.float64)[:, None]
        return np.asarray(c[0] + s * (c[1] + s * (c[2] + s * c[3])))

    def between(self, start: float, end: float) -> Curve:
        """The part of the curve between two parameters, which becomes 0 to 1."""
        c, span = self.coefficients, end - start
        return Curve(
            np.stack(
                [
                    c[0] + start * (c[1] + start * (c[2] + start * c[3])),
                    span * (c[1] + start * (2 * c[2] + start * 3 * c[3])),
                    span**2 * (c[2] + start * 3 * c[3]),
                    span**3 * c[3],
                ]
            )
        )


class Frame(NamedTuple):
    """A block: its four bounding curves, and the streets on them."""

    top: Curve
    bottom: Curve
    left: Curve
    right: Curve
    streets: tuple[Street, Street, Street, Street]
    """On the left, top, right and bottom side."""

    def at(self, s: FloatArray, t: FloatArray) -> FloatArray:
        """Points (n, 2) of the Coons patch between the four curves (Coons 1967); s runs along the top, t down."""
        a, b = s[:, None], t[:, None]
        ends = self.top.at(np.array([0.0, 1.0])), self.bottom.at(np.array([0.0, 1.0]))
        flat = (1 - b) * ((1 - a) * ends[0][0] + a * ends[0][1]) + b * ((1 - a) * ends[1][0] + a * ends[1][1])
        ruled = (
            (1 - b) * self.top.at(s)
            + b * self.bottom.at(s)
            + (1 - a) * self.left.at(t)
            + a * self.right.at(t)
        )
        return np.asarray(ruled - flat)


def lattice_points(seed: int, i: NDArray[np.int64], j: NDArray[np.int64]) -> FloatArray:
    """Where the lattice points (i, j) lie, in metres: (..., 2)."""
    x = PITCH_M * (i + 0.42 * (hashed(seed, 1, i, 0 * i) - 0.5) + 0.2 * (hashed(seed, 3, i, j) - 0.5))
    y = PITCH_M * (j + 0.42 * (hashed(seed, 2, 0 * j, j) - 0.5) + 0.2 * (hashed(seed, 4, i, j) - 0.5))
    x, y = (
        x + WARP_M * smooth_noise(seed, 5, x / WARP_SCALE_M, y / WARP_SCALE_M),
        y + WARP_M * smooth_noise(seed, 6, x / WARP_SCALE_M, y / WARP_SCALE_M),
    )
    cos, sin = math.cos(turn(seed)), math.sin(turn(seed))
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


@lru_cache(maxsize=64)
def turn(seed: int) -> float:
    """How far the whole plan is turned, in radians: no street runs along the pixel grid."""
    return math.radians(12 + 50 * _luck(seed, 7, 0, 0))


def block_range(seed: int, x0: float, y0: float, x1: float, y1: float) -> tuple[range, range]:
    """Columns and rows of all blocks that can touch a rectangle of the world; some of them may not."""
    cos, sin = math.cos(turn(seed)), math.sin(turn(seed))
    corners = [(x, y) for x in (x0, x1) for y in (y0, y1)]
    u = [cos * x + sin * y for x, y in corners]
    v = [-sin * x + cos * y for x, y in corners]
    slack = WARP_M + 0.4 * PITCH_M + 14.0

    def lines(values: list[float]) -> range:
        return range(
            math.floor((min(values) - slack) / PITCH_M) - 1, math.ceil((max(values) + slack) / PITCH_M) + 1
        )

    return lines(u), lines(v)


def density(seed: int, x: float, y: float) -> float:
    """How densely a place is built: above 0.5 a town's core, below 0 open land."""
    gx, gy = np.meshgrid(np.arange(-1, 2), np.arange(-1, 2))
    i, j = gx + math.floor(x / TOWN_PITCH_M), gy + math.floor(y / TOWN_PITCH_M)
    cx = TOWN_PITCH_M * (i + 0.5 + 0.3 * (hashed(seed, 8, i, j) - 0.5))
    cy = TOWN_PITCH_M * (j + 0.5 + 0.3 * (hashed(seed, 9, i, j) - 0.5))
    radius = 200 + 150 * hashed(seed, 10, i, j)
    town = float((1 - np.hypot(cx - x, cy - y) / radius).max())
    ripple = smooth_noise(seed, 11, np.array(x / 130), np.array(y / 130))
    return town + 0.28 * float(ripple)


@lru_cache(maxsize=512)
def block_frame(seed: int, i: int, j: int) -> Frame:
    """The block between lattice columns i and i + 1 and rows j and j + 1."""
    cols, rows = np.meshgrid(np.arange(i - 1, i + 3), np.arange(j - 1, j + 3))
    p = lattice_points(seed, cols, rows)  # (row, column, 2)
    return Frame(
        top=_through(p[1]),
        bottom=_through(p[2]),
        left=_through(p[:, 1]),
        right=_through(p[:, 2]),
        streets=(
            street_at(seed, 0, i, j, p[1:3, 1].mean(axis=0)),
            street_at(seed, 1, j, i, p[1, 1:3].mean(axis=0)),
            street_at(seed, 0, i + 1, j, p[1:3, 2].mean(axis=0)),
            street_at(seed, 1, j + 1, i, p[2, 1:3].mean(axis=0)),
        ),
    )


def street_at(seed: int, axis: int, line: int, step: int, middle: FloatArray) -> Street:
    """What runs along lattice line `line` (0: a column, 1: a row) from its point `step` to the next."""
    if axis == 0 and _is_river(seed, line):
        return Street("river", 8.0 + 3.0 * _luck(seed, 16, line, 0))
    if (line + _offset(seed, axis)) % MAIN_EVERY == 2:
        return Street("main", 10.5)
    shores = tuple(column for column in (step, step + 1) if axis == 1 and _is_river(seed, column))
    bridges = {column: _luck(seed, 17, column, line) < 0.4 for column in shores}
    stops = shores == (step,) and not bridges[step], shores == (step + 1,) and not bridges[step + 1]
    kind, width = _minor_street(density(seed, *middle.tolist()), _luck(seed, 12 + axis, line, step))
    if kind == "none" and any(bridges.values()):
        return Street("track", 3.0, stops)
    return Street(kind, width, stops)


def _minor_street(built: float, luck: float) -> tuple[Kind, float]:
    """What the density of building around it, and luck, make of an edge."""
    if built > 0.45:
        return ("street", 4.5 + 2 * luck) if luck < 0.6 else ("lane", 3.0 + luck)
    if built > 0.0:
        return ("street", 5.0 + 2 * luck) if luck < 0.5 else ("lane", 3.2 + luck)
    return ("none", 0.0) if luck < 0.45 else ("track", 2.2 + 1.5 * luck)


def _is_river(seed: int, column: int) -> bool:
    return (column + _offset(seed, 0)) % RIVER_EVERY == 0


@lru_cache(maxsize=64)
def _offset(seed: int, axis: int) -> int:
    return int(_luck(seed, 14 + axis, 0, 0) * 64)


def _luck(seed: int, salt: int, i: int, j: int) -> float:
    """One number in [0, 1)."""
    return float(hashed(seed, salt, np.array([i]), np.array([j]))[0])


def _through(p: FloatArray) -> Curve:
    """The Catmull-Rom curve from the second to the third of four points."""
    return Curve(
        np.stack(
            [
                p[1],
                0.5 * (p[2] - p[0]),
                p[0] - 2.5 * p[1] + 2 * p[2] - 0.5 * p[3],
                0.5 * (p[3] - p[0]) + 1.5 * (p[1] - p[2]),
            ]
        )
    )
