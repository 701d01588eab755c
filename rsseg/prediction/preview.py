"""A picture of a class map beside its image, for people who would rather look than read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.raster import RasterSource, open_label_raster, write_png

MAX_SIDE = 1400
"""Longer side of each of the two panels, in pixels."""

_OVERLAY = 0.55
"""How much of a class's colour covers the image."""


def write_preview(path: Path, *, source: RasterSource, class_map: Path, classes: ClassTable) -> None:
    """Draw the image, the classes over it, and a legend with the share of each class, as a PNG."""
    image = source.read_decimated(max_side=MAX_SIDE)
    with open_label_raster(class_map) as labels:
        decided = labels.read_decimated(max_side=MAX_SIDE)
    picture = _to_rgb(image.data, image.valid)
    write_png(path, _draw(picture, _overlay(picture, decided, classes), decided, classes))


def _to_rgb(data: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The first three channels (or the first, as grey) as (rows, cols, 3); white where there is no data.

    8-bit values stay as they are; others are stretched between their 2nd and 98th percentile.
    """
    channels = (data[:3] if len(data) >= 3 else np.repeat(data[:1], 3, axis=0)).astype(np.float32)
    if data.dtype != np.uint8:
        shown = channels[:, valid]
        low, high = np.percentile(shown, [2, 98]) if shown.size else (0.0, 1.0)
        channels = np.nan_to_num((channels - low) / max(high - low, 1e-6)).clip(0, 1) * 255
    picture: NDArray[np.uint8] = np.moveaxis(channels, 0, -1).astype(np.uint8)
    picture[~valid] = 255
    return picture


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
    from matplotlib.patches import Patch

    rows, cols = decided.shape
    across = cols <= 2 * rows
    dpi = 100
    panel = (cols / dpi, rows / dpi)
    gap, legend = 0.1, 0.5
    size = (2 * panel[0] + gap, panel[1] + legend) if across else (panel[0], 2 * panel[1] + gap + legend)
    size = (max(size[0], 4.0), size[1])
    figure = Figure(figsize=size, dpi=dpi, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    for index, shown in enumerate((picture, overlay)):
        left = index * (panel[0] + gap) if across else 0.0
        bottom = legend + (0.0 if across else (1 - index) * (panel[1] + gap))
        axes = figure.add_axes((left / size[0], bottom / size[1], panel[0] / size[0], panel[1] / size[1]))
        axes.imshow(shown, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
    figure.legend(
        handles=[
            Patch(facecolor=c.color, edgecolor="grey", label=_share(c.name, c.id, decided)) for c in classes
        ],
        loc="lower center",
        ncols=min(len(classes), 8),
        frameon=False,
        fontsize=11,
    )
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return pixels


def _share(name: str, class_id: int, decided: NDArray[np.uint8]) -> str:
    counted = int(np.count_nonzero(decided != NODATA_CLASS))
    return f"{name} {int(np.count_nonzero(decided == class_id)) / max(counted, 1):.1%}"
