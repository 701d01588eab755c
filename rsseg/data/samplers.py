"""Samples: which window of which scene, and how it is turned and changed.

Law: sample `number` of a run is a function of (seed, number) and of the data, and of nothing else: not of the batch, of
the threads that read, nor of what was drawn before. So a resumed run sees what it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.augment import (
    Change,
    Mix,
    check_augment,
    draw_change,
    draw_mix,
    draw_orientation,
    turn,
)
from rsseg.data.options import SampleOptions
from rsseg.data.places import LabelledPixels, LabelledWindows
from rsseg.data.scenes import DataSet, Scene
from rsseg.errors import OptionError
from rsseg.log import logger
from rsseg.raster import Grid
from rsseg.tiling import Window

MIN_LABELLED = 0.05
"""A window is drawn again if fewer of its pixels inside the raster are labelled and valid; those of a grid are not.

Of a window that is zoomed or rotated, the middle counts: the rest is hardly seen.
"""

ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The unit of training, turned but not yet changed.

    `pixels` (C, R, R) in the image's type, `valid` (R, R) bool, `labels` (R, R) uint8 with 255 where nothing is to
    be learnt, which includes all invalid pixels; R is `change.read_side` of the window. What `mix` says comes from
    `donor`.
    """

    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]
    change: Change
    mix: Mix | None = None
    donor: Sample | None = None


