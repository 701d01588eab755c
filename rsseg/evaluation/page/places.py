"""What the page shows of the ground: each class map as a whole, and the windows in which most is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.evaluation.page.overview import Overview
from rsseg.evaluation.page.pictures import (
    FALSE,
    FOUND,
    MISSED,
    NOT_COMPARED,
    OTHERS,
    OUTCOMES,
    RIGHT,
    UNLABELLED,
    WRONG,
    Ids,
    Layers,
    draw_layers,
    outcomes_of,
)
from rsseg.evaluation.page.worst import Square
from rsseg.evaluation.result import Evaluation, PairResult
from rsseg.evaluation.sections import percent
from rsseg.raster import Grid, open_raster
from rsseg.raster.grid import check_same_grid, crs_name, to_ground
from rsseg.raster.ground import lon_lat
from rsseg.raster.reader import FileSource
from rsseg.raster.tones import Tones
from rsseg.tiling import Window

LEGEND = (RIGHT, WRONG, FOUND, MISSED, FALSE, OTHERS, NOT_COMPARED, UNLABELLED)
"""All outcomes in the order of a legend."""
MOST_MAPS = 6
"""Of more class maps only those with the most wrong pixels are drawn."""
MOST_CHARACTERS = 4_500_000
"""Of all drawn class maps together; those that would be more are drawn smaller."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One article of the page: pictures of a place, and what is said about it."""

    title: str
    text: str
    layers: Layers
    alt: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What pictures are made of: overviews and images of all pairs, and which class errors are told apart for."""

    evaluation: Evaluation
    overviews: Sequence[Overview]
    images: Sequence[Path | None]
    focus: int | None

    @property
    def classes(self) -> ClassTable:
        """Those compared."""
        return self.evaluation.classes


def draw_maps(drawing: Drawing) -> tuple[Place, ...]:
    """Draw the class maps, or of many those with the most wrong pixels, in the order of the pairs.

    Raises:
        RasterError: an image cannot be read, or lies on another grid than its class map.
    """
    pairs = drawing.evaluation.pairs
    worst_first = sorted(range(len(pairs)), key=lambda number: (-_wrong(pairs[number]), number))
    shown = sorted(worst_first[:MOST_MAPS])
    return tuple(_draw_map(drawing, number, most=MOST_CHARACTERS // len(shown)) for number in shown)


def draw_windows(drawing: Drawing, squares: Sequence[Square]) -> tuple[Place, ...]:
    """Draw windows at full size, each with its coordinates and with what is wrong in it.

    Raises:
        RasterError: an image cannot be read, or lies on another grid than its class map.
    """
    return tuple(_draw_window(drawing, square) for square in squares)


def outcome_codes(focus: int | None, *, classes: int) -> frozenset[int]:
    """The outcomes that can be in a picture."""
    if focus is None:
        return frozenset((RIGHT, WRONG, NOT_COMPARED, UNLABELLED))
    return frozenset(LEGEND) - ({WRONG, OTHERS} if classes == 2 else {WRONG})


def _wrong(pair: PairResult) -> int:
    return int(pair.confusion.scored - np.trace(pair.confusion.matrix))


def _draw_map(drawing: Drawing, number: int, *, most: int) -> Place:
    pair, overview = drawing.evaluation.pairs[number], drawing.overviews[number]
    ids, whole = overview.ids(), overview.whole
    if whole is None:
        ids, whole = np.full((2, 1, 1), 255, dtype=np.uint8), Window(0, 0, 1, 1)
    step, layers = overview.step, _layers(drawing, number, ids, whole)
    while layers.size > most and max(ids.shape) > 64:
        step, ids = 2 * step, ids[:, ::2, ::2]
        layers = _layers(drawing, number, ids, whole)
    wrong = _wrong(pair)
    taken = "all pixels" if step == 1 else f"one pixel of each {step} x {step}"
    return Place(
        title=pair.prediction.name,
        text=f"{wrong:,} of {pair.confusion.scored:,} px wrong ({percent(wrong, pair.confusion.scored)}). "
        f"Drawn: {taken} of {whole}. {_ground_text(overview.grid, whole)}".strip(),
        layers=layers,
        alt=_shares(ids, drawing.focus),
    )


def _draw_window(drawing: Drawing, square: Square) -> Place:
    number, window, ids = square.block.pair, square.whole, square.ids()
    grid, (wrong, compared) = drawing.overviews[number].grid, square.tally
    with _image(drawing, number) as source:
        image = None
        if source is not None:
            image = _tones(source, drawing.overviews[number]).rgb(source.read_once(window))
    facts = (
        f"Columns {window.cols[0]} to {window.cols[-1]}, rows {window.rows[0]} to {window.rows[-1]} of the class map",
        _ground_text(grid, window),
        _commonest(ids, drawing.classes),
    )
    return Place(
        title=f"{drawing.evaluation.pairs[number].prediction.name}, {window}",
        text=f"{wrong:,} of {compared:,} compared px wrong ({percent(wrong, compared)})",
        layers=draw_layers(ids, image, classes=drawing.classes, focus=drawing.focus),
        alt=_shares(ids, drawing.focus),
        facts=tuple(fact for fact in facts if fact),
    )


def _layers(drawing: Drawing, number: int, ids: Ids, whole: Window) -> Layers:
    with _image(drawing, number) as source:
        image: NDArray[np.uint8] | None = None
        if source is not None:
            pixels = source.read_decimated(max_side=max(ids.shape[1:]), window=whole)
            image = Tones.of(pixels).rgb(pixels)
    return draw_layers(ids, image, classes=drawing.classes, focus=drawing.focus)


@contextmanager
def _image(drawing: Drawing, number: int) -> Iterator[FileSource | None]:
    """The image of a pair, if there is one, on the grid of its class map."""
    path = drawing.images[number]
    if path is None:
        yield None
        return
    pair, overview = drawing.evaluation.pairs[number], drawing.overviews[number]
    with open_raster(path) as source:
        check_same_grid(overview.grid, source.grid, what_a=str(pair.prediction), what_b=str(path))
        yield source


def _tones(source: FileSource, overview: Overview) -> Tones:
    """The tones of a whole picture, so that its windows look like parts of it."""
    if source.dtype == "uint8" or overview.whole is None:
        return Tones()
    return Tones.of(source.read_decimated(max_side=max(overview.ids().shape[1:]), window=overview.whole))


def _shares(ids: Ids, focus: int | None) -> str:
    """What the picture of errors shows, in words."""
    codes = outcomes_of(ids[0], ids[1], focus)
    counts = np.bincount(codes.ravel(), minlength=len(OUTCOMES))
    compared = int(counts.sum() - counts[UNLABELLED])
    return ", ".join(
        f"{percent(int(counts[code]), compared)} {OUTCOMES[code].name}"
        for code in LEGEND
        if counts[code] and code != UNLABELLED
    )


def _commonest(ids: Ids, classes: ClassTable) -> str:
    """The pair of classes that is confused most, with its share of what is wrong."""
    label, prediction = (side[outcomes_of(ids[0], ids[1]) == WRONG].astype(np.int64) for side in ids)
    if not label.size:
        return ""
    counts = np.bincount(256 * label + prediction)
    first = int(counts.argmax())
    names = classes.names[first // 256], classes.names[first % 256]
    return f"Most of it: {names[0]} in the labels, {names[1]} in the map ({percent(int(counts[first]), label.size)})"


def _ground_text(grid: Grid, window: Window) -> str:
    """Where the middle of a window lies, in the map's CRS and in degrees."""
    if grid.crs is None or not grid.georeferenced() or grid.gcps or grid.rpcs is not None:
        return ""
    middle = window.col_off + window.width / 2, window.row_off + window.height / 2
    x, y = to_ground(grid.transform, *middle)
    decimals = 6 if grid.crs.is_geographic else 1
    text = f"Middle at x {x:.{decimals}f}, y {y:.{decimals}f} in {crs_name(grid.crs)}"
    degrees = lon_lat(grid.crs, x, y)
    if degrees is None:
        return text
    longitude, latitude = degrees
    return (
        f"{text}; latitude {abs(latitude):.6f}° {'N' if latitude >= 0 else 'S'}, "
        f"longitude {abs(longitude):.6f}° {'E' if longitude >= 0 else 'W'}"
    )
