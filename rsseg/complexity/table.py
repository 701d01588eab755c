"""A comparison of costs as text."""

from __future__ import annotations

from collections.abc import Sequence

from rsseg.complexity.formulas import key_channels
from rsseg.complexity.report import Report, Row, Subject
from rsseg.complexity.units import si


def table_text(report: Report) -> str:
    """Show a block of rows for each subject, ready to print."""
    parts = []
    if report.attention:
        parts.append(
            f"Position attention by formula: {report.channels} channels, {key_channels(report.channels)} of queries"
            " and keys, float32"
        )
        parts += [_block(subject, "side") for subject in report.attention]
    if report.networks:
        parts.append(f"Networks as counted: {report.bands} bands, {report.classes} classes, float32")
        parts += [_block(subject, "tile") for subject in report.networks]
    return "\n\n".join((*parts, _legend(report)))


def _block(subject: Subject, side: str) -> str:
    measured = any(row.measured for row in subject.rows)
    head = ["", side, "MAC", "", "MAC/px", "memory", ""]
    rows = [
        _cells(row, before, measured=measured)
        for row, before in zip(subject.rows, (None, *subject.rows), strict=False)
    ]
    if measured:
        head += ["measured", "time", "px/s"]
    parameters = str(subject.parameters) if subject.parameters < 1000 else si(subject.parameters)
    return f"{subject.title}, {parameters} parameters\n{_columns([head, *rows])}"


def _cells(row: Row, before: Row | None, *, measured: bool) -> list[str]:
    cost, smaller = row.cost, before and before.cost
    cells = [
        "",
        str(row.side),
        si(cost.mac),
        _growth(cost.mac, smaller.mac if smaller else None),
        si(row.mac_per_pixel),
        si(cost.memory_bytes, "B"),
        _growth(cost.memory_bytes, smaller.memory_bytes if smaller else None),
    ]
    if not measured:
        return cells
    if row.measured is None:
        return [*cells, "-", "-", "-"]
    found = row.measured
    return [*cells, si(found.memory_bytes, "B"), si(found.seconds, "s"), si(row.side**2 / found.seconds)]


def _growth(value: int, before: int | None) -> str:
    return f"x{value / before:.1f}" if before else ""


def _legend(report: Report) -> str:
    lines = [
        "MAC: multiply-accumulates of convolutions and matrix products; x: growth over the row above",
        "memory: what is held at once besides input and weights, without a kernel's own workspace",
    ]
    if report.attention:
        lines.append("by formula: the tensors of the fullest step, each of them once")
    if report.is_measured:
        lines.append(f"measured: memory as found, and the median time of a pass, on {report.place}")
    return "\n".join(lines)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Set a table, all columns to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
