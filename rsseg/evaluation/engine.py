"""Compare class maps with labels, window by window, so that memory does not grow with the raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS, ClassTable
from rsseg.errors import LabelError, RasterError
from rsseg.evaluation.agreement import Agreement, agree_on_classes
from rsseg.evaluation.counters import ConfusionCounter, Counter, CounterChoice, PairFacts, Seen
from rsseg.evaluation.counting import Compared, count_classes, count_pair
from rsseg.evaluation.door import check_agreed
from rsseg.evaluation.labels import open_labels
from rsseg.evaluation.measures import chosen_measures
from rsseg.evaluation.options import EvaluateOptions
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.result import Evaluation, Measure, PairResult
from rsseg.evaluation.rules import LabelRules
from rsseg.raster.env import gdal_env
from rsseg.raster.grid import check_same_grid
from rsseg.raster.labels import LabelRaster, open_label_raster

_CONFUSION = "confusion"
"""The name of the counter that is always there."""
_IDS = "ids"
"""The name of the one that is there where nothing names the classes."""

Progress = Callable[[float], None]


def evaluate_maps(
    pairs: Sequence[Pair],
    classes: ClassTable | None = None,
    *,
    rules: LabelRules | None = None,
    options: EvaluateOptions | None = None,
    counters: CounterChoice | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Compare class maps with labels and add everything up.

    A class map that is nodata where a label is counts as not compared, and the result says how many pixels that is.

    Args:
        pairs: at least one class map with its labels.
        classes: the classes; by default those that the class maps name, or else as many as ids occur, for which
            everything is read once more if more than the confusion matrix is wanted.
        rules: which class polygons are, and where labels count.
        options: the protocol, what is done before maps and labels are compared, and what is measured.
        counters: gives what is counted in a pair besides, by name; see `Evaluation.counted`.
        on_progress: called with the share done, from 0 to 1.

    Raises:
        RasterError: a class map, second map or confidence is missing, is none, or lies on another grid; or the labels
            have no place on the map.
        LabelError: labels are unreadable, hold ids outside the classes, or cover no pixel of a map; maps or label
            rasters name other classes; the classes are not those of the protocol.
        OptionError: the rules do not fit the labels, or options the classes or pairs.
    """
    options = options or EvaluateOptions()
    measures = chosen_measures(options.measures, pairs)

    def choose(facts: PairFacts) -> dict[str, Counter]:
        found = dict(counters(facts)) if counters is not None else {}
        for measure in measures:
            found.update(measure.counters(facts))
        return found

    job = _Job(pairs=pairs, rules=rules or LabelRules(), options=options)
    report = on_progress or (lambda _share: None)
    with gdal_env():
        agreed = agree_on_classes(pairs, classes, moves=options.moves, protocol=options.protocol_used())
        check_agreed(agreed, options)
        if agreed.classes is None and (measures or counters is not None):
            first = _evaluate(job, agreed, lambda _facts: {}, on_progress=_part_of(report, 0, 2))
            unnamed = _check_compared(first)
            agreed = replace(agreed, classes=unnamed.classes, notes=unnamed.notes)
            check_agreed(agreed, options)
            report = _part_of(report, 1, 2)
        evaluation = _check_compared(_evaluate(job, agreed, choose, on_progress=report))
    return replace(evaluation, sections=tuple(measure.section(evaluation) for measure in measures))


@contextmanager
def open_pair(
    pair: Pair, agreed: Agreement, *, number: int, rules: LabelRules, options: EvaluateOptions
) -> Iterator[Compared]:
    """Open all rasters of a pair on the grid of its class map.

    Raises:
        RasterError, LabelError, OptionError: see `evaluate_maps`.
    """
    with ExitStack() as stack:
        class_map = stack.enter_context(_open_map(pair.prediction))
        labels = stack.enter_context(
            open_labels(
                pair,
                class_map.grid,
                rules=rules,
                classes=agreed.classes,
                recoding=agreed.labels[pair.labels],
                erode=options.radius,
            )
        )
        confidence = other = None
        if pair.confidence is not None:
            confidence = stack.enter_context(_open_confidence(pair.confidence))
            _check_on(class_map, confidence)
        if pair.other is not None:
            other = stack.enter_context(_open_map(pair.other))
            _check_on(class_map, other)
        compared = Compared(
            pair=pair,
            number=number,
            class_map=class_map,
            labels=labels,
            recoding=agreed.maps[pair.prediction],
            confidence=confidence,
            other=other,
        )
        yield compared if pair.other is None else replace(compared, other_recoding=agreed.maps[pair.other])


@contextmanager
def _open_map(path: Path) -> Iterator[LabelRaster]:
    """Open a class map, which is read like a label raster but called by its own name."""
    try:
        class_map = open_label_raster(path)
    except LabelError as err:
        raise RasterError(
            f"{err}: this is no class map", hint="`rsseg predict` makes class maps of images"
        ) from err
    with class_map:
        yield class_map


