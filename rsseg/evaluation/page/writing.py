"""The page, put together of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from rsseg.evaluation.counters import Counter, CounterChoice, PairFacts
from rsseg.evaluation.page import numbers
from rsseg.evaluation.page.numbers import Card, ClassRow, Key, MatrixRow, PageSection, PageTable
from rsseg.evaluation.page.overview import OverviewCounter
from rsseg.evaluation.page.pictures import OUTCOMES
from rsseg.evaluation.page.places import (
    LEGEND,
    MOST_MAPS,
    Drawing,
    Place,
    draw_maps,
    draw_windows,
    outcome_codes,
)
from rsseg.evaluation.page.provenance import more_pairs, pair_table, provenance_tables
from rsseg.evaluation.page.worst import Square, WorstCounter, WorstSquares
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.rules import id_of_class
from rsseg.files import write_file
from rsseg.raster import gdal_env
from rsseg.version import __version__

_OVERVIEW, _WORST = "overview", "worst"
"""The names of the counters."""

WINDOWS = 10
"""How many windows are shown."""
WINDOW_SIDE = 256
"""In pixels."""
MAX_SIDE = 1600
"""Of an overview, in pixels, where one or two class maps are drawn; with more of them it shrinks."""

_NOT_MEASURED = {
    "intervals": "Confidence intervals of the scores: --intervals auto",
    "boundary": "How well boundaries are found: --boundary 3px, or a distance in metres",
    "objects": "How well objects are found: --objects CLASS",
    "calibration": "Whether the map's confidence can be believed: --confidence FILE, which `rsseg predict --confidence`"
    " writes, or with --data --calibration",
    "areas": "How much ground each class covers, errors allowed for: --areas, of maps that cover more than the labels",
}
"""How to get the sections that may be missing, by their names."""


def page_counters(pairs: int) -> CounterChoice:
    """What has to be counted for a page: overviews and worst windows.

    Args:
        pairs: how many pairs there are; the more, the smaller each overview.
    """
    side = int(MAX_SIDE * (2 / min(max(pairs, 2), MOST_MAPS)) ** 0.5)

    def choose(facts: PairFacts) -> dict[str, Counter]:
        return {
            _OVERVIEW: OverviewCounter(grid=facts.grid, max_side=side),
            _WORST: WorstCounter(most=WINDOWS, side=WINDOW_SIDE),
        }

    return choose


class OutcomeKey(NamedTuple):
    """An entry of the legend of errors, with what the script needs to draw errors of another class.

    `shown` says whether it can be in pictures of `all` classes, and of `one`.
    """

    key: Key
    code: int
    rgba: str
    shown: str
    hidden: bool


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the template shows, ready to read; `contents` are ids with titles, `focus` is the id of a class."""

    title: str
    version: str
    protocol: str
    protocol_text: str
    counted: tuple[str, ...]
    contents: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    interval_text: str
    mean_over: str
    class_head: tuple[str, ...]
    class_rows: tuple[ClassRow, ...]
    class_keys: tuple[Key, ...]
    matrix: tuple[MatrixRow, ...]
    sections: tuple[PageSection, ...]
    focus: int | None
    focus_text: str
    outcome_keys: tuple[OutcomeKey, ...]
    map_text: tuple[str, ...]
    maps: tuple[Place, ...]
    worst_text: str
    worst: tuple[Place, ...]
    pairs: PageTable
    more_pairs: str
    provenance: tuple[PageTable, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]


def write_report(
    path: Path,
    evaluation: Evaluation,
    *,
    images: Sequence[Path | None] = (),
    made_with: Mapping[str, str] | None = None,
    focus: str | None = None,
) -> None:
    """Write the page; an existing file is replaced, and the same evaluation gives the same bytes.

    Args:
        path: the page to be.
        evaluation: taken with `page_counters`.
        images: the image of each pair, on the grid of its class map, or None; empty for none at all.
        made_with: what else the page says the maps were made with, by name, such as weights.
        focus: the class, by name or id, whose errors are told apart as missed and false alarms; of two classes, by
            default the second.

    Raises:
        OptionError: there is no class `focus`.
        RasterError: an image cannot be read, or lies on another grid than its class map.
        ResourceError: the page cannot be written.
    """
    with gdal_env():
        drawing = Drawing(
            evaluation=evaluation,
            overviews=[pair.counts[_OVERVIEW] for pair in evaluation.pairs],
            images=images or [None] * len(evaluation.pairs),
            focus=_focus_id(evaluation, focus),
        )
        page = _make_page(drawing, made_with or {})
    write_file(path, _render(page).encode("utf-8"))


