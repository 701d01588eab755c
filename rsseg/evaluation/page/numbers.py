"""The numbers of an evaluation as the page shows them: cards, classes, matrix, sections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rsseg.classes import ClassInfo
from rsseg.evaluation.report import TITLES, counted_lines
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.scores import CLASS_SCORES
from rsseg.evaluation.sections import Section, number, percent

INTERVALS = "intervals"
CALIBRATION = "calibration"
"""Names of the sections of which more than tables is drawn."""

_HEATS = ((255, 255, 255), (8, 69, 148))
"""What nothing and all of a row look like in the confusion matrix."""
_DARK = 0.73
"""From this heat on, white is easier to read than black: both have a contrast of at least 4.5 on their side of it."""
_WIDTH, _HEIGHT = 240, 200
"""Of the reliability curve, in the units of its drawing."""


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table with its caption; the first cell of a row is its name.

    `region` is what those hear who cannot see it, by default the caption; `words` says that cells are no numbers.
    """

    caption: str
    rows: tuple[tuple[str, ...], ...]
    head: tuple[str, ...] = ()
    region: str = ""
    words: bool = False


class Key(NamedTuple):
    """An entry of a legend; `clear` is what lets the image through."""

    name: str
    color: str
    clear: bool = False
    text: str = ""


class Card(NamedTuple):
    """One score in large, with its interval and protocol."""

    name: str
    value: str
    interval: str
    protocol: str


class Bar(NamedTuple):
    """An IoU and the ends of its interval, in percent; None without one."""

    value: float
    low: float | None
    high: float | None


class ClassRow(NamedTuple):
    """The scores of one class."""

    key: Key
    bar: Bar
    cells: tuple[str, ...]


class MatrixCell(NamedTuple):
    """Pixels and their share of the row, with the colours of the cell and of what is written in it."""

    pixels: str
    share: str
    fill: str
    ink: str