class Sampler:
    """Draws and reads samples of the train scenes; may be called from any thread.

    Raises:
        OptionError: the changes do not fit the images or the classes, or a class to paste has no pixel in train.
        RasterError: the labels cannot be read.
    """

    def __init__(self, dataset: DataSet, options: SampleOptions) -> None:
        self._dataset = dataset
        self._options = options
        self._paste_ids = check_augment(
            options.augment, channels=dataset.channels, dtype=dataset.dtype, classes=dataset.classes
        )
        pixels = np.sum([scene.class_pixels for scene in dataset.train], axis=0)
        self._check_pasted(pixels)
        present: list[int | None] = [*np.flatnonzero(pixels).tolist()]
        self._centres = present if options.sampling == "balanced" else [None]
        densities = dataset.shares() / [scene.class_pixels.sum() for scene in dataset.train]
        self._pixels = {
            class_id: LabelledPixels(dataset.train, densities, class_id=class_id)
            for class_id in {*self._centres, *self._paste_ids}
        }
        self._grid = self._plan_grid() if options.sampling == "grid" else None

    def sample(self, number: int) -> Sample:
        """Draw and read sample `number` of the run, from 0.

        Raises:
            RasterError: the image or the label cannot be read.
        """
        rng = np.random.default_rng([self._options.seed, number])
        mix = draw_mix(rng, options=self._options.augment, paste_ids=self._paste_ids)
        sample = (
            self._around_a_pixel(rng, self._centres) if self._grid is None else self._of_grid(rng, number)
        )
        if mix is None:
            return sample
        return replace(sample, mix=mix, donor=self._around_a_pixel(rng, mix.classes or self._centres))

    def _around_a_pixel(self, rng: np.random.Generator, class_ids: Sequence[int | None]) -> Sample:
        """A square around a pixel of one of some classes, all equally likely; None stands for any class."""
        change, orientation = self._draw_change(rng)
        side = change.read_side(self._options.window)
        pixels = self._pixels[class_ids[int(rng.integers(len(class_ids)))]]
        for _attempt in range(ATTEMPTS):
            scene, col, row = pixels.draw(rng)
            middle = _showing(col, row, scene.image.grid, change, self._options.window)
            window = middle.expanded((side - middle.width) // 2)
            sample = _read(scene, window, change)
            inside = middle.intersection(scene.image.grid.window).pixels
            labels = sample.labels[middle.slices(window)]
            if np.count_nonzero(labels != IGNORE_INDEX) >= MIN_LABELLED * inside:
                break
        return _turned(sample, orientation)

    def _of_grid(self, rng: np.random.Generator, number: int) -> Sample:
        """A square around a window of the grid, which leaves out what its neighbours show.

        It is shifted only where its upright part has room for all of the window, so nothing of that is cut off.
        """
        assert self._grid is not None
        change, orientation = self._draw_change(rng)
        side = change.read_side(self._options.window)
        scene, own = self._grid.window(number)
        col, row = own.col_off + own.width // 2, own.row_off + own.height // 2
        upright = _square_around(col, row, scene.image.grid, _upright_side(change, self._options.window))
        window = upright.expanded((side - upright.width) // 2)
        sample = _read(scene, window, change)
        own = own.expanded(max(0, (side - self._options.window) // 2)).intersection(window)
        labels = np.full_like(sample.labels, IGNORE_INDEX)
        labels[own.slices(window)] = sample.labels[own.slices(window)]
        return _turned(replace(sample, labels=labels), orientation)

    def _draw_change(self, rng: np.random.Generator) -> tuple[Change, int]:
        augment = self._options.augment
        change = draw_change(rng, self._dataset.channels, options=augment)
        return change, draw_orientation(rng, augment.turns)

    def _plan_grid(self) -> LabelledWindows:
        if any(scene.entry.weight is not None for scene in self._dataset.train):
            logger.warning("the grid shows each window once in a pass: the weights of scenes do not count")
        return LabelledWindows(self._dataset.train, side=self._options.window, seed=self._options.seed)

    def _check_pasted(self, pixels: NDArray[np.int64]) -> None:
        missing = [self._dataset.classes.names[i] for i in self._paste_ids if not pixels[i]]
        if missing:
            raise OptionError(
                f"paste classes have {', '.join(missing)}, of which train has no pixel",
                hint="paste classes that train shows",
            )


def _read(scene: Scene, window: Window, change: Change) -> Sample:
    pixels = scene.image.read(window)
    labels = np.where(pixels.valid, scene.labels.read(window), np.uint8(IGNORE_INDEX))
    return Sample(pixels=pixels.data, valid=pixels.valid, labels=labels, change=change)


def _turned(sample: Sample, orientation: int) -> Sample:
    return replace(
        sample,
        pixels=turn(sample.pixels, orientation),
        valid=turn(sample.valid, orientation),
        labels=turn(sample.labels, orientation),
    )


def _showing(col: int, row: int, grid: Grid, change: Change, window: int) -> Window:
    """The middle of a sample that shows a pixel, however it is turned and rotated; the rest lies around it.

    What the sample shows, before it is rotated, is shifted into the raster; or less of it, if rotation would cut the
    pixel off.
    """
    shown = _square_around(col, row, grid, _like(window, window * change.zoom))
    right = abs(shown.col_off + shown.width / 2 - (col + 0.5))
    down = abs(shown.row_off + shown.height / 2 - (row + 0.5))
    cosine, sine = _abs_cos_sin(change)
    if max(cosine * right + sine * down, sine * right + cosine * down) <= window * change.zoom / 2:
        return shown
    return _square_around(col, row, grid, _upright_side(change, window))


def _upright_side(change: Change, window: int) -> int:
    """The side of the largest square along the raster's rows that a sample holds around its middle, in pixels."""
    return _like(window, window * change.zoom / sum(_abs_cos_sin(change)))


def _abs_cos_sin(change: Change) -> tuple[float, float]:
    radians = math.radians(change.angle)
    return abs(math.cos(radians)), abs(math.sin(radians))


def _like(window: int, length: float) -> int:
    """The largest side up to a length that is odd where the window is: all have one middle (`Change.read_side`)."""
    return max(window % 2, window + 2 * math.floor((length - window) / 2))


def _square_around(col: int, row: int, grid: Grid, side: int) -> Window:
    """A square with a pixel in its middle, shifted into the raster, or to hold all of it where it is smaller."""
    return Window(
        _shifted(col - side // 2, side, grid.width), _shifted(row - side // 2, side, grid.height), side, side
    )


def _shifted(start: int, side: int, length: int) -> int:
    low, high = sorted((0, length - side))
    return min(max(start, low), high)
