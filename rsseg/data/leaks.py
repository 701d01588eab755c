"""What scores are taken on and what was learnt from must not be the same ground: finding where it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.scenes import Scene
from rsseg.data.survey import Survey, merge_cells
from rsseg.raster.footprint import Plane
from rsseg.tiling import Window

_POINTS = 40_000
"""Labelled pixels of a scene that are looked up in others, about."""

_FEW_MARKS = 3
"""Marks that two scenes must share before it counts: one may be a coincidence."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A scene of `part` that shows what train scenes show, too.

    `share` is the part of its labelled pixels, or of its marks, that they have as well, from 0 to 1.
    """

    part: str
    scene: str
    others: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class _Placed:
    """A survey with the outline of its labelled ground on a plane."""

    survey: Survey
    windows: list[Window]
    outlines: NDArray[Any]


class GroundLeaks:
    """Overlaps on the ground between the train scenes and others, for scenes that are placed on one plane."""

    def __init__(self, plane: Plane, train: Sequence[Survey]) -> None:
        self._plane = plane
        self._train = [self._placed(survey) for survey in train]
        polygons = [placed.outlines for placed in self._train]
        self._owner = np.repeat(np.arange(len(polygons)), [len(p) for p in polygons])
        self._tree = shapely.STRtree(np.concatenate(polygons) if polygons else np.empty(0, dtype=object))

    def look(self, survey: Survey, *, window: int) -> Leak | Literal["near", "apart"]:
        """What a scene has in common with the scenes of train.

        Returns:
            How much of its labelled pixels lies on ground that another image of train has labelled; or else whether
            a sample of so many pixels that holds labelled ground of train can hold labelled ground of the scene, too.
        """
        placed = self._placed(survey)
        leak = self._overlap(placed)
        if leak is not None:
            return leak
        reach = window - 1.5  # of a sample beyond a pixel, to the middle of its last pixel
        if reach < 0:
            return "apart"
        distance = reach * pixel_sides(placed.outlines, placed.windows)
        near = self._tree.query(placed.outlines, predicate="dwithin", distance=distance)
        return "near" if near.size else "apart"

    def _overlap(self, placed: _Placed) -> Leak | None:
        survey = placed.survey
        near, found = self._tree.query(placed.outlines, predicate="intersects")
        others = [
            n
            for n in np.unique(self._owner[found]).tolist()
            if not _same_image(self._train[n].survey, survey)
        ]
        if not others:
            return None
        windows = [placed.windows[n] for n in np.unique(near).tolist()]
        cols, rows, thinned = _labelled_points(survey.scene, windows)
        x, y = self._plane.places_of(survey.scene.image.grid, cols + 0.5, rows + 0.5)
        hit = np.zeros(len(cols), dtype=np.bool_)
        names = []
        for n in others:
            there = self._labelled_at(self._train[n].survey.scene, x, y)
            hit |= there
            if there.any():
                names.append(self._train[n].survey.scene.name)
        if not names:
            return None
        share = int(hit.sum()) * thinned / int(survey.scene.class_pixels.sum())
        return Leak(part=survey.part, scene=survey.scene.name, others=tuple(names), share=min(1.0, share))

    def _placed(self, survey: Survey) -> _Placed:
        windows = merge_cells(_tight(survey.scene))
        outlines = self._plane.outlines(survey.scene.image.grid, windows)
        kept = ~shapely.is_empty(outlines)
        return _Placed(survey, [w for w, k in zip(windows, kept, strict=True) if k], outlines[kept])

    def _labelled_at(self, scene: Scene, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        """At which places a scene is labelled."""
        cols, rows = self._plane.pixels_of(scene.image.grid, x, y)
        inside = (
            (cols >= 0) & (rows >= 0) & (cols < scene.image.grid.width) & (rows < scene.image.grid.height)
        )
        labelled = np.zeros(len(x), dtype=np.bool_)
        labelled[inside] = _is_labelled(scene, cols[inside].astype(np.int64), rows[inside].astype(np.int64))
        return labelled


def _tight(scene: Scene) -> Iterator[Window]:
    """The cells of a scene, each no larger than what is labelled in it."""
    for cell, count in zip(scene.cells, scene.cells.labelled.tolist(), strict=True):
        if count == cell.pixels:
            yield cell
            continue
        rows, cols = np.nonzero(scene.labels.read(cell) != IGNORE_INDEX)
        yield Window.of(
            range(cell.col_off + int(cols.min()), cell.col_off + int(cols.max()) + 1),
            range(cell.row_off + int(rows.min()), cell.row_off + int(rows.max()) + 1),
        )


def pixel_sides(outlines: NDArray[Any], windows: Sequence[Window]) -> NDArray[np.float64]:
    """The side of a pixel in units of the plane, for windows with their outlines on it."""
    return np.asarray(np.sqrt(shapely.area(outlines) / [w.pixels for w in windows]))


def shared_marks(train: Sequence[Survey], others: Sequence[Survey]) -> Iterator[Leak]:
    """Scenes that show the very pixels of a train scene somewhere, by their marks (see `survey.marks_of`)."""
    sizes = [len(s.marks) for s in train]
    if not sum(sizes):
        return
    marks = np.concatenate([s.marks for s in train])
    order = np.argsort(marks, kind="stable")
    marks, owner = marks[order], np.repeat(np.arange(len(train)), sizes)[order]
    for survey in others:
        place = np.minimum(np.searchsorted(marks, survey.marks), len(marks) - 1)
        same = marks[place] == survey.marks
        if np.count_nonzero(same) < min(_FEW_MARKS, max(1, len(survey.marks))):
            continue
        names = {train[n].scene.name for n in owner[place[same]].tolist()}
        yield Leak(
            part=survey.part,
            scene=survey.scene.name,
            others=tuple(sorted(names)),
            share=float(same.mean()),
        )


def _same_image(a: Survey, b: Survey) -> bool:
    return Path(a.scene.image.path).resolve() == Path(b.scene.image.path).resolve()


def _labelled_points(
    scene: Scene, windows: Sequence[Window]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Columns and rows of labelled pixels in windows, evenly thinned out, and how many pixels each stands for."""
    step = max(1, math.isqrt(sum(w.pixels for w in windows) // _POINTS))
    grids = [
        np.meshgrid(np.arange(w.cols.start, w.cols.stop, step), np.arange(w.rows.start, w.rows.stop, step))
        for w in windows
    ]
    cols, rows = (np.concatenate([g[axis].ravel() for g in grids]) for axis in (0, 1))
    labelled = _is_labelled(scene, cols, rows)
    return cols[labelled], rows[labelled], step * step


def _is_labelled(scene: Scene, cols: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pixels of a scene are labelled, reading each cell once."""
    labelled = np.zeros(len(cols), dtype=np.bool_)
    if not len(cols):
        return labelled
    numbers, which = np.unique(scene.cells.numbers_at(cols, rows), return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which))
    known = np.isin(numbers, scene.cells.numbers)
    for number, points, is_known in zip(numbers.tolist(), np.split(order, ends[:-1]), known, strict=True):
        if is_known:
            cell = scene.cells.window(number)
            ids = scene.labels.read(cell)
            labelled[points] = ids[rows[points] - cell.row_off, cols[points] - cell.col_off] != IGNORE_INDEX
    return labelled