def _focus_id(evaluation: Evaluation, focus: str | None) -> int | None:
    if focus is None:
        return 1 if len(evaluation.classes) == 2 else None
    return id_of_class(focus, evaluation.classes)


def _make_page(drawing: Drawing, made_with: Mapping[str, str]) -> Page:
    evaluation = drawing.evaluation
    squares: WorstSquares = evaluation.counted(_WORST)
    sections = numbers.sections(evaluation)
    found = {section.name for section in evaluation.sections}
    over_image = any(image is not None for image in drawing.images)
    return Page(
        title=_title(evaluation),
        version=__version__,
        protocol=evaluation.measure.title,
        protocol_text=evaluation.measure.text,
        counted=numbers.counted(evaluation),
        contents=_contents(sections),
        cards=numbers.cards(evaluation),
        interval_text=numbers.interval_text(evaluation),
        mean_over=numbers.mean_over(evaluation),
        class_head=numbers.CLASS_HEAD,
        class_rows=numbers.class_rows(evaluation),
        class_keys=numbers.class_keys(evaluation, over_image=over_image),
        matrix=numbers.matrix_rows(evaluation),
        sections=sections,
        focus=drawing.focus,
        focus_text=_focus_text(drawing),
        outcome_keys=_outcome_keys(drawing.focus, evaluation),
        map_text=_map_text(drawing, over_image=over_image),
        maps=draw_maps(drawing),
        worst_text=_worst_text(squares.found),
        worst=draw_windows(drawing, squares.found),
        pairs=pair_table(evaluation),
        more_pairs=more_pairs(evaluation),
        provenance=provenance_tables(evaluation, drawing.images, made_with),
        notes=_notes(evaluation),
        missing=tuple(how for name, how in _NOT_MEASURED.items() if name not in found),
    )


def _render(page: Page) -> str:
    # Only those who want a page pay for the import.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    here = files(__package__)
    template, style, script = (
        here.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    # Names of classes and files are anybody's text: everything is escaped but what lies beside this module.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(page=page, style=Markup(style), script=Markup(script))


def _title(evaluation: Evaluation) -> str:
    first, *others = dict.fromkeys(pair.prediction.name for pair in evaluation.pairs)
    return f"Evaluation of {len(others) + 1} class maps" if others else f"Evaluation of {first}"


def _contents(sections: Sequence[PageSection]) -> tuple[tuple[str, str], ...]:
    return (
        ("scores", "Scores"),
        ("classes", "Classes"),
        ("matrix", "Confusion matrix"),
        ("maps", "Maps of errors"),
        ("worst", "Worst windows"),
        *((section.id, section.title) for section in sections),
        ("pairs", "Class maps"),
        ("provenance", "Provenance"),
    )


def _outcome_keys(focus: int | None, evaluation: Evaluation) -> tuple[OutcomeKey, ...]:
    """The whole legend of errors, of which only what can be in the pictures is shown: the script may draw others."""
    classes = len(evaluation.classes)
    of_all, of_one = outcome_codes(None, classes=classes), outcome_codes(0, classes=classes)
    return tuple(
        OutcomeKey(
            key=Key(of.name, of.color, clear=not of.rgba[3], text=of.text),
            code=code,
            rgba=" ".join(map(str, of.rgba)),
            shown=" ".join(word for word, codes in (("all", of_all), ("one", of_one)) if code in codes),
            hidden=code not in (of_all if focus is None else of_one),
        )
        for code, of in ((code, OUTCOMES[code]) for code in LEGEND)
    )


def _focus_text(drawing: Drawing) -> str:
    if drawing.focus is None:
        return ""
    return f"Found, missed and false alarms are about {drawing.classes.names[drawing.focus]}."


def _map_text(drawing: Drawing, *, over_image: bool) -> tuple[str, ...]:
    lines = []
    if len(drawing.evaluation.pairs) > MOST_MAPS:
        lines.append(
            f"Of {len(drawing.evaluation.pairs):,} class maps the {MOST_MAPS} with the most wrong pixels are drawn."
        )
    if not over_image:
        lines.append("With --image FILE the errors are drawn over the image.")
    return tuple(lines)


def _worst_text(squares: Sequence[Square]) -> str:
    if not squares:
        return "No pixel is wrong."
    return (
        f"The {len(squares)} squares of {WINDOW_SIDE} x {WINDOW_SIDE} px with the most wrong pixels, the worst first,"
        " on a grid that begins at the corner of each class map. Columns and rows count from 0."
    )


def _notes(evaluation: Evaluation) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys((*evaluation.notes, *(note for pair in evaluation.pairs for note in pair.notes)))
    )
