"""Reports of small made-up maps, and what stands on them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from rsseg.classes import ClassInfo, ClassTable
from rsseg.evaluation import EvaluateOptions, Evaluation, Pair, evaluate_maps
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.options import MeasureOptions
from rsseg.evaluation.page import page_counters, write_report
from tests.evaluation.files import DEGREES, random_ids, write_ids, write_map
from tests.making import random_pixels, write_raster

NASTY = ClassTable(
    (
        ClassInfo(0, "<script>alert(1)</script>", "#000000"),
        ClassInfo(1, "R&D \"house\" 'x'", "#FF0000"),
        ClassInfo(2, "{{ 7 * 7 }}{% x %}</style>", "#0000FF"),
    )
)
ALL_MEASURES = MeasureOptions(
    boundary=Length(2), objects=("1",), intervals=Length(16), replicates=20, areas=True
)
_ALONE = frozenset(("meta", "img", "br", "input", "link", "path", "rect", "circle", "polyline"))


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page with what it was made of."""

    path: Path
    evaluation: Evaluation
    page: Seen


@dataclass
class Seen(HTMLParser):
    """Tags with their attributes, and the text outside style and script; raises where tags do not close."""

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tables: list[list[str]] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _ALONE:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "dd":
            self.cards.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.texts.append(data)
        if "table" in self.open:
            self.tables[-1].append(data.strip())
        if "dd" in self.open:
            self.cards[-1] += f" {data}"

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def named(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all tags of a kind."""
        return [attributes for found, attributes in self.tags if found == tag]


def read_page(path: Path) -> Seen:
    return Seen(path.read_text(encoding="utf-8"))


def make_report(
    folder: Path,
    *,
    classes: ClassTable = NASTY,
    pairs: int = 1,
    size: tuple[int, int] = (70, 90),
    measures: MeasureOptions | None = None,
    confidence: bool = False,
    images: bool = True,
) -> Report:
    """A report of random maps that are wrong in many places; the same arguments give the same one."""
    ids = tuple(range(len(classes)))
    compared, shown = [], []
    for number in range(pairs):
        label = random_ids(*size, seed=number, values=(*ids, 255))
        prediction = np.where(
            random_ids(*size, seed=100 + number) < 2, label, random_ids(*size, seed=200 + number, values=ids)
        )
        prediction[0, :5] = 255
        sure = random_ids(*size, seed=300 + number, values=tuple(range(100, 254)))
        compared.append(
            Pair(
                write_map(folder / f"map{number} & <b>.tif", prediction.astype(np.uint8), classes),
                write_ids(folder / f"label{number}.tif", label, **DEGREES),
                confidence=write_ids(folder / f"sure{number}.tif", sure, **DEGREES) if confidence else None,
            )
        )
        if images:
            image = random_pixels(*size, seed=number)
            shown.append(write_raster(folder / f"image{number}.tif", image, **DEGREES))
    options = EvaluateOptions(threads=1, measures=measures or MeasureOptions())
    evaluation = evaluate_maps(compared, classes, options=options, counters=page_counters(pairs))
    write_report(folder / "report.html", evaluation, images=shown)
    return Report(path=folder / "report.html", evaluation=evaluation, page=read_page(folder / "report.html"))
