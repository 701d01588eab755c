"""From painted surfaces to colours in sun and shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rsseg.data.synthetic import palette
from rsseg.data.synthetic.canvas import Canvas
from rsseg.data.synthetic.noise import TABLE_PERIOD, hashed, texture
from rsseg.data.synthetic.palette import LOW_VEGETATION
from rsseg.data.synthetic.roofs import TALLEST_M
from rsseg.tiling import Window

PAD: Final = 640
"""The widest window that `develop` takes, in pixels."""


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: one pixel row south and `slope` columns east of a point, `rise` metres up for each metre.

    `slope` is a multiple of 1/4, so that shadows can be followed in whole pixels. `shade` is what is left of red,
    green and blue in shadow, where the blue sky still shines; `cast` is the colour of all light.
    """

    slope: float
    rise: float
    shade: tuple[float, float, float] = (0.5, 0.5, 0.5)
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def direction(self) -> tuple[float, float]:
        """The horizontal unit vector towards the sun."""
        length = math.hypot(self.slope, 1)
        return self.slope / length, 1 / length

    def reach(self, gsd_m: float) -> int:
        """How many rows the longest shadow spans; a power of two less one."""
        rows = TALLEST_M / (self.rise * gsd_m * math.hypot(self.slope, 1))
        return int(2 ** math.ceil(math.log2(rows + 2))) - 1


def sun_of(seed: int) -> Sun:
    """The sun of a scene: in the south, as north of the tropics, 48 to 66 degrees high, in clear or hazy air."""
    luck = [float(v) for v in hashed(seed, 40, np.arange(5), np.zeros(5, dtype=np.int64))]
    slope = (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75)[int(luck[0] * 6)]
    haze, warm = 0.42 + 0.2 * luck[2], 0.08 * (luck[3] - 0.5)
    bright = 0.92 + 0.18 * luck[4]
    return Sun(
        slope,
        1.1 + 1.1 * luck[1],
        shade=(haze, haze + 0.03, haze + 0.09),
        cast=(bright * (1 + warm), bright, bright * (1 - warm)),
    )


def shadows(height: NDArray[np.float32], sun: Sun, *, gsd_m: float) -> NDArray[np.bool_]:
    """Which points lie in the shadow of something between them and the sun.

    With s steps towards the sun a ray rises s * rise: a point is in shadow if some point on its way is higher than
    the ray. The highest of 2^k points is the higher of two highest of 2^(k-1), so the work grows with the logarithm
    of the reach. Exact for points whose way lies in the array.

    Args:
        height: (rows, cols) metres.
        sun: where the light comes from.
        gsd_m: metres between rows.

    Returns:
        (rows, cols) bool.
    """
    horizon = height.copy()
    step = 1
    while step <= sun.reach(gsd_m) // 2 + 1:
        cols = round(step * sun.slope)
        drop = np.float32(math.hypot(step, cols) * gsd_m * sun.rise)
        if step >= height.shape[0] or abs(cols) >= height.shape[1]:
            break
        here, there = _overlap(cols, height.shape[1])
        np.maximum(horizon[:-step, here], horizon[step:, there] - drop, out=horizon[:-step, here])
        step *= 2
    return horizon > height + np.float32(0.12)


def develop(
    canvas: Canvas, seen: Window, sun: Sun, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Colours in sun and shadow, and class ids.

    Returns:
        float32 (3, rows, cols), 0 to about 255, and uint8 (rows, cols), both of the window `seen`.
    """
    part = seen.slices(canvas.window)
    surface, tables = canvas.surface[part], canvas.tables()
    green = _mix(seed, seen) < np.take(tables.threshold, surface)
    label = np.take(tables.labels, surface)
    np.copyto(label, np.uint8(LOW_VEGETATION), where=green)
    light = _brightness(
        canvas, seen, np.where(green, np.float32(0.13), np.take(tables.rough, surface)), seed=seed
    )
    dark = shadows(canvas.height, sun, gsd_m=canvas.gsd_m)[part]
    dry = np.clip(np.float32(0.4) + np.float32(0.3) * _table(seed, 2, seen, (391, 77)), 0, 1)
    rgb = np.empty((3, *surface.shape), dtype=np.float32)
    for k in range(3):
        np.take(tables.colors[:, k], surface, out=rgb[k], mode="clip")
        low, high = np.float32(palette.GRASS[k]), np.float32(palette.DRY_GRASS[k])
        np.copyto(rgb[k], low + (high - low) * dry, where=green)
        rgb[k] *= light
        rgb[k] *= np.where(dark, np.float32(sun.shade[k] * sun.cast[k]), np.float32(sun.cast[k]))
    return rgb, label


def _overlap(cols: int, width: int) -> tuple[slice, slice]:
    """Columns that have a neighbour `cols` further on, and those neighbours."""
    if cols >= 0:
        return slice(0, width - cols), slice(cols, width)
    return slice(-cols, width), slice(0, width + cols)


def _brightness(
    canvas: Canvas, seen: Window, rough: NDArray[np.float32], *, seed: int
) -> NDArray[np.float32]:
    """How much lighter or darker than its paint each pixel is: texture, stripes, crowns."""
    light = _table(seed, 1, seen, (211, 503)) * np.float32(0.85)
    light += _table(seed, 3, seen, (0, 0)) * np.float32(0.45)
    light *= rough
    light += canvas.detail[seen.slices(canvas.window)]
    light += np.float32(1.0)
    return np.asarray(np.maximum(light, np.float32(0.25), out=light))


def _mix(seed: int, seen: Window) -> NDArray[np.float32]:
    """The texture that decides where vegetation grows: patches with ragged edges, about standard normal."""
    patches: NDArray[np.float32] = _table(seed, 2, seen, (0, 0)) * np.float32(0.75)
    patches += _table(seed, 1, seen, (0, 0)) * np.float32(0.66)
    return patches


_SLOPES: Final = {1: 1.15, 2: 1.7, 3: 0.3}
"""Soil, patches, grain: how fast their amplitude falls with frequency."""


def _table(seed: int, kind: int, seen: Window, shift: tuple[int, int]) -> NDArray[np.float32]:
    """A window of a texture, as a view."""
    row, col = (seen.row_off + shift[0]) % TABLE_PERIOD, (seen.col_off + shift[1]) % TABLE_PERIOD
    table = texture(seed, kind, slope=_SLOPES[kind], pad=PAD)
    return table[row : row + seen.height, col : col + seen.width]
