"""A picture of a class map beside its image, for people who would rather look than read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.raster import RasterSource, open_label_raster, write_png
from rsseg.raster.tones import Tones

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SIDE = 1400
"""Longer side of each of the two panels, in pixels."""

_OVERLAY = 0.55
"""How much of a class's colour covers the image."""

_DPI = 100
_LEAST_WIDTH = 400
"""Room for a legend under the smallest raster, in pixels."""


def write_preview(path: Path, *, source: RasterSource, class_map: Path, classes: ClassTable) -> None:
    """Draw the image, the classes over it, and a legend with the share of each class, as a PNG."""
    image = source.read_decimated(max_side=MAX_SIDE)
    with open_label_raster(class_map) as labels:
        decided = labels.read_decimated(max_side=MAX_SIDE)
    picture = Tones.of(image).rgb(image)
    write_png(path, _draw(picture, _overlay(picture, decided, classes), decided, classes))


def _overlay(
    picture: NDArray[np.uint8], decided: NDArray[np.uint8], classes: ClassTable
) -> NDArray[np.uint8]:
    """Colours of the classes over a grey picture; a black class is left clear, since it usually is the background."""
    colors = np.zeros((256, 3), dtype=np.float32)
    opacity = np.zeros(256, dtype=np.float32)
    for info in classes:
        colors[info.id] = info.rgb
        opacity[info.id] = _OVERLAY if any(info.rgb) else 0.0
    share = opacity[decided][..., None]
    grey = picture.mean(axis=2, keepdims=True)
    mixed: NDArray[np.uint8] = (grey * (1 - share) + colors[decided] * share).round().astype(np.uint8)
    return mixed


def _draw(
    picture: NDArray[np.uint8], overlay: NDArray[np.uint8], decided: NDArray[np.uint8], classes: ClassTable
) -> NDArray[np.uint8]:
    """Both panels side by side (below each other where they are wide) with the legend underneath."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, cols = decided.shape
    panels = _joined(picture, overlay, across=cols <= 2 * rows)
    width, height = max(panels.shape[1], _LEAST_WIDTH) / _DPI, panels.shape[0] / _DPI
    entries = _legend_entries(decided, classes)
    columns = max(1, int(width / (0.6 + 0.1 * max(map(len, entries)))))
    legend = 0.3 + 0.25 * -(-len(entries) // columns)
    figure = Figure(figsize=(width, height + legend), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    shown = panels.shape[1] / _DPI / width
    axes = figure.add_axes(((1 - shown) / 2, legend / (height + legend), shown, height / (height + legend)))
    axes.imshow(panels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    _add_legend(figure, entries, columns=columns)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return pixels


def _joined(first: NDArray[np.uint8], second: NDArray[np.uint8], *, across: bool) -> NDArray[np.uint8]:
    """Two pictures (rows, cols, 3) beside or above each other, with a white line between them."""
    rows, cols, _ = first.shape
    line = np.full((rows, 10, 3) if across else (10, cols, 3), 255, dtype=np.uint8)
    return np.concatenate([first, line, second], axis=1 if across else 0)


def _legend_entries(decided: NDArray[np.uint8], classes: ClassTable) -> dict[str, str]:
    """Text and colour of the classes that occur, with their share of the decided pixels; the largest 40."""
    counts = np.bincount(decided.ravel(), minlength=256)
    total = max(int(counts[:NODATA_CLASS].sum()), 1)
    largest = sorted((c for c in classes if counts[c.id]), key=lambda c: -int(counts[c.id]))[:40]
    ordered = sorted(largest, key=lambda c: c.id)
    return {f"{c.name} {int(counts[c.id]) / total:.1%}": c.color for c in ordered} or {"no data": "#FFFFFF"}


def _add_legend(figure: Figure, entries: dict[str, str], *, columns: int) -> None:
    from matplotlib.patches import Patch

    # A label that begins with an underscore would be left out, and a dollar sign would begin a formula.
    handles = [Patch(facecolor=color, edgecolor="grey", label=f" {text}") for text, color in entries.items()]
    legend = figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=11)
    for text in legend.get_texts():
        text.set_parse_math(False)