@contextmanager
def _open_confidence(path: Path) -> Iterator[LabelRaster]:
    """Open a confidence, whose values are a byte like those of a class map."""
    try:
        confidence = open_label_raster(path)
    except LabelError as err:
        raise RasterError(
            f"{path}: is no confidence in one byte to a pixel, 0 to 254 for 0 to 1",
            hint="`rsseg predict --confidence` writes it",
        ) from err
    with confidence:
        yield confidence


def _check_on(class_map: LabelRaster, raster: LabelRaster) -> None:
    check_same_grid(class_map.grid, raster.grid, what_a=class_map.path, what_b=raster.path)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is compared, and how."""

    pairs: Sequence[Pair]
    rules: LabelRules
    options: EvaluateOptions


def _evaluate(job: _Job, agreed: Agreement, choice: CounterChoice, *, on_progress: Progress) -> Evaluation:
    """Count all pairs; where no class is named, there are as many as the ids that occur need."""
    results, images = [], dict[Path, int]()
    for number, pair in enumerate(job.pairs):
        with open_pair(pair, agreed, number=number, rules=job.rules, options=job.options) as compared:
            on_map = job.options.measures.areas and pair.prediction not in images
            image = images.setdefault(pair.prediction, len(images))
            report = _part_of(on_progress, number, len(job.pairs))
            results.append(
                _count(compared, agreed, choice, job.options, image=image, on_map=on_map, on_progress=report)
            )
    measure = Measure(
        protocol=job.options.protocol_used(), erode=job.options.erode, not_in_means=agreed.not_in_means
    )
    if agreed.classes is None:
        return _with_classes_found(results, measure)
    return Evaluation(classes=agreed.classes, pairs=tuple(results), measure=measure, notes=agreed.notes)


def _count(
    compared: Compared,
    agreed: Agreement,
    choice: CounterChoice,
    options: EvaluateOptions,
    *,
    image: int,
    on_map: bool,
    on_progress: Progress,
) -> PairResult:
    """Count a pair and, with `on_map`, its whole class map, which is the one number `image`."""
    pair, labels = compared.pair, compared.labels
    classes = NODATA_CLASS if agreed.classes is None else len(agreed.classes)
    counters: Mapping[str, Counter] = {_IDS: _IdCounter()}
    if agreed.classes is not None:
        counters = choice(
            PairFacts(
                pair=compared.number,
                image=image,
                path=pair.prediction,
                grid=compared.class_map.grid,
                table=agreed.classes,
            )
        )
    counted = count_pair(
        compared,
        {_CONFUSION: ConfusionCounter(classes), **counters},
        threads=options.threads,
        on_progress=_part_of(on_progress, 0, 2) if on_map else on_progress,
    )
    mapped = None
    if on_map:
        mapped = count_classes(
            compared, classes, threads=options.threads, on_progress=_part_of(on_progress, 1, 2)
        )
    confusion = counted.counts[_CONFUSION]
    notes = (
        *labels.notes,
        *agreed.labels[pair.labels].notes(pair.labels, counted.labels),
        *compared.recoding.notes(pair.prediction, counted.prediction),
    )
    if not confusion.scored:
        notes += (f"{pair.labels}: no pixel could be compared with {pair.prediction}",)
    return PairResult(
        prediction=pair.prediction,
        labels=pair.labels,
        confusion=confusion,
        notes=notes,
        counts={name: counted.counts[name] for name in counters},
        mapped=mapped,
        confidence=pair.confidence,
        other=pair.other,
    )


def _with_classes_found(results: Sequence[PairResult], measure: Measure) -> Evaluation:
    """Put results together that have as many classes as ids are possible, less those from the last that occurs."""
    total = sum(result.counts[_IDS] for result in results)
    total += sum(np.array(result.mapped.pixels) for result in results if result.mapped is not None)
    used = np.flatnonzero(total)
    count = int(used.max()) + 1 if used.size else 1
    cut = [
        replace(r, confusion=replace(r.confusion, matrix=r.confusion.matrix[:count, :count])) for r in results
    ]
    note = f"the class maps do not name their classes; {count} are assumed, from the ids that occur"
    return Evaluation(classes=ClassTable.unnamed(count), pairs=tuple(cut), measure=measure, notes=(note,))


@dataclass(frozen=True)
class _IdCounter:
    """How often each id occurs in labels, and in class maps and second maps where there are labels: (255,)."""

    margin: int = 0

    def empty(self) -> NDArray[np.int64]:
        """See `Counter`."""
        return np.zeros(NODATA_CLASS, dtype=np.int64)

    def count(self, seen: Seen) -> NDArray[np.int64]:
        """See `Counter`."""
        label, prediction = seen.kept()
        labelled = label != IGNORE_INDEX
        ids = [label, prediction[labelled]]
        if seen.other is not None:
            ids.append(seen.kept_other()[labelled])
        return sum(
            (np.bincount(of.ravel(), minlength=NODATA_CLASS + 1)[:NODATA_CLASS] for of in ids), self.empty()
        )


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


def _part_of(report: Progress, done: int, count: int) -> Progress:
    """Progress of one of `count` equal parts."""
    return lambda share: report((done + share) / count)
