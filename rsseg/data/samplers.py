"""Random samples: which window of which scene, and how it is turned and lit.

Law: sample `index` of epoch `epoch` is a function of (seed, epoch, index) and of the data, and of nothing else: not
of the batch, of the threads that read, nor of what was drawn before. So a resumed run sees what it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.augment import ORIENTATIONS, JitterOptions, draw_light, turn
from rsseg.data.scenes import DataSet, Scene
from rsseg.errors import OptionError
from rsseg.raster import Pixels
from rsseg.tiling import Window

MIN_LABELLED = 0.05
"""A window is drawn again if fewer of its pixels inside the raster are labelled and valid."""

ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How samples are drawn: the side of their window in pixels, the seed, and how they are changed."""

    window: int = 256
    seed: int = 0
    jitter: JitterOptions = field(default_factory=JitterOptions)

    def __post_init__(self) -> None:
        if self.window < 1:
            raise OptionError(f"window is {self.window} px; it must be at least 1")
        if self.seed < 0:
            raise OptionError(f"seed is {self.seed}; it must not be negative")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The unit of training.

    `pixels` (C, H, W) in the image's type, `valid` (H, W) bool, `labels` (H, W) uint8 with 255 where nothing is to
    be learnt, which includes all invalid pixels; `gain` and `offset` (C,) change the scaled pixels (see `augment`).
    """

    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    gain: np.float32
    offset: NDArray[np.float32]


class Sampler:
    """Draws and reads samples of the train scenes; may be called from any thread."""

    def __init__(self, dataset: DataSet, options: SampleOptions) -> None:
        self._dataset = dataset
        self._options = options
        self._scene_ends = np.cumsum(dataset.shares())
        self._label_ends = [np.cumsum(scene.labelled) for scene in dataset.train]

    def sample(self, epoch: int, index: int) -> Sample:
        """Draw and read sample `index` of an epoch.

        Raises:
            RasterError: the image or the label cannot be read.
        """
        options = self._options
        rng = np.random.default_rng([options.seed, epoch, index])
        for _attempt in range(ATTEMPTS):
            pixels, labels, inside = self._read(rng)
            if np.count_nonzero(labels != IGNORE_INDEX) >= MIN_LABELLED * inside:
                break
        orientation = int(rng.integers(ORIENTATIONS))
        gain, offset = draw_light(rng, len(pixels.data), options=options.jitter)
        return Sample(
            pixels=turn(pixels.data, orientation),
            valid=turn(pixels.valid, orientation),
            labels=turn(labels, orientation),
            gain=gain,
            offset=offset,
        )

    def _read(self, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.uint8], int]:
        """Read a window around a random labelled pixel.

        Returns:
            Its pixels, its labels with 255 where invalid, and how many of its pixels are inside the raster.
        """
        number = int(np.searchsorted(self._scene_ends, rng.random() * self._scene_ends[-1], side="right"))
        scene = self._dataset.train[number]
        col, row = self._labelled_pixel(rng, scene, self._label_ends[number])
        window = _window_around(col, row, scene, self._options.window)
        pixels = scene.image.read(window)
        labels = np.where(pixels.valid, scene.labels.read(window), np.uint8(IGNORE_INDEX))
        return pixels, labels, window.intersection(scene.image.grid.window).pixels

    @staticmethod
    def _labelled_pixel(rng: np.random.Generator, scene: Scene, ends: NDArray[np.int64]) -> tuple[int, int]:
        """Column and row of one of the scene's labelled pixels, all equally likely."""
        target = int(rng.integers(ends[-1]))
        number = int(np.searchsorted(ends, target, side="right"))
        cell = scene.cells[number]
        labelled = np.flatnonzero(scene.labels.read(cell) != IGNORE_INDEX)
        row, col = divmod(int(labelled[target - int(ends[number])]), cell.width)
        return cell.col_off + col, cell.row_off + row


def _window_around(col: int, row: int, scene: Scene, side: int) -> Window:
    """A square with the pixel in its middle, shifted into the raster where that is large enough."""
    grid = scene.image.grid
    return Window(
        _inside(col - side // 2, side, grid.width), _inside(row - side // 2, side, grid.height), side, side
    )


def _inside(start: int, side: int, length: int) -> int:
    return max(0, min(start, length - side))
