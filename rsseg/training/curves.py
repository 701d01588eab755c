"""A picture of a run: loss, learning rate and scores over the epochs, with the best of them marked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rsseg.training.history import IOU_PREFIX, best_row, shown

History = Sequence[Mapping[str, Any]]

_WIDTH = 11.0

_NAMED = 20
"""More classes than these are drawn in grey, without their names."""


def draw_curves(history: History) -> bytes:
    """Draw the rows of a run's history, at least one, as a PNG; gaps where a score is undefined."""
    names = [key for key in history[0] if key.startswith(IOU_PREFIX)]
    figure = Figure(figsize=(_WIDTH, 5), dpi=110)
    FigureCanvasAgg(figure)
    places = figure.subplot_mosaic([["loss", "scores"], ["rate", "scores"]], height_ratios=[2, 1])
    longest = max((len(name.removeprefix(IOU_PREFIX)) for name in names), default=0)
    legend = 0.8 + 0.075 * min(longest, 30)  # inches beside the scores
    figure.subplots_adjust(left=0.06, right=1 - legend / _WIDTH, bottom=0.1, top=0.93, hspace=0.15)
    epochs = [row["epoch"] for row in history]
    best = best_row(history)
    _draw_loss(places["loss"], epochs, history)
    _draw_rate(places["rate"], epochs, history)
    _draw_scores(places["scores"], epochs, history, names)
    places["scores"].set_title(f"validation: best mean {shown(best['mean_iou'])} in epoch {best['epoch']}")
    for axes in places.values():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.grid(visible=True, alpha=0.3)
        axes.axvline(best["epoch"], color="#333333", linewidth=1, linestyle="--")
    places["loss"].sharex(places["rate"])
    places["loss"].tick_params(labelbottom=False)
    content = io.BytesIO()
    with warnings.catch_warnings():  # a class may be named in any script; boxes in its place are no news
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure.savefig(content, format="png")
    return content.getvalue()


def _draw_loss(axes: Axes, epochs: list[int], history: History) -> None:
    axes.plot(epochs, [row["loss"] for row in history], color="#B03A2E", marker=".")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.set_title("training")


def _draw_rate(axes: Axes, epochs: list[int], history: History) -> None:
    axes.plot(epochs, [row["lr"] for row in history], color="#666666", marker=".")
    axes.set_ylabel("learning rate")
    axes.set_xlabel("epoch")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))


def _draw_scores(axes: Axes, epochs: list[int], history: History, names: Sequence[str]) -> None:
    colors = colormaps["tab10" if len(names) <= 10 else "tab20"]
    for number, name in enumerate(names):
        label = name.removeprefix(IOU_PREFIX).replace("$", r"\$")  # not the start of a formula
        style = (
            {"color": colors(number), "label": f" {label}"} if len(names) <= _NAMED else {"color": "#BBBBBB"}
        )
        axes.plot(epochs, _numbers(history, name), linewidth=1, marker=".", markersize=3, **style)
    axes.plot(epochs, _numbers(history, "mean_iou"), color="black", linewidth=2, marker=".", label="mean")
    axes.set_ylim(0, 1)
    axes.set_ylabel("IoU")
    axes.set_xlabel("epoch")
    best = best_row(history) if history else None
    axes.set_title(
        f"validation: best mean {shown(best['mean_iou'])} in epoch {best['epoch']}" if best else ""
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)


def _numbers(history: History, key: str) -> list[float]:
    return [float("nan") if row[key] is None else row[key] for row in history]
