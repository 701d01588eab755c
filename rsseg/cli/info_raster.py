"""What `rsseg info` tells of a raster: an image, a class map or labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rsseg.cli import info_text as text
from rsseg.cli.info_report import Report
from rsseg.errors import LabelError, RasterError

if TYPE_CHECKING:
    from rsseg.prediction.advice import Advice
    from rsseg.raster.facts import RasterFacts
    from rsseg.raster.look import Look
    from rsseg.weights import WeightCard

_SMALL_IDS = 64
"""Above this nobody has class ids."""


def report_on_raster(name: str, card: WeightCard | None) -> Report:
    """Tell about a raster; images are compared with weights where there are any.

    Raises:
        RasterError: there is none.
    """
    from rsseg.raster.facts import read_facts

    facts = read_facts(name)
    if facts.classes is not None or facts.made_with or facts.bands.of("palette"):
        return _report_on_ids(facts, card, kind="class map" if facts.classes or facts.made_with else "labels")
    return _report_on_image(facts, card)


def _report_on_image(facts: RasterFacts, card: WeightCard | None) -> Report:
    from rsseg.prediction.advice import Advice, advise, fit_weights
    from rsseg.raster import open_raster
    from rsseg.raster.look import look_at

    look, advice, notes = None, list[Advice](), tuple[str, ...]()
    try:
        with open_raster(facts.path) as source:
            notes = source.notes
            try:
                look = look_at(source)
            except RasterError as err:
                advice.append(Advice(str(err), err.hint))
            if look is not None and _may_be_ids(facts, look):
                return _report_on_ids(facts, card, kind="labels")
            advice += advise(facts, source, look)
    except RasterError as err:
        advice.append(Advice(str(err), err.hint))
    fit = None if card is None else fit_weights(facts, card)
    if fit is not None:
        advice += fit.advice
        notes = (*notes, *fit.notes)
    return Report(
        path=facts.path,
        kind="image",
        title=text.title(facts, "image"),
        rows=[
            *text.rows(facts),
            ("values", text.values_text(look)),
            ("missing data", text.missing_text(facts, look)),
            ("weights", text.fit_text(fit, card)),
        ],
        notes=list(dict.fromkeys(_plain(facts, notes))),
        warnings=_warnings(facts, advice),
        details={**text.details(facts), "look": text.look_details(look), "fit": text.fit_details(fit)},
    )


def _may_be_ids(facts: RasterFacts, look: Look) -> bool:
    """Whether pixels look like class ids: one band of bytes, few small numbers, and 255 for none."""
    if [facts.bands.dtypes[band - 1] for band in facts.data_bands] != ["uint8"]:
        return False
    ids = [value for value in look.values if value != 255]
    return len(ids) > 1 and min(ids) >= 0 and max(ids) < _SMALL_IDS


def _report_on_ids(facts: RasterFacts, card: WeightCard | None, *, kind: str) -> Report:
    """A class map, or labels: which ids occur, and what they mean."""
    from rsseg.prediction.advice import Advice, advise_labels
    from rsseg.raster.labels import open_label_raster
    from rsseg.raster.look import look_at_labels

    advice = list(advise_labels(facts))
    ids: dict[int, int] = {}
    try:
        with open_label_raster(facts.path) as labels:
            ids = look_at_labels(labels)
    except (RasterError, LabelError) as err:
        advice.append(Advice(str(err), err.hint))
    outside = [value for value in ids if facts.classes and value != 255 and value >= len(facts.classes)]
    if outside:
        told = f"holds the value {outside[0]}, which is none of its {len(facts.classes or ())} classes"
        advice.append(Advice(told, "mend the category names in its .aux.xml"))
    notes = []
    if kind == "labels":
        what = "a palette" if facts.bands.of("palette") else "one band of few small numbers"
        notes = [f"taken for labels, because it has {what}"]
    if card is not None:
        notes.append(
            f"is taken for {'labels' if kind == 'labels' else f'a {kind}'}, so not compared with the weights"
        )
    return Report(
        path=facts.path,
        kind=kind,
        title=text.title(facts, kind),
        rows=[
            *text.rows(facts),
            ("classes", text.ids_text(ids, facts.classes)),
            ("made with", ", ".join(f"{key} {text.short(value)}" for key, value in facts.made_with.items())),
        ],
        notes=notes,
        warnings=_warnings(facts, advice),
        details={
            **text.details(facts),
            "classes": None if facts.classes is None else list(facts.classes.names),
            "ids_seen": sorted(ids),
            "made_with": facts.made_with,
        },
    )


def _warnings(facts: RasterFacts, advice: Iterable[Advice]) -> list[tuple[str, str | None]]:
    """Each once; the heading names the file already."""
    return list(dict.fromkeys((a.text.removeprefix(f"{facts.path}: "), a.hint) for a in advice))


def _plain(facts: RasterFacts, texts: Iterable[str]) -> list[str]:
    return [told.removeprefix(f"{facts.path}: ") for told in texts]
