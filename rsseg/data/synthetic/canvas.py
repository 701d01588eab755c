"""Planes that shapes and trees are painted on: which surface each pixel shows, how high it is, how light."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.layers import Tree
from rsseg.data.synthetic.noise import FloatArray, place_rng
from rsseg.data.synthetic.palette import TREE, Paint
from rsseg.data.synthetic.shapes import Shape
from rsseg.tiling import Window

TREE_HEIGHT: Final = 2.0
"""Height of a tree in units of its radius."""

STAMP_SIZES: Final = 14
STAMP_KINDS: Final = 5
LARGEST_TREE_M: Final = 4.0


class Tables(NamedTuple):
    """What the numbers of a canvas's `surface` mean; row k is surface k."""

    colors: NDArray[np.float32]  # (surfaces, 3)
    labels: NDArray[np.uint8]
    threshold: NDArray[np.float32]  # vegetation grows where a standard normal texture is below it
    rough: NDArray[np.float32]


class Canvas:
    """A window of the world while it is painted; shapes painted later hide earlier ones.

    A pixel belongs to a shape when its centre lies inside, so a pixel's surface does not depend on the window.
    `surface` (rows, cols) int32 numbers the paints, `height` is metres, `detail` is added to a brightness of 1.
    """

    def __init__(self, window: Window, *, gsd_m: float, ground: Paint) -> None:
        self.window, self.gsd_m = window, gsd_m
        shape = (window.height, window.width)
        self.surface = np.zeros(shape, dtype=np.int32)
        self.height = np.zeros(shape, dtype=np.float32)
        self.detail = np.zeros(shape, dtype=np.float32)
        self._x: FloatArray = (np.arange(window.cols.start, window.cols.stop, dtype=np.float64) + 0.5) * gsd_m
        self._y: FloatArray = (np.arange(window.rows.start, window.rows.stop, dtype=np.float64) + 0.5) * gsd_m
        self._paints = [ground]
        self._numbers: dict[Paint, int] = {ground: 0}

    def paint(self, shape: Shape) -> None:
        """Paint a shape over what is there."""
        x0, y0, x1, y1 = shape.bounds
        cols = self._span(x0, x1, self.window.col_off, self.window.width)
        rows = self._span(y0, y1, self.window.row_off, self.window.height)
        if cols.start >= cols.stop or rows.start >= rows.stop:
            return
        x, y = self._x[cols], self._y[rows]
        e = shape.edges
        right = (e[:, 0, None] * x + e[:, 2, None])[:, None, :]
        below = -(e[:, 1, None] * y)[:, :, None]
        inside = np.logical_and.reduce(right >= below, axis=0)
        np.copyto(self.surface[rows, cols], self._number(shape.paint), where=inside)
        np.copyto(self.height[rows, cols], np.float32(shape.height), where=inside)
        np.copyto(self.detail[rows, cols], self._wave(shape.paint, x, y), where=inside)

    def plant(self, tree: Tree, stamps: Stamps) -> None:
        """Paint a tree over everything that is lower."""
        size = min(int(tree.radius / LARGEST_TREE_M * STAMP_SIZES), STAMP_SIZES - 1)
        stamp = stamps.of[size][int((tree.x * 7 + tree.y * 3) % STAMP_KINDS)]
        side = stamp.crown.shape[0]
        here = Window(
            math.floor(tree.x / self.gsd_m) - side // 2,
            math.floor(tree.y / self.gsd_m) - side // 2,
            side,
            side,
        )
        seen = here.intersection(self.window)
        if seen.pixels <= 0 or seen.width <= 0:
            return
        to, cut = seen.slices(self.window), seen.slices(here)
        rise = stamp.rise[cut]
        inside = stamp.crown[cut] & (rise > self.height[to])
        paint = Paint(palette.LEAVES[tree.tone], TREE, 0, 0.12)
        np.copyto(self.surface[to], self._number(paint), where=inside)
        np.copyto(self.height[to], rise, where=inside)
        np.copyto(self.detail[to], stamp.light[cut], where=inside)

    def tables(self) -> Tables:
        """What the surfaces painted so far mean."""
        return Tables(
            np.array([p.color for p in self._paints], dtype=np.float32),
            np.array([p.label for p in self._paints], dtype=np.uint8),
            np.array([_threshold(p.cover) for p in self._paints], dtype=np.float32),
            np.array([p.rough for p in self._paints], dtype=np.float32),
        )

    def _span(self, low: float, high: float, offset: int, length: int) -> slice:
        """The pixels, counted from the canvas's corner, whose centres lie between two coordinates."""
        first = math.ceil(low / self.gsd_m - 0.5) - offset
        last = math.floor(high / self.gsd_m - 0.5) - offset
        return slice(max(first, 0), min(last + 1, length))

    def _number(self, paint: Paint) -> int:
        number = self._numbers.setdefault(paint, len(self._paints))
        if number == len(self._paints):
            self._paints.append(paint)
        return number

    def _wave(self, paint: Paint, x: FloatArray, y: FloatArray) -> NDArray[np.float32]:
        """Light and dark across a shape, (rows, cols) or one number; nothing where pixels are too coarse for it."""
        stripes = paint.stripes
        if stripes is None or stripes.period_m < 2.2 * self.gsd_m:
            return np.zeros((), dtype=np.float32)
        right = (x * (stripes.x / stripes.period_m)).astype(np.float32)
        below = (y * (stripes.y / stripes.period_m)).astype(np.float32)
        phase = right[None, :] + below[:, None]
        phase -= np.floor(phase)
        return np.asarray(np.float32(4 * stripes.strength) * (np.abs(phase - 0.5) - np.float32(0.25)))


