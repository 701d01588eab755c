"""Where samples are taken: around a labelled pixel drawn at random, or in windows side by side.

Neither holds more than a few bytes for each cell (see `rsseg.data.cells`) or window; both may be used from any thread.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.scenes import Scene
from rsseg.tiling import Window

_ORDER = 1
"""Tells the generator of a pass from those of samples."""


class LabelledPixels:
    """The labelled pixels of some scenes, of one class or of all, to be drawn from.

    Args:
        scenes: where they are.
        densities: (scenes,) how likely a pixel of each scene is, relative to those of the others.
        class_id: the class; None for all.
    """

    def __init__(
        self, scenes: Sequence[Scene], densities: NDArray[np.float64], *, class_id: int | None
    ) -> None:
        cells = [scene.cells for scene in scenes]
        counts = [(c.numbers, c.labelled) if class_id is None else c.of_class(class_id) for c in cells]
        self._scenes = scenes
        self._class_id = class_id
        self._owners = np.repeat(np.arange(len(scenes), dtype=np.uint32), [len(n) for n, _ in counts])
        self._cells = np.concatenate([numbers for numbers, _ in counts])
        self._pixels = np.concatenate([pixels for _, pixels in counts])
        self._ends = np.cumsum(self._pixels * densities[self._owners])

    def __len__(self) -> int:
        return int(self._pixels.sum(dtype=np.int64))

    def draw(self, rng: np.random.Generator) -> tuple[Scene, int, int]:
        """Draw a pixel.

        Returns:
            Its scene, its column and its row.

        Raises:
            RasterError: the label cannot be read.
        """
        place = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
        place = min(place, len(self._ends) - 1)  # the product may have been rounded up to the end
        scene = self._scenes[self._owners[place]]
        cell = scene.cells.window(int(self._cells[place]))
        pixels = int(self._pixels[place])
        pixel = int(rng.integers(pixels))
        if pixels < cell.pixels:  # else the cell holds nothing else, and need not be read
            pixel = int(np.flatnonzero(self._are_meant(scene.labels.read(cell)))[pixel])
        row, col = divmod(pixel, cell.width)
        return scene, cell.col_off + col, cell.row_off + row

    def _are_meant(self, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        meant: NDArray[np.bool_] = (
            labels != IGNORE_INDEX if self._class_id is None else labels == self._class_id
        )
        return meant


class LabelledWindows:
    """Windows side by side that cover all labelled pixels of some scenes, each pixel once.

    Each axis of a raster is parted evenly into as few windows as it needs, so those of a raster whose sides are no
    multiples of the window are all a little smaller, and none is a sliver. Windows without a label are left out.

    Args:
        scenes: what to cover.
        side: the largest width and height of a window, in pixels.
        seed: of the order.

    Raises:
        RasterError: a label cannot be read.
    """

    def __init__(self, scenes: Sequence[Scene], *, side: int, seed: int) -> None:
        self._scenes = scenes
        self._side = side
        self._seed = seed
        found = [self._labelled(scene) for scene in scenes]
        self._owners = np.repeat(np.arange(len(scenes), dtype=np.uint32), [len(numbers) for numbers in found])
        self._numbers = np.concatenate(found)
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        return len(self._numbers)

    def window(self, number: int) -> tuple[Scene, Window]:
        """The window of a sample, and its scene: all of them in a random order, then all in another, for ever."""
        turn, place = divmod(number, len(self))
        index = self._order(turn)[place]
        scene = self._scenes[self._owners[index]]
        return scene, self._window(scene, int(self._numbers[index]))

    def _shuffled(self, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, turn, _ORDER]).permutation(len(self))

    def _labelled(self, scene: Scene) -> NDArray[np.uint32]:
        """The numbers of a scene's windows that hold labels, row by row."""
        cols, rows = self._counts(scene)
        chosen = [n for n in range(cols * rows) if _holds_labels(scene, self._window(scene, n))]
        return np.array(chosen, dtype=np.uint32)

    def _counts(self, scene: Scene) -> tuple[int, int]:
        grid = scene.image.grid
        return -(-grid.width // self._side), -(-grid.height // self._side)

    def _window(self, scene: Scene, number: int) -> Window:
        grid = scene.image.grid
        cols, rows = self._counts(scene)
        row, col = divmod(number, cols)
        return Window.of(_part(grid.width, cols, col), _part(grid.height, rows, row))


def _part(length: int, parts: int, number: int) -> range:
    """One of so many nearly equal parts of an axis."""
    return range(length * number // parts, length * (number + 1) // parts)


def _holds_labels(scene: Scene, window: Window) -> bool:
    """Whether a pixel of a window is labelled; its labels are read only where the counts of the cells do not tell."""
    cells = list(scene.cells.meeting(window))
    if any(window.contains(cell) or labelled == cell.pixels for cell, labelled in cells):
        return True
    return bool(cells) and bool((scene.labels.read(window) != IGNORE_INDEX).any())
