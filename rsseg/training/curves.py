"""A picture of a run: loss, scores and learning rate over the epochs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rsseg.training.history import IOU_PREFIX


def draw_curves(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the rows of a run's history as a PNG; gaps where a score is undefined."""
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    _draw_loss(left, epochs, history)
    _draw_scores(right, epochs, history)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, alpha=0.3)
    content = io.BytesIO()
    with warnings.catch_warnings():  # a class may be named in any script; boxes in its place are no news
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure.savefig(content, format="png")
    return content.getvalue()


def _draw_loss(axes: Axes, epochs: list[int], history: Sequence[Mapping[str, Any]]) -> None:
    axes.plot(epochs, [row["loss"] for row in history], color="#B03A2E", marker=".", label="training loss")
    axes.set_ylabel("training loss")
    axes.set_ylim(bottom=0)
    rate = axes.twinx()
    rate.plot(epochs, [row["lr"] for row in history], color="#888888", linestyle=":", label="learning rate")
    rate.set_ylabel("learning rate", color="#666666")
    rate.set_ylim(bottom=0)
    axes.set_title("training")


def _draw_scores(axes: Axes, epochs: list[int], history: Sequence[Mapping[str, Any]]) -> None:
    names = [key for key in (history[0] if history else {}) if key.startswith(IOU_PREFIX)]
    for name in names:
        label = name.removeprefix(IOU_PREFIX).replace("$", r"\$")  # not the start of a formula
        axes.plot(epochs, _numbers(history, name), linewidth=1, label=label)
    axes.plot(epochs, _numbers(history, "mean_iou"), color="black", linewidth=2, marker=".", label="mean")
    axes.set_ylim(0, 1)
    axes.set_ylabel("IoU")
    axes.set_title("validation")
    axes.legend(loc="best", fontsize="small")


def _numbers(history: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [float("nan") if row[key] is None else row[key] for row in history]
