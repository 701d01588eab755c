"""Compare class maps with labels, window by window, so that memory does not grow with the raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.errors import LabelError, RasterError
from rsseg.evaluation.confusion import Confusion, count_pixels
from rsseg.evaluation.labels import Labels, open_labels
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.result import Evaluation, PairResult
from rsseg.evaluation.rules import LabelRules
from rsseg.raster.categories import read_categories
from rsseg.raster.env import gdal_env
from rsseg.raster.labels import LabelRaster, open_label_raster
from rsseg.raster.vectors import is_vector_file
from rsseg.tiling import Window, plan_blocks

_BLOCK = 2048
"""Side of the windows that are compared at a time: 4 Mpx, whole blocks of a class map."""


def evaluate_maps(
    pairs: Sequence[Pair],
    classes: ClassTable | None = None,
    *,
    rules: LabelRules | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Compare class maps with labels and add everything up.

    A class map that is nodata where a label is counts as not compared, and the result says how many pixels that is.

    Args:
        pairs: at least one class map with its labels.
        classes: the classes; by default those that the class maps name, or else as many as ids occur.
        rules: which class polygons are, and where labels count.
        on_progress: called with the share done, from 0 to 1.

    Raises:
        RasterError: a class map is missing, is none, or the labels are on another grid.
        LabelError: labels are unreadable, hold ids outside the classes, or cover no pixel of a map; maps or label
            rasters name other classes.
        OptionError: the rules do not fit the labels.
    """
    report = on_progress or (lambda _share: None)
    with gdal_env():
        named = _agreed_classes(pairs, classes)
        results = []
        for done, pair in enumerate(pairs):
            step = _part_of(report, done, len(pairs))
            results.append(_evaluate_pair(pair, named, rules or LabelRules(), on_progress=step))
    return _check_compared(_with_classes(results, named))


def _agreed_classes(pairs: Sequence[Pair], given: ClassTable | None) -> ClassTable | None:
    """The classes given, or else those that the maps name, None if one of them names none.

    Raises:
        LabelError: a map or a label raster names others.
    """
    maps = {pair.prediction: read_categories(pair.prediction) for pair in pairs}
    labels = {pair.labels: read_categories(pair.labels) for pair in pairs if not is_vector_file(pair.labels)}
    found = [("the table of classes given", given), *maps.items(), *labels.items()]
    named = [(what, table.names) for what, table in found if table is not None]
    for what, names in named:
        if names != named[0][1]:
            raise LabelError(
                f"{what}: has the classes {', '.join(names)}; {named[0][0]} has {', '.join(named[0][1])}",
                hint="only the same classes can be compared; if just the names are wrong, "
                f"mend or remove {what}.aux.xml",
            )
    return given or (None if None in maps.values() else next(iter(maps.values())))


def _evaluate_pair(
    pair: Pair, classes: ClassTable | None, rules: LabelRules, *, on_progress: Callable[[float], None]
) -> PairResult:
    count = NODATA_CLASS if classes is None else len(classes)
    with (
        _open_map(pair) as class_map,
        open_labels(pair, class_map.grid, rules=rules, classes=classes) as labels,
    ):
        confusion = Confusion.empty(count)
        for window, share in _iter_windows(labels.window):
            confusion += _count_window(pair, class_map, labels, window=window, classes=count)
            on_progress(share)
    notes = labels.notes
    if not confusion.scored:
        notes += (f"{pair.labels}: no pixel could be compared with {pair.prediction}",)
    return PairResult(prediction=pair.prediction, labels=pair.labels, confusion=confusion, notes=notes)


@contextmanager
def _open_map(pair: Pair) -> Iterator[LabelRaster]:
    """Open a class map, which is read like a label raster but called by its own name."""
    try:
        class_map = open_label_raster(pair.prediction)
    except LabelError as err:
        raise RasterError(
            f"{err}: this is no class map", hint="`rsseg predict` makes class maps of images"
        ) from err
    with class_map:
        yield class_map


def _iter_windows(area: Window) -> Iterator[tuple[Window, float]]:
    """The windows of an area, on the blocks of the map where the area is all of it, with the share done after each."""
    cells = plan_blocks(area.width, area.height, block=_BLOCK)
    for done, cell in enumerate(cells, start=1):
        yield (
            Window(area.col_off + cell.col_off, area.row_off + cell.row_off, cell.width, cell.height),
            done / len(cells),
        )


def _count_window(
    pair: Pair, class_map: LabelRaster, labels: Labels, *, window: Window, classes: int
) -> Confusion:
    try:
        return count_pixels(labels.read(window), class_map.read(window), classes)
    except LabelError as err:
        raise LabelError(f"{pair.labels} against {pair.prediction}, {window}: {err}", hint=err.hint) from err


def _with_classes(results: Sequence[PairResult], classes: ClassTable | None) -> Evaluation:
    """Put the results together; where no class is named, there are as many as the ids that occur need."""
    if classes is not None:
        return Evaluation(classes=classes, pairs=tuple(results))
    total = sum((result.confusion.matrix for result in results), np.zeros((1, 1), dtype=np.int64))
    used = np.flatnonzero(total.sum(axis=0) + total.sum(axis=1))
    count = int(used.max()) + 1 if used.size else 1
    cut = [
        replace(r, confusion=replace(r.confusion, matrix=r.confusion.matrix[:count, :count])) for r in results
    ]
    note = f"the class maps do not name their classes; {count} are assumed, from the ids that occur"
    return Evaluation(classes=ClassTable.unnamed(count), pairs=tuple(cut), notes=(note,))


def _check_compared(evaluation: Evaluation) -> Evaluation:
    counts = evaluation.confusion
    if counts.scored:
        return evaluation
    first = evaluation.pairs[0]
    raise LabelError(
        f"{first.labels}: nothing to compare with {first.prediction}: {counts.ignored} px have no label, "
        f"{counts.nodata} px have a label where the map is nodata",
        hint="do labels and map cover the same ground?",
    )


def _part_of(report: Callable[[float], None], done: int, count: int) -> Callable[[float], None]:
    """Progress of one of `count` equal parts."""
    return lambda share: report((done + share) / count)
