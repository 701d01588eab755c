"""A comparison of costs as a picture: log-log, a line for each subject, so that a slope is a power of the side."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rsseg.complexity.formulas import key_channels
from rsseg.complexity.report import Report, Row, Subject
from rsseg.complexity.units import si
from rsseg.files import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class _Quantity(NamedTuple):
    """What a panel shows: of each row a value that is counted, one that was measured, or both; None for neither."""

    title: str
    unit: str
    counted: Callable[[Row], float | None]
    measured: Callable[[Row], float | None]


_OPERATIONS = _Quantity(
    "multiply-accumulates",
    "",
    lambda row: row.cost.mac,
    lambda row: row.measured.mac if row.measured else None,
)
_MEMORY = _Quantity(
    "memory besides input and weights",
    "B",
    lambda row: row.cost.memory_bytes,
    lambda row: row.measured.memory_bytes if row.measured else None,
)
_TIME = _Quantity(
    "time of a pass", "s", lambda _: None, lambda row: row.measured.seconds if row.measured else None
)


class _Look(NamedTuple):
    """How one subject is drawn."""

    color: str
    marker: str
    dashes: str


_LOOKS = (
    _Look("#B03A2E", "o", "-"),
    _Look("#1F618D", "s", "-"),
    _Look("#D68910", "D", "--"),  # kernel attention covers linear attention
    _Look("#1E8449", "^", "-"),
    _Look("#7D3C98", "v", "--"),
    _Look("#34495E", "P", "-"),
)

_MOST_TICKS = 9
"""So many labels have room below a panel."""

_MARGIN = 1.25
"""What lies left and right of the sides, as a factor."""


def write_complexity_plot(path: Path, report: Report) -> None:
    """Draw operations, memory and, if measured, time over the side as PNG; an existing file is replaced.

    Lines are costs by formula or as counted, marks are measured. The file appears complete or not at all.

    Raises:
        ResourceError: the folder does not exist or cannot be written.
    """
    # matplotlib takes half a second to import; a table alone must not pay for it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [subjects for subjects in (report.attention, report.networks) if subjects]
    quantities = (_OPERATIONS, _MEMORY, _TIME) if report.is_measured else (_OPERATIONS, _MEMORY)
    figure = Figure(figsize=(5.2 * len(quantities), 4.6 * len(shown)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, report, quantities)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    write_file(path, content.getbuffer())


def _draw(figure: Figure, report: Report, quantities: Sequence[_Quantity]) -> None:
    marks = f"; marks: measured on {report.place}" if report.is_measured else ""
    attention = (
        f"Position attention, {report.channels} channels, {key_channels(report.channels)} of queries and keys, float32"
        f" (lines: by formula{marks})"
    )
    networks = f"Networks, {report.bands} bands, {report.classes} classes, float32 (lines: as counted{marks})"
    halves = (
        (attention, "side of the map in pixels", report.attention),
        (networks, "side of the tile in pixels", report.networks),
    )
    shown = [half for half in halves if half[2]]
    rows = figure.subfigures(len(shown), 1, squeeze=False)[:, 0]
    for row, (title, x_label, subjects) in zip(rows, shown, strict=True):
        row.suptitle(title, fontsize="large")
        _draw_row(row, quantities, subjects, x_label=x_label)


def _draw_row(
    row: SubFigure, quantities: Sequence[_Quantity], subjects: Sequence[Subject], *, x_label: str
) -> None:
    sides = sorted({row.side for subject in subjects for row in subject.rows})
    for axes, quantity in zip(row.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        for subject, look in zip(subjects, itertools.cycle(_LOOKS), strict=False):
            _draw_line(axes, subject, quantity, look)
        if not axes.lines:  # no time in this row, but in the other one
            axes.set_axis_off()
            continue
        _scale_axes(axes, sides, unit=quantity.unit)
        axes.set_title(quantity.title, fontsize="medium")
        axes.set_xlabel(x_label)
        axes.legend(loc="best", fontsize="small")


def _draw_line(axes: Axes, subject: Subject, quantity: _Quantity, look: _Look) -> None:
    counted, measured = _points(subject, quantity.counted), _points(subject, quantity.measured)
    if not counted and not measured:
        return
    points = counted or measured
    (line,) = axes.plot(*zip(*points, strict=True), color=look.color, linestyle=look.dashes)
    if len(points) == 1:
        line.set_marker(".")
    if measured:
        marks: dict[str, Any] = {"marker": look.marker, "markerfacecolor": "white", "color": look.color}
        axes.plot(*zip(*measured, strict=True), **marks, linestyle="")
        (line,) = axes.plot([], [], **marks, linestyle=look.dashes)  # the line with its marks, for the legend
    line.set_label(f"{subject.title}{_growth(counted)}")


def _points(subject: Subject, value: Callable[[Row], float | None]) -> list[tuple[int, float]]:
    """Side and value of the rows that have one."""
    return [(row.side, found) for row in subject.rows if (found := value(row)) is not None]


def _growth(points: Sequence[tuple[int, float]]) -> str:
    """By what a value grows when the side doubles, at the right end of a line."""
    if len(points) < 2:
        return ""
    (side, value), (larger, larger_value) = points[-2:]
    return f": ×{2 ** (math.log(larger_value / value) / math.log(larger / side)):.1f} per doubling"


def _scale_axes(axes: Axes, sides: Sequence[int], *, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = _spread(sides)
    axes.set_xticks(ticks, [str(side) for side in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: si(value, unit, digits=1)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(sides[0] / _MARGIN, sides[-1] * _MARGIN)
    low, high = axes.dataLim.intervaly
    axes.set_ylim(10 ** math.floor(math.log10(low / 1.1)), 10 ** math.ceil(math.log10(high * 1.1)))
    axes.grid(visible=True, alpha=0.3)


def _spread(sides: Sequence[int]) -> list[int]:
    """Those of the rising sides whose labels do not run into one another; the largest is one of them."""
    distance = math.log(_MARGIN**2 * sides[-1] / sides[0]) / _MOST_TICKS
    shown: list[int] = []
    for side in reversed(sides):
        if not shown or math.log(shown[-1] / side) >= distance:
            shown.append(side)
    return shown[::-1]
