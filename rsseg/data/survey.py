"""Looking at a labelled scene pixel by pixel: what training would see of it, and marks to recognise it by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.scenes import Scene
from rsseg.raster import Pixels
from rsseg.tiling import Window, plan_blocks

_BLOCK = 512

PATCH = 16
"""Side of the patches that marks are made of, in pixels."""

_RARE = 2048
"""One patch in so many becomes a mark."""
_FEWEST = 64
"""Marks that a small scene should have, if it can."""
_MOST_MARKS = 2**20

_ODD = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found in one scene of a part of a data set.

    `class_pixels` (classes,) counts pixels that are labelled and valid, `unseen` those that are labelled where the
    image has no data. `marks` are hashes of patches of its pixels, ascending; see `marks_of`.
    """

    part: str
    scene: Scene
    class_pixels: NDArray[np.int64]
    unseen: int
    marks: NDArray[np.uint64]


def survey_scene(scene: Scene, *, part: str, mark: bool, on_progress: Callable[[float], None]) -> Survey:
    """Read all pixels of a scene, block by block.

    Args:
        scene: an open scene.
        part: what it is for, such as train.
        mark: whether to make marks.
        on_progress: is told the share done.

    Raises:
        RasterError: a block of the image or the labels cannot be read.
        LabelError: a label has an unknown code.
    """
    grid = scene.image.grid
    counts = np.zeros(256, dtype=np.int64)
    unseen = 0
    marks: list[NDArray[np.uint64]] = []
    blocks = plan_blocks(grid.width, grid.height, block=_BLOCK)
    with scene.image.open() as image:
        for number, block in enumerate(blocks, start=1):
            pixels, labels = image.read(block), scene.labels.read(block)
            unseen += int(np.count_nonzero(~pixels.valid & (labels != IGNORE_INDEX)))
            labels = np.where(pixels.valid, labels, np.uint8(IGNORE_INDEX))
            counts += np.bincount(labels.ravel(), minlength=256)
            if mark:
                marks.append(marks_of(pixels, labels, share=max(1 / _RARE, _FEWEST / grid.window.pixels)))
            on_progress(number / len(blocks))
    found = np.unique(np.concatenate(marks)) if marks else np.empty(0, dtype=np.uint64)
    return Survey(
        part=part,
        scene=scene,
        class_pixels=counts[: len(scene.class_pixels)],
        unseen=unseen,
        marks=found[:_MOST_MARKS],
    )


def marks_of(pixels: Pixels, labels: NDArray[np.uint8], *, share: float) -> NDArray[np.uint64]:
    """Hashes of those patches whose hash is among the smallest `share` of all numbers.

    Which patches those are depends on nothing but the pixels in them. So two images that show the same pixels, at
    whatever places, have the same marks there, and others practically none. Only patches count whose middle is
    labelled, and that are not flat, as a border without data is.
    """
    rows, cols = (side - PATCH + 1 for side in labels.shape)
    if rows < 1 or cols < 1:
        return np.empty(0, dtype=np.uint64)
    values = _one_number(pixels.data)
    hashes = _mixed(_rolled(_rolled(values, axis=1), axis=0))
    middle = slice(PATCH // 2, PATCH // 2 + rows), slice(PATCH // 2, PATCH // 2 + cols)
    chosen = (hashes < np.uint64(min(share, 1.0) * (2**64 - 2**11))) & (labels[middle] != IGNORE_INDEX)
    marks, first = np.unique(hashes[chosen], return_index=True)  # flat ground is one mark, however large
    at = tuple(places[first] for places in np.nonzero(chosen))
    patches = np.lib.stride_tricks.sliding_window_view(values, (PATCH, PATCH))[at]  # (n, PATCH, PATCH)
    varied = (patches != patches[:, :1, :1]).mean(axis=(1, 2)) > 0.5
    varied_marks: NDArray[np.uint64] = marks[varied]
    return varied_marks


def _one_number(data: NDArray[np.generic]) -> NDArray[np.uint64]:
    """All bands (bands, rows, cols) of a pixel as one number (rows, cols)."""
    kinds = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
    values = np.zeros(data.shape[1:], dtype=np.uint64)
    for band in data:
        values = values * np.uint64(_ODD) + np.ascontiguousarray(band).view(kinds[band.dtype.itemsize])
    return _mixed(values)


def _rolled(values: NDArray[np.uint64], *, axis: int) -> NDArray[np.uint64]:
    """The polynomial hash of every `PATCH` neighbours along an axis, which gets shorter; doubling, not sliding."""
    values = np.moveaxis(values, axis, 0)
    length, factor = 1, _ODD
    while length < PATCH:
        values = values[:-length] + np.uint64(factor) * values[length:]
        length, factor = 2 * length, factor * factor % 2**64
    return np.moveaxis(values, 0, axis)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread numbers evenly over 64 bits (the finaliser of splitmix64)."""
    for shift, factor in zip((30, 27), _MIX, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def merge_cells(cells: Iterable[Window]) -> list[Window]:
    """Fewer and larger windows over the same pixels: neighbours in a row are joined, then equal stretches of rows."""
    stretches: list[Window] = []
    for cell in sorted(cells, key=lambda c: (c.row_off, c.height, c.col_off)):
        last = stretches[-1] if stretches else None
        if last and last.rows == cell.rows and last.cols.stop == cell.col_off:
            stretches[-1] = Window.of(range(last.col_off, cell.cols.stop), last.rows)
        else:
            stretches.append(cell)
    merged: list[Window] = []
    for stretch in sorted(stretches, key=lambda s: (s.col_off, s.width, s.row_off)):
        last = merged[-1] if merged else None
        if last and last.cols == stretch.cols and last.rows.stop == stretch.row_off:
            merged[-1] = Window.of(last.cols, range(last.row_off, stretch.rows.stop))
        else:
            merged.append(stretch)
    return merged
