"""The rasters of a pair, seen window by window in several threads, and counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS
from rsseg.errors import LabelError
from rsseg.evaluation.confusion import check_ids
from rsseg.evaluation.counters import Counter, Seen
from rsseg.evaluation.labels import Labels
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.recoding import Recoding
from rsseg.prediction.stages import map_ahead
from rsseg.raster.counts import ClassCounts, add_up
from rsseg.raster.labels import LabelRaster
from rsseg.tiling import BLOCK, Window

_SIDE = 2048
"""Side of the windows that are compared at a time: 4 Mpx, whole blocks of a class map."""

_Result = TypeVar("_Result")

_MOST_THREADS = 8
"""As many threads as the process may use cores, up to this: each holds some 50 MB."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The rasters of a pair, open and on one grid, with what the values of both maps count as.

    `number` is the pair's; `confidence` and `other` are None where it has none.
    """

    pair: Pair
    number: int
    class_map: LabelRaster
    labels: Labels
    recoding: Recoding
    confidence: LabelRaster | None = None
    other: LabelRaster | None = None
    other_recoding: Recoding = field(default_factory=Recoding)

    @property
    def in_strips(self) -> bool:
        """Whether whole rows are read best."""
        rasters = (self.labels, self.class_map, self.confidence, self.other)
        return any(raster.in_strips for raster in rasters if raster is not None)

    def see(self, keep: Window, *, margin: int) -> tuple[Seen, NDArray[np.uint8], NDArray[np.int64]]:
        """What counters see of a window, the values of the class map (rows, cols) of `read`, and the labels' tally.

        Raises:
            LabelError: a value is no class.
            RasterError: a block cannot be read.
        """
        whole = self.labels.window
        read = keep.expanded(margin).intersection(whole)
        labels, values = self.labels.read(read, keep=keep), self.class_map.read(read)
        seen = Seen(
            keep,
            read,
            whole,
            label=labels.ids,
            prediction=self.recoding(values),
            pair=self.number,
            confidence=None if self.confidence is None else self.confidence.read(read),
            other=None if self.other is None else self.other_recoding(self.other.read(read)),
        )
        return seen, values, labels.tally


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts by the name of their counter, and how often each value of both rasters occurs (see `Recoding.tally`)."""

    counts: Mapping[str, Any]
    labels: NDArray[np.int64]
    prediction: NDArray[np.int64]

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            {name: self.counts[name] + other.counts[name] for name in self.counts},
            self.labels + other.labels,
            self.prediction + other.prediction,
        )


def count_pair(
    compared: Compared,
    counters: Mapping[str, Counter],
    *,
    threads: int | None = None,
    on_progress: Callable[[float], None],
) -> Counted:
    """Let counters see every pixel that is compared.

    The counts depend neither on the windows nor on the threads: each window is counted for itself, and they are added
    in the order of the windows.

    Args:
        compared: what is read.
        counters: what is counted, by name.
        threads: how many read and count; None: one to a core, at most 8.
        on_progress: called with the share done, from 0 to 1.

    Raises:
        LabelError: a label or a prediction is no class.
        RasterError: a block cannot be read.
        ResourceError: the system allows no further thread.
    """
    windows = plan_windows(compared.labels.window, in_strips=compared.in_strips)
    total = Counted({name: c.empty() for name, c in counters.items()}, _nothing(), _nothing())
    work = _in_threads(lambda w: _count(compared, counters, w), windows, threads, on_progress)
    with closing(work) as parts:
        for part in parts:
            total += part
    return total


def count_classes(
    compared: Compared, classes: int, *, threads: int | None = None, on_progress: Callable[[float], None]
) -> ClassCounts:
    """Count what each class covers on the whole class map, whatever of it has labels.

    Args:
        compared: whose class map is read.
        classes: how many there are.
        threads: as in `count_pair`.
        on_progress: called with the share done, from 0 to 1.

    Raises:
        LabelError: a value is no class.
        RasterError: a block cannot be read.
    """
    class_map, grid = compared.class_map, compared.class_map.grid
    windows = plan_windows(grid.window, in_strips=class_map.in_strips)

    def count(window: Window) -> list[tuple[int, NDArray[np.int64]]]:
        ids = compared.recoding(class_map.read(window))
        return [
            (row, np.bincount(ids[part.slices(window)].ravel(), minlength=NODATA_CLASS + 1)[:NODATA_CLASS])
            for row, part in _rows_of_blocks(window)
        ]

    pixels = np.zeros((-(-grid.height // BLOCK), NODATA_CLASS), dtype=np.int64)
    with closing(_in_threads(count, windows, threads, on_progress)) as counts:
        for found in counts:
            for row, of_row in found:
                pixels[row] += of_row
    check_ids(pixels.sum(axis=0), classes, what=f"{compared.pair.prediction} holds")
    # Whole numbers first: the area must not depend on the order of additions.
    by_row = {row: dict(enumerate(of_row)) for row, of_row in enumerate(pixels.tolist())}
    return add_up(by_row, grid=grid, classes=classes)


def _rows_of_blocks(window: Window) -> Iterator[tuple[int, Window]]:
    """A window cut where rows of blocks meet, with the numbers of these rows: what areas are counted by."""
    for row in range(window.rows.start // BLOCK, -(-window.rows.stop // BLOCK)):
        yield row, window.intersection(Window(window.col_off, row * BLOCK, window.width, BLOCK))


def _in_threads(
    work: Callable[[Window], _Result],
    windows: Sequence[Window],
    threads: int | None,
    on_progress: Callable[[float], None],
) -> Generator[_Result]:
    """The results of all windows, in their order."""
    threads = threads or min(_cores(), _MOST_THREADS)
    with closing(map_ahead(work, windows, threads=threads, depth=2 * threads)) as results:
        for done, result in enumerate(results, start=1):
            yield result
            on_progress(done / len(windows))


def plan_windows(area: Window, *, in_strips: bool) -> list[Window]:
    """Cut an area into windows of about 4 Mpx that partition it: squares, or whole rows where files have strips."""
    width = area.width if in_strips else _SIDE
    height = max(1, _SIDE * _SIDE // width) if in_strips else _SIDE
    return [
        Window(
            area.col_off + col,
            area.row_off + row,
            min(width, area.width - col),
            min(height, area.height - row),
        )
        for row in range(0, area.height, height)
        for col in range(0, area.width, width)
    ]


def _count(compared: Compared, counters: Mapping[str, Counter], keep: Window) -> Counted:
    """Read a window with the margin that counters need, and let each of them count it."""
    margin = max((counter.margin for counter in counters.values()), default=0)
    try:
        seen, values, tally = compared.see(keep, margin=margin)
        counts = {name: counter.count(seen) for name, counter in counters.items()}
    except LabelError as err:
        pair = compared.pair
        raise LabelError(f"{pair.labels} against {pair.prediction}, {keep}: {err}", hint=err.hint) from err
    return Counted(counts, tally, compared.recoding.tally(values[keep.slices(seen.read)]))


def _nothing() -> NDArray[np.int64]:
    return np.zeros(256, dtype=np.int64)


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
