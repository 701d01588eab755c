"""A sheet of samples: a few windows of the val scenes, each as image, label and prediction.

The windows are tiles of validation, so the sheet shows what the scores count. They are the same from the first sheet of
a run to the last.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, ClassInfo, ClassTable
from rsseg.data.scenes import Scene
from rsseg.prediction.forward import Forward
from rsseg.raster import Pixels
from rsseg.raster.tones import Tones
from rsseg.tiling import Tile

ROWS = 6
"""Windows on a sheet, at most."""

LOOKED_AT = 200
"""Tiles among which they are chosen, at most: the labels of each are read."""

MAX_SIDE = 400
"""Longer side of a picture, in pixels; of larger windows every second, third, ... pixel is drawn."""

_NO_LABEL = (228, 228, 228)
_DPI = 100


@dataclass(frozen=True, kw_only=True)
class Example:
    """A window of a scene: `tile.keep`, predicted from `tile.read`."""

    scene: Scene
    tile: Tile


def choose_examples(tiles: Sequence[Example], *, classes: int, count: int = ROWS) -> list[Example]:
    """Choose windows for every class in turn, the rarest first, from scenes that were chosen from least so far.

    Of these, one that is a quarter of the class, or comes near it, and holds many others. The same windows come from
    the same tiles.

    Raises:
        RasterError: a label cannot be read.
    """
    looked_at = tiles[:: -(-len(tiles) // LOOKED_AT)]
    counts = [_count(example, classes) for example in looked_at]
    rarest_first = [k for k in np.argsort(np.sum(counts, axis=0), kind="stable") if any(c[k] for c in counts)]
    uses: Counter[int] = Counter()
    chosen: list[int] = []

    def fitness(number: int, k: int) -> tuple[Any, ...]:
        pixels, found = looked_at[number].tile.keep.pixels, counts[number]
        many = np.count_nonzero(found > pixels / 100)
        return found[k] > 0, -uses[id(looked_at[number].scene)], min(found[k], pixels / 4), many, found[k]

    while len(chosen) < min(count, len(looked_at)):
        k = rarest_first[len(chosen) % len(rarest_first)]
        left = [number for number in range(len(looked_at)) if number not in chosen]
        chosen.append(max(left, key=partial(fitness, k=k)))
        uses[id(looked_at[chosen[-1]].scene)] += 1
    return [looked_at[number] for number in chosen]


def _count(example: Example, classes: int) -> NDArray[np.int64]:
    labels = example.scene.labels.read(example.tile.keep)
    return np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:classes]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What is shown of a window: `seen`, `labels` and `decided` (H, W)."""

    name: str
    seen: Pixels
    labels: NDArray[np.uint8]
    decided: NDArray[np.uint8]


def draw_sheet(forward: Forward, examples: Sequence[Example], classes: ClassTable, *, title: str) -> bytes:
    """Predict the windows and draw them as a PNG.

    8-bit images are drawn as they are; others are stretched alike in all windows, see `Tones`. What is not labelled,
    or has no data, is grey.

    Raises:
        RasterError: an image or label cannot be read.
        ResourceError: the device's memory does not hold a tile.
    """
    rows = [_look(forward, example) for example in examples]
    tones = Tones.of(*(row.seen for row in rows))
    shown = [info for info in classes if any(info.id in row.labels or info.id in row.decided for row in rows)]
    across = 2 if len(rows) > 1 else 1
    columns = 4 * across
    legend = 0.3 + 0.22 * -(-(len(shown) + 1) // columns)
    figure, grid = _frame(down=-(-len(rows) // across), across=across, legend=legend)
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / figure.get_figheight(), parse_math=False)
    for number, row in enumerate(rows):
        down, place = divmod(number, across)
        _show(grid[down, 4 * place : 4 * place + 3], row, tones.rgb(row.seen), classes)
    _add_legend(figure, shown, columns=columns)
    return _png(figure)


def _look(forward: Forward, example: Example) -> _Row:
    """Read and predict a window, and leave out rows and columns that would not be seen."""
    tile = example.tile
    seen = example.scene.image.read(tile.read)
    labels = example.scene.labels.read(tile.keep)
    decided = forward(seen.data[None], seen.valid[None])[0]
    rows, cols = tile.keep.slices(tile.read)
    valid = seen.valid[rows, cols]
    labels[~valid] = IGNORE_INDEX
    step = -(-max(tile.keep.width, tile.keep.height) // MAX_SIDE)
    return _Row(
        name=example.scene.name,
        seen=Pixels(seen.data[:, rows, cols][:, ::step, ::step], valid[::step, ::step]),
        labels=labels[::step, ::step],
        decided=decided[rows, cols][::step, ::step],
    )


def _frame(*, down: int, across: int, legend: float) -> tuple[Figure, NDArray[Any]]:
    """A figure with three places for each window and a gap before the next; `legend` is its height in inches."""
    title = 0.55
    height = 2.35 * down + title + legend
    figure = Figure(figsize=(6.9 * across, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    widths = ([1, 1, 1, 0.1] * across)[:-1]
    grid: NDArray[Any] = figure.subplots(down, len(widths), squeeze=False, width_ratios=widths)
    figure.subplots_adjust(
        left=0.01, right=0.99, bottom=legend / height, top=1 - title / height, wspace=0.03, hspace=0.12
    )
    for axes in grid.flat:
        axes.set_axis_off()
    return figure, grid


def _show(places: NDArray[Any], row: _Row, picture: NDArray[np.uint8], classes: ClassTable) -> None:
    picture[~row.seen.valid] = _NO_LABEL
    pictures = (picture, _coloured(row.labels, classes), _coloured(row.decided, classes))
    for axes, pixels, title in zip(places, pictures, (row.name, "label", "prediction"), strict=True):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(title, fontsize=8, parse_math=False)


def _coloured(ids: NDArray[np.uint8], classes: ClassTable) -> NDArray[np.uint8]:
    """Class ids (H, W) in the classes' colours (H, W, 3)."""
    colors = np.full((256, 3), _NO_LABEL, dtype=np.uint8)
    for info in classes:
        colors[info.id] = info.rgb
    coloured: NDArray[np.uint8] = colors[ids]
    return coloured


def _add_legend(figure: Figure, shown: Sequence[ClassInfo], *, columns: int) -> None:
    entries = [(info.name, info.color) for info in shown]
    entries.append(("not labelled, or no data", "#{:02X}{:02X}{:02X}".format(*_NO_LABEL)))
    # A label that begins with an underscore would be left out, and a dollar sign would begin a formula.
    handles = [Patch(facecolor=color, edgecolor="grey", label=f" {name}") for name, color in entries]
    legend = figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():  # a class may be named in any script; boxes in its place are no news
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure.savefig(content, format="png")
    return content.getvalue()