class MatrixRow(NamedTuple):
    """What the map says of one class of the labels; `number` counts rows from 0."""

    number: int
    key: Key
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The reliability curve: dots joined by a line, over the share of pixels in each bin."""

    text: str
    dots: tuple[tuple[float, float], ...]
    bars: tuple[dict[str, float], ...]

    @property
    def points(self) -> str:
        """All dots, as SVG wants them."""
        return " ".join(f"{x},{y}" for x, y in self.dots)


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """One measure beyond the confusion matrix; `more` is folded away."""

    id: str
    title: str
    protocol: str
    text: tuple[str, ...]
    tables: tuple[PageTable, ...]
    more: tuple[PageTable, ...]
    curve: Curve | None


def class_keys(evaluation: Evaluation, *, over_image: bool = False) -> tuple[Key, ...]:
    """The classes for a legend; over an image black ones are clear."""
    return tuple(_key(c, over_image=over_image) for c in evaluation.classes)


def cards(evaluation: Evaluation) -> tuple[Card, ...]:
    """All scores that are one number."""
    ends = _section(evaluation, INTERVALS).scores
    return tuple(
        Card(TITLES[name], number(value), _interval(ends, name), evaluation.measure.title)
        for name, value in evaluation.summary.items()
    )


def interval_text(evaluation: Evaluation) -> str:
    """What the intervals beside scores are; empty without any."""
    facts = _section(evaluation, INTERVALS).facts
    if not facts:
        return ""
    return f"Below a score: its {100 * facts['level']:g} % interval; see “{_section(evaluation, INTERVALS).title}”."


CLASS_HEAD = (
    *("class", "IoU from 0 to 1", "IoU", "F1", "precision", "recall"),
    *("reference px", "reference share", "predicted px", "predicted share"),
)


def class_rows(evaluation: Evaluation) -> tuple[ClassRow, ...]:
    """Scores and pixels of each class."""
    scores, matrix = evaluation.scores, evaluation.confusion.matrix
    ends = _section(evaluation, INTERVALS).class_scores
    reference, predicted = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    return tuple(
        ClassRow(
            key=_key(c),
            bar=Bar(
                _hundredths(scores.iou[c.id]) or 0.0,
                *(_hundredths(ends[end][c.id]) if end in ends else None for end in ("iou_low", "iou_high")),
            ),
            cells=(
                *(number(getattr(scores, name)[c.id]) for name in CLASS_SCORES),
                *(f"{reference[c.id]:,}", percent(reference[c.id], scores.pixels)),
                *(f"{predicted[c.id]:,}", percent(predicted[c.id], scores.pixels)),
            ),
        )
        for c in evaluation.classes
    )


def matrix_rows(evaluation: Evaluation) -> tuple[MatrixRow, ...]:
    """The confusion matrix as a picture with numbers in it."""
    counts = evaluation.confusion.matrix.tolist()
    return tuple(
        MatrixRow(c.id, _key(c), tuple(_cell(count, sum(counts[c.id])) for count in counts[c.id]))
        for c in evaluation.classes
    )


def sections(evaluation: Evaluation) -> tuple[PageSection, ...]:
    """What was measured besides, each with its tables and, folded away, with every number that has a name."""
    return tuple(_page_section(section, evaluation) for section in evaluation.sections)


def counted(evaluation: Evaluation) -> tuple[str, ...]:
    """What the scores rest on, one sentence each."""
    return tuple(f"{line[:1].upper()}{line[1:]}." for line in counted_lines(evaluation))


def mean_over(evaluation: Evaluation) -> str:
    """Which classes means are over."""
    names = [evaluation.classes.names[k] for k in evaluation.scores.mean_over]
    return f"Means are over {', '.join(names)}."


def _section(evaluation: Evaluation, name: str) -> Section:
    """A section by name, or an empty one."""
    nothing = Section(name=name, title="", protocol="")
    return next((section for section in evaluation.sections if section.name == name), nothing)


def _key(info: ClassInfo, *, over_image: bool = False) -> Key:
    return Key(info.name, info.color, clear=over_image and not any(info.rgb))


def _interval(ends: Mapping[str, float], name: str) -> str:
    if f"{name}_low" not in ends:
        return ""
    return f"{number(ends[f'{name}_low'])} to {number(ends[f'{name}_high'])}"


def _hundredths(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * value, 2)


def _cell(count: int, of: int) -> MatrixCell:
    share = count / of if of else 0.0
    color = [round(low + (high - low) * share**0.7) for low, high in zip(*_HEATS, strict=True)]
    ink = "#ffffff" if share**0.7 > _DARK else "#000000"
    return MatrixCell(f"{count:,}", percent(count, of), "#{:02x}{:02x}{:02x}".format(*color), ink)


def _page_section(section: Section, evaluation: Evaluation) -> PageSection:
    lines = tuple(
        (name, of_class, _plain_number(value), protocol)
        for protocol, name, of_class, value in section.lines(evaluation.classes)
    )
    every = PageTable(
        caption=f"All numbers of “{section.title}”", head=("score", "class", "value", "protocol"), rows=lines
    )
    return PageSection(
        id=f"section-{section.name}",
        title=section.title,
        protocol=section.protocol,
        text=tuple(f"{line[:1].upper()}{line[1:]}." for line in section.text),
        tables=tuple(
            PageTable(
                caption=f"protocol {section.protocol}",
                region=f"{section.title}, table {count}",
                head=t.head or (),
                rows=t.rows,
            )
            for count, t in enumerate(section.tables, start=1)
        ),
        more=(every,) if lines else (),
        curve=_curve(section) if section.name == CALIBRATION else None,
    )


def _plain_number(value: float | None) -> str:
    """Counts as they are, scores with four decimals."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else number(value)


def _curve(section: Section) -> Curve:
    """Draw the bins of a calibration: `from`, `to`, `pixels`, `confidence` and `accuracy` of each."""
    bins: Sequence[Mapping[str, Any]] = section.facts["curve"]
    total, most = sum(b["pixels"] for b in bins), max(b["pixels"] for b in bins) or 1
    return Curve(
        text="Reliability curve: of pixels with about the same confidence, how many are right. On the dashed line"
        " confidence can be taken at its word; below it the map is too sure of itself. Bars: how the"
        f" {total:,} pixels are spread over confidence.",
        dots=tuple(_dots(bins)),
        bars=tuple(
            {
                "x": round(_WIDTH * b["from"] + 1, 2),
                "width": round(_WIDTH * (b["to"] - b["from"]) - 2, 2),
                "y": round(_HEIGHT * (1 - b["pixels"] / most), 2),
                "height": round(_HEIGHT * b["pixels"] / most, 2),
            }
            for b in bins
        ),
    )


def _dots(bins: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    for b in bins:
        if b["pixels"]:
            yield round(_WIDTH * b["confidence"], 2), round(_HEIGHT * (1 - b["accuracy"]), 2)
