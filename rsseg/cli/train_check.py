"""`rsseg train --check`: what training would see of a data set, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli.console import emit_json, progress_bar
from rsseg.errors import LabelError, OptionError
from rsseg.training.options import TrainOptions

if TYPE_CHECKING:
    from rsseg.data.check_report import CheckReport, PartFacts


def run_check(
    data: Path | None, *, preset: str | None, window: int | None, readers: int, as_json: bool, quiet: bool
) -> None:
    """Report on a data set.

    Raises:
        OptionError: there are no data to look at, or no such preset.
        LabelError: training would fail.
    """
    if data is None:
        raise OptionError("--check needs DATA", hint="for example: rsseg train --check tiles/")
    options = TrainOptions(preset=preset or "", window=window or TrainOptions.window)

    from rsseg.data.check import check_dataset

    with progress_bar("check", quiet=quiet) as on_progress:
        report = check_dataset(
            data, preset=options.preset, window=options.window, threads=readers, on_progress=on_progress
        )
    if as_json:
        emit_json(report.to_dict())
    else:
        for line in report_lines(report):
            click.echo(line)
    if report.count("error"):
        raise LabelError(
            f"{data}: training would fail: {_count(report, 'error')}, {_count(report, 'warning')}",
            hint="the report names each of them",
        )


def report_lines(report: CheckReport) -> Iterator[str]:
    """The report for people: what there is by part, by class, and what is wrong."""
    yield f"{report.source}: {', '.join(report.images) or 'no image can be read'}"
    if report.parts:
        yield ""
        yield from _table(
            ["part", "scenes", "Mpx", "labelled Mpx", "width", "height", "ground m"],
            [_part_row(part) for part in report.parts],
        )
    if report.classes is not None:
        yield ""
        yield from _table(
            ["id", "class", *(head for part in report.parts for head in (f"{part.name} px", "share"))],
            [
                [str(c.id), c.name, *(cell for part in report.parts for cell in _frequency(part, c.id))]
                for c in report.classes
            ],
        )
    yield ""
    shown = report.shown()
    for finding in shown:
        yield f"{finding.level}: {finding.text}"
        if finding.hint:
            yield f"  hint: {finding.hint}"
    if len(shown) < len(report.findings):
        yield f"... and {len(report.findings) - len(shown)} more of the same kinds"
    yield f"{_count(report, 'error')}, {_count(report, 'warning')}"


def _part_row(part: PartFacts) -> list[str]:
    sizes = [_span(part.widths), _span(part.heights)]
    ground = "-" if part.gsd_m is None else _span(tuple(float(f"{v:.3g}") for v in part.gsd_m))
    return [
        part.name,
        str(part.scenes),
        f"{part.pixels / 1e6:.2f}",
        f"{part.labelled / 1e6:.2f}",
        *sizes,
        ground,
    ]


def _span(ends: tuple[float, ...] | None) -> str:
    if ends is None:
        return "-"
    low, high = ends
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"


def _frequency(part: PartFacts, class_id: int) -> tuple[str, str]:
    pixels = part.class_pixels[class_id]
    return f"{pixels:,}", f"{pixels / part.labelled:.2%}" if part.labelled else "-"


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Columns as wide as they need to be; numbers to the right, names to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    is_name = [name in ("part", "class") for name in head]
    for row in (head, *rows):
        cells = (
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(row, widths, is_name, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _count(report: CheckReport, level: str) -> str:
    number = report.count(level)
    return f"{number} {level}{'' if number == 1 else 's'}"
