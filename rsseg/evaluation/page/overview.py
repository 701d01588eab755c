"""A small copy of labels and class map, made while they are counted: every n-th pixel of every n-th row.

Pixels are taken as they are, neither averaged nor voted on. So what is seen is a fair sample: the share of wrong pixels
in the picture is, but for chance, that of the map, however thin the errors are.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.evaluation.counters import Seen
from rsseg.raster.grid import Grid
from rsseg.tiling import Window

Ids = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Labels and class map of a rectangle of pixels; compressed, since many are kept and they are mostly uniform."""

    window: Window
    packed: bytes

    @classmethod
    def of(cls, window: Window, label: Ids, prediction: Ids) -> Self:
        """Keep ids (rows, cols) of the window, which counts in whatever pixels the caller does."""
        both = np.ascontiguousarray([label, prediction])
        return cls(window=window, packed=zlib.compress(both.tobytes(), 1))

    def unpacked(self) -> Ids:
        """Labels and class map: (2, rows, cols)."""
        ids = np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8)
        return ids.reshape(2, self.window.height, self.window.width)


def put_together(patches: tuple[Patch, ...], whole: Window) -> Ids:
    """Labels and class map (2, rows, cols) of a rectangle, 255 where no patch lies."""
    ids = np.full((2, whole.height, whole.width), IGNORE_INDEX, dtype=np.uint8)
    for patch in patches:
        rows, cols = patch.window.slices(whole)
        ids[:, rows, cols] = patch.unpacked()
    return ids


@dataclass(frozen=True, eq=False)
class Overview:
    """Every `step`-th pixel of the part of one pair that is compared, `whole`; parts of it add up with `+`."""

    grid: Grid
    whole: Window | None = None
    step: int = 1
    patches: tuple[Patch, ...] = ()

    def __add__(self, other: Overview) -> Overview:
        known = self if self.whole is not None else other
        return Overview(known.grid, known.whole, known.step, self.patches + other.patches)

    def ids(self) -> Ids:
        """Labels and class map: (2, rows, cols), with 255 for no label and no class; empty if nothing was seen."""
        if self.whole is None:
            return np.zeros((2, 0, 0), dtype=np.uint8)
        size = Window(0, 0, -(-self.whole.width // self.step), -(-self.whole.height // self.step))
        return put_together(self.patches, size)


@dataclass(frozen=True, kw_only=True)
class OverviewCounter:
    """Keeps every n-th pixel.

    Args:
        grid: of the class map; the overview remembers it.
        max_side: bound on the longer side of the overview, in pixels; n follows from it.
        margin: none is needed.
    """

    grid: Grid
    max_side: int
    margin: int = 0

    def empty(self) -> Overview:
        """See `Counter`."""
        return Overview(self.grid)

    def count(self, seen: Seen) -> Overview:
        """See `Counter`."""
        whole = seen.whole
        step = max(1, -(-max(whole.width, whole.height) // self.max_side))
        cols = _taken(seen.keep.cols, whole.col_off, step)
        rows = _taken(seen.keep.rows, whole.row_off, step)
        label, prediction = (ids[_at(rows, seen.keep.row_off, step), _at(cols, seen.keep.col_off, step)]
                             for ids in seen.kept())  # fmt: skip
        window = Window.of(
            range((cols.start - whole.col_off) // step, (cols.start - whole.col_off) // step + len(cols)),
            range((rows.start - whole.row_off) // step, (rows.start - whole.row_off) // step + len(rows)),
        )
        return Overview(self.grid, whole, step, (Patch.of(window, label, prediction),))


def _taken(places: range, origin: int, step: int) -> range:
    """The columns or rows of a window that are kept: those at a multiple of the step from the origin."""
    return range(places.start + -(places.start - origin) % step, places.stop, step)


def _at(taken: range, offset: int, step: int) -> slice:
    return slice(taken.start - offset, None, step)