class Stamp(NamedTuple):
    """A tree seen from above, all (side, side): where its crown is, how high (metres), how light."""

    crown: NDArray[np.bool_]
    rise: NDArray[np.float32]
    light: NDArray[np.float32]


class Stamps(NamedTuple):
    """Trees by size and kind."""

    of: tuple[tuple[Stamp, ...], ...]


@lru_cache(maxsize=4)
def tree_stamps(seed: int, gsd_m: float, sun: tuple[float, float]) -> Stamps:
    """Draw all the trees that a scene plants again and again."""
    return Stamps(
        tuple(
            tuple(_stamp(seed, size, kind, gsd_m=gsd_m, sun=sun) for kind in range(STAMP_KINDS))
            for size in range(STAMP_SIZES)
        )
    )


def _stamp(seed: int, size: int, kind: int, *, gsd_m: float, sun: tuple[float, float]) -> Stamp:
    """One crown: a ragged dome of round clumps of leaves, lit from the sun's side."""
    rng = place_rng(seed, 2, size, kind)
    radius = (size + 0.75) / STAMP_SIZES * LARGEST_TREE_M
    reach = max(math.ceil(1.25 * radius / gsd_m), 1)
    axis = (np.arange(-reach, reach + 1) * gsd_m / radius).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    dome = np.full((2 * reach + 1,) * 2, -1.0, dtype=np.float32)
    light = np.zeros_like(dome)
    for _ in range(int(16 + 14 * radius)):
        angle, out = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 0.62))
        r = float(rng.uniform(0.22, 0.42))
        dx, dy = x - out * math.cos(angle), y - out * math.sin(angle)
        clump = np.float32(1 - 0.5 * out * out) - (dx * dx + dy * dy) / np.float32(r * r)
        higher = ((dx * dx + dy * dy) < r * r) & (clump > dome)
        tone = np.float32(rng.normal(0, 0.08))
        lit = (
            tone
            + (dx * sun[0] + dy * sun[1]) / np.float32(r) * np.float32(0.26)
            + np.float32(0.28) * (clump - np.float32(0.55))
        )
        np.copyto(dome, clump, where=higher)
        np.copyto(light, lit, where=higher)
    crown = dome > -1.0
    body = np.sqrt(np.clip(1 - 0.85 * (x * x + y * y), 0.04, 1)).astype(np.float32)
    light += np.float32(0.22) * (x * np.float32(sun[0]) + y * np.float32(sun[1]))
    return Stamp(crown, np.float32(TREE_HEIGHT * radius) * body, light)


@lru_cache(maxsize=1024)
def _threshold(cover: float) -> float:
    """Below which value a standard normal variable lies with probability `cover`."""
    if cover <= 0:
        return -math.inf
    return math.inf if cover >= 1 else NormalDist().inv_cdf(cover)
