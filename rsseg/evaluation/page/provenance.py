"""What an evaluation was made of: files by name, size and hash, class maps by what they say of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rsseg.evaluation.page.numbers import PageTable
from rsseg.evaluation.result import Evaluation, PairResult
from rsseg.evaluation.sections import number, percent, plural
from rsseg.raster.facts import read_facts
from rsseg.version import __version__
from rsseg.weights.files import file_sha256

MOST_ROWS = 200
"""Of tables with a row to each pair; JSON has all."""


def names_of(paths: Iterable[Path]) -> dict[Path, str]:
    """What files are called: by their names, with as many folders as it takes to tell them apart."""
    names: dict[Path, str] = {}
    left, parts = list(dict.fromkeys(paths)), 1
    while left:
        ends = {path: "/".join(path.parts[-parts:]) for path in left}
        times = Counter(ends.values())
        # Nothing is in front of a path that is used up, such as `a.tif` beside `x/a.tif`.
        names |= {path: end for path, end in ends.items() if times[end] == 1 or parts >= len(path.parts)}
        left, parts = [path for path in left if path not in names], parts + 1
    return names


def pair_table(evaluation: Evaluation) -> PageTable:
    """Every pair with its counts and scores."""
    pairs = evaluation.pairs[:MOST_ROWS]
    names = names_of(path for pair in pairs for path in (pair.prediction, pair.labels))
    return PageTable(
        caption=f"Class maps with their labels, protocol {evaluation.measure.title}. Scores are of each pair alone; "
        "those above are of all pixels together",
        head=(
            *("class map", "labels", "overall accuracy", "mean IoU"),
            *("compared px", "px without label", "px without data", "share"),
        ),
        rows=tuple(
            (names[pair.prediction], names[pair.labels], *_numbers(pair, evaluation)) for pair in pairs
        ),
    )


def more_pairs(evaluation: Evaluation) -> str:
    """What is said about pairs that the tables have no room for; empty if there are none."""
    more = len(evaluation.pairs) - MOST_ROWS
    return f"{more:,} more {plural('pair', more)} are in --json." if more > 0 else ""


def provenance_tables(
    evaluation: Evaluation, images: Sequence[Path | None], made_with: Mapping[str, str]
) -> tuple[PageTable, ...]:
    """Say what the numbers were made with and of; the same inputs give the same text, whenever.

    Raises:
        RasterError: a class map is damaged by now.
    """
    pairs = evaluation.pairs[:MOST_ROWS]
    made = (("rsseg", __version__), ("protocol", evaluation.measure.title), *made_with.items())
    return (
        PageTable(caption="Made with", rows=made, words=True),
        *_tag_tables(pairs),
        PageTable(
            caption="Files; images are only looked at, and not hashed",
            head=("file", "bytes", "SHA-256"),
            words=True,
            rows=tuple(_file_rows(pairs, [image for image in images[:MOST_ROWS] if image is not None])),
        ),
    )


def _numbers(pair: PairResult, evaluation: Evaluation) -> tuple[str, ...]:
    counts = pair.confusion
    summary = evaluation.measure.summary(evaluation.measure.scores(counts))
    return (
        *(number(summary[name]) for name in ("overall_accuracy", "mean_iou")),
        *(f"{count:,}" for count in (counts.scored, counts.ignored, counts.nodata)),
        percent(counts.nodata, counts.scored + counts.nodata),
    )


def _tag_tables(pairs: Sequence[PairResult]) -> list[PageTable]:
    """What class maps say of how they were made, once for all that say the same."""
    made: dict[tuple[tuple[str, str], ...], list[str]] = {}
    maps = (
        path for pair in pairs if not pair.gone for path in (pair.prediction, pair.other) if path is not None
    )
    for path, name in names_of(maps).items():
        if path.is_file() and (tags := _ordered(read_facts(path).made_with)):
            made.setdefault(tags, []).append(name)
    return [
        PageTable(caption=f"How {names[0]}{_and_others(len(names) - 1)} was predicted", rows=tags, words=True)
        for tags, names in made.items()
    ]


def _ordered(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Weights first, then the options that decided the map by their names."""
    return tuple(sorted(tags.items(), key=lambda item: (not item[0].startswith("weights"), item[0])))


def _and_others(count: int) -> str:
    return f", like {count:,} more {plural('map', count)}," if count else ""


def _file_rows(pairs: Sequence[PairResult], images: Sequence[Path]) -> list[tuple[str, str, str]]:
    compared = [
        path for p in pairs for path in (p.prediction, p.labels, p.confidence, p.other) if path is not None
    ]
    names = names_of([*compared, *images])
    gone = {path for p in pairs if p.gone for path in (p.prediction, p.confidence, p.other)}
    return [
        (name, f"{path.stat().st_size:,}", "-" if path in images else file_sha256(path))
        if path not in gone and path.is_file()
        else (name, "-", "-")
        for path, name in names.items()
    ]
