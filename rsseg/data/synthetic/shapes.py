"""Convex shapes in the world: metres from the scene's upper left corner, x to the east, y to the south."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.data.synthetic.palette import Paint

Point = tuple[float, float]


class Shape(NamedTuple):
    """A convex polygon: the points where a x + b y + c >= 0 for all rows (a, b, c) of `edges`.

    `bounds` is x and y of the upper left corner, then of the lower right one; `height` is metres above ground.
    """

    edges: NDArray[np.float64]
    bounds: tuple[float, float, float, float]
    height: float
    paint: Paint


class Quad(NamedTuple):
    """Four corners in turn; u runs from `a` to `b`, v from `a` to `d`, both from 0 to 1."""

    a: Point
    b: Point
    c: Point
    d: Point

    @property
    def width(self) -> float:
        """Mean length along u, in metres."""
        return (math.dist(self.a, self.b) + math.dist(self.d, self.c)) / 2

    @property
    def depth(self) -> float:
        """Mean length along v, in metres."""
        return (math.dist(self.a, self.d) + math.dist(self.b, self.c)) / 2

    @property
    def across(self) -> Point:
        """The unit vector along u."""
        return _unit(
            self.b[0] - self.a[0] + self.c[0] - self.d[0], self.b[1] - self.a[1] + self.c[1] - self.d[1]
        )

    @property
    def along(self) -> Point:
        """The unit vector along v."""
        return _unit(
            self.d[0] - self.a[0] + self.c[0] - self.b[0], self.d[1] - self.a[1] + self.c[1] - self.b[1]
        )

    def at(self, u: float, v: float) -> Point:
        """The point with these coordinates; they may leave 0 to 1."""
        p, q, r, s = (1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v
        return (
            p * self.a[0] + q * self.b[0] + r * self.c[0] + s * self.d[0],
            p * self.a[1] + q * self.b[1] + r * self.c[1] + s * self.d[1],
        )

    def part(self, u0: float, v0: float, u1: float, v1: float) -> Quad:
        """The part between these coordinates."""
        return Quad(self.at(u0, v0), self.at(u1, v0), self.at(u1, v1), self.at(u0, v1))

    def inset(self, left: float, top: float, right: float, bottom: float) -> Quad:
        """The quad with its sides moved inwards by so many metres, at most to its middle."""
        w, d = max(self.width, 1e-6), max(self.depth, 1e-6)
        return self.part(
            min(left / w, 0.48), min(top / d, 0.48), 1 - min(right / w, 0.48), 1 - min(bottom / d, 0.48)
        )

    def turned(self) -> Quad:
        """The same quad with u and v exchanged."""
        return Quad(self.a, self.d, self.c, self.b)


def box(center: Point, direction: Point, length: float, width: float) -> Quad:
    """A rectangle with `length` along a unit vector."""
    (x, y), (dx, dy) = center, (direction[0] * length / 2, direction[1] * length / 2)
    ex, ey = -direction[1] * width / 2, direction[0] * width / 2
    return Quad(
        (x - dx - ex, y - dy - ey),
        (x + dx - ex, y + dy - ey),
        (x + dx + ex, y + dy + ey),
        (x - dx + ex, y - dy + ey),
    )


def polygon(points: Sequence[Point], paint: Paint, *, height: float = 0.0) -> Shape:
    """The convex polygon with these corners, in either order."""
    edges, area = [], 0.0
    x, y = points[-1]
    for u, v in points:
        cross = x * v - u * y
        edges.append((y - v, u - x, cross))
        area += cross
        x, y = u, v
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    inward = np.array(edges) if area >= 0 else -np.array(edges)
    return Shape(inward, (min(xs), min(ys), max(xs), max(ys)), height, paint)


def disc(center: Point, radius: float, paint: Paint, *, height: float = 0.0, corners: int = 8) -> Shape:
    """A regular polygon in place of a circle."""
    step = 2 * math.pi / corners
    ring = [
        (center[0] + radius * math.cos(k * step), center[1] + radius * math.sin(k * step))
        for k in range(corners)
    ]
    return polygon(ring, paint, height=height)


def _unit(x: float, y: float) -> Point:
    length = math.hypot(x, y) or 1.0
    return x / length, y / length
