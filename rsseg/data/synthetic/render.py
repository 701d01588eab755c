"""Any window of a synthetic scene, made when it is asked for.

The image is made in cells of 512 pixels that lie on a fixed grid, each from nothing but the seed and its place. So
rendering windows equals rendering all, bit for bit, and memory does not depend on the size of the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.data.synthetic import palette
from rsseg.data.synthetic.blocks import block_bounds, build_block
from rsseg.data.synthetic.camera import add_noise, blur, jpeg
from rsseg.data.synthetic.canvas import Canvas, tree_stamps
from rsseg.data.synthetic.layers import Layer
from rsseg.data.synthetic.light import PAD, Sun, develop, sun_of
from rsseg.data.synthetic.noise import hashed, place_rng, texture
from rsseg.data.synthetic.palette import BARE, Paint
from rsseg.data.synthetic.streets import block_range
from rsseg.errors import OptionError
from rsseg.tiling import Window

CELL: Final = 512
"""Side of the cells that are made at one time, in pixels; the files' blocks have it too."""

FINEST_GSD_M: Final = 0.05
COARSEST_GSD_M: Final = 1.0

NODATA: Final = 0
"""Value of all bands where the image has no data; elsewhere at least 1."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Which scene: the same seed gives the same world, a larger size more of it.

    Its upper left corner lies `cells_east` and `cells_south` times 512 pixels into the world.

    Raises:
        OptionError: a side below 1, a negative seed, or a pixel size outside 0.05 to 1 m.
    """

    width: int = 4096
    height: int = 4096
    seed: int = 0
    gsd_m: float = 0.15
    cells_east: int = 0
    cells_south: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise OptionError(
                f"size is {self.width} x {self.height} px; both sides must be at least 1",
                hint="give --size as one number or as WIDTHxHEIGHT, such as 4096 or 4096x2048",
            )
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}")
        if not FINEST_GSD_M <= self.gsd_m <= COARSEST_GSD_M:
            raise OptionError(
                f"gsd is {self.gsd_m} m; a synthetic scene can have {FINEST_GSD_M} to {COARSEST_GSD_M} m",
                hint="drone orthophotos have about 0.05 to 0.15 m, aerial ones 0.1 to 0.5 m",
            )


@dataclass(frozen=True)
class Rendering:
    """Pixels of a window: `rgb` (3, rows, cols), `label` (rows, cols) land cover ids, 255 where not `valid`."""

    rgb: NDArray[np.uint8]
    label: NDArray[np.uint8]
    valid: NDArray[np.bool_]


def render_window(scene: Scene, window: Window) -> Rendering:
    """Make any window of a scene; what lies outside the scene is not valid.

    Law: a window is the cut-out of the whole. Safe to call from any thread.
    """
    rgb = np.zeros((3, window.height, window.width), dtype=np.uint8)
    label = np.full((window.height, window.width), NODATA_CLASS, dtype=np.uint8)
    valid = np.zeros((window.height, window.width), dtype=np.bool_)
    for cell in _cells(window.intersection(Window.whole(scene.width, scene.height))):
        part = cell.intersection(window)
        made = _render_cell(scene, cell)
        to, cut = part.slices(window), part.slices(cell)
        rgb[:, *to], label[to], valid[to] = made.rgb[:, *cut], made.label[cut], made.valid[cut]
    return Rendering(rgb, label, valid)


def valid_pixels(scene: Scene, window: Window) -> NDArray[np.bool_]:
    """Where a window of a scene has data: within its frame, but for one corner that the flight left out."""
    luck = hashed(scene.seed, 30, np.arange(4), np.zeros(4, dtype=np.int64))
    x = (np.arange(window.cols.start, window.cols.stop) + 0.5) / scene.width
    y = (np.arange(window.rows.start, window.rows.stop) + 0.5) / scene.height
    inside = ((y > 0) & (y < 1))[:, None] & ((x > 0) & (x < 1))[None, :]
    across = x if luck[0] < 0.5 else 1 - x
    down = y if luck[1] < 0.5 else 1 - y
    flown = (across / (0.16 + 0.2 * luck[2]))[None, :] + (down / (0.12 + 0.2 * luck[3]))[:, None] >= 1
    return np.asarray(inside & flown)


def paint_window(scene: Scene, window: Window, *, sun: Sun) -> Canvas:
    """Gather what touches a window of the world and paint it, in the same order whatever the window is.

    Args:
        scene: which world.
        window: counted from the world's origin, not from the scene's corner.
        sun: where the light comes from.
    """
    gsd_m = scene.gsd_m
    canvas = Canvas(window, gsd_m=gsd_m, ground=Paint(palette.SOIL[0], BARE, 0.5, 0.12))
    here = (
        window.cols.start * gsd_m,
        window.rows.start * gsd_m,
        window.cols.stop * gsd_m,
        window.rows.stop * gsd_m,
    )
    cols, rows = block_range(scene.seed, *here)
    blocks = [
        build_block(scene.seed, i, j, sun.direction)
        for j in rows
        for i in cols
        if _meet(block_bounds(scene.seed, i, j), here)
    ]
    for layer in Layer:
        for block in blocks:
            for shape in block.touching(layer, here):
                canvas.paint(shape)
    stamps = tree_stamps(scene.seed, gsd_m, sun.direction)
    for block in blocks:
        for tree in block.trees:
            canvas.plant(tree, stamps)
    return canvas


def _render_cell(scene: Scene, cell: Window) -> Rendering:
    """One cell, whole; things outside it that cast a shadow into it are painted too."""
    valid = valid_pixels(scene, cell)
    if not valid.any():
        blank = np.full(valid.shape, NODATA_CLASS, dtype=np.uint8)
        return Rendering(np.full((3, *valid.shape), NODATA, dtype=np.uint8), blank, valid)
    sun = sun_of(scene.seed)
    place = Window(
        cell.col_off + scene.cells_east * CELL, cell.row_off + scene.cells_south * CELL, CELL, CELL
    )
    seen = place.expanded(1)
    canvas = paint_window(scene, sunward(seen, sun, scene.gsd_m), sun=sun)
    rgb, label = develop(canvas, seen, sun, seed=scene.seed)
    rng = place_rng(scene.seed, 3, place.col_off // CELL, place.row_off // CELL)
    pixels = np.maximum(jpeg(add_noise(blur(rgb), rng, white=texture(scene.seed, 4, slope=0.0, pad=PAD))), 1)
    pixels[:, ~valid] = NODATA
    return Rendering(pixels, np.where(valid, label[1:-1, 1:-1], np.uint8(NODATA_CLASS)), valid)


def _cells(window: Window) -> list[Window]:
    """The cells that a window touches."""
    if not window.pixels:
        return []
    cols = range(window.cols.start // CELL, (window.cols.stop - 1) // CELL + 1)
    rows = range(window.rows.start // CELL, (window.rows.stop - 1) // CELL + 1)
    return [Window(col * CELL, row * CELL, CELL, CELL) for row in rows for col in cols]


@lru_cache(maxsize=256)
def sunward(seen: Window, sun: Sun, gsd_m: float) -> Window:
    """The window with everything that can throw a shadow into it."""
    rows = sun.reach(gsd_m)
    cols = math.ceil(abs(sun.slope) * rows) + 2
    left = cols if sun.slope < 0 else 0
    return Window(seen.col_off - left, seen.row_off, seen.width + cols, seen.height + rows)


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
