"""Rasters cut into windows in any way, as counters see them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.evaluation.counters import Counter, Seen
from rsseg.tiling import Window


def any_partition(area: Window, rng: np.random.Generator) -> list[Window]:
    """Windows that partition an area, of any sizes, in any order."""
    pieces = [area]
    for _ in range(int(rng.integers(0, 8))):
        piece = pieces.pop(int(rng.integers(len(pieces))))
        pieces += _halves(piece, rng)
    return [pieces[i] for i in rng.permutation(len(pieces))]


def _halves(w: Window, rng: np.random.Generator) -> list[Window]:
    if rng.random() < 0.5 and w.width > 1:
        at = int(rng.integers(1, w.width))
        return [
            Window(w.col_off, w.row_off, at, w.height),
            Window(w.col_off + at, w.row_off, w.width - at, w.height),
        ]
    if w.height > 1:
        at = int(rng.integers(1, w.height))
        return [
            Window(w.col_off, w.row_off, w.width, at),
            Window(w.col_off, w.row_off + at, w.width, w.height - at),
        ]
    return [w]


def counted(
    counter: Counter,
    label: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    windows: list[Window] | None = None,
    *,
    origin: tuple[int, int] = (0, 0),
    pair: int = 0,
    confidence: NDArray[np.uint8] | None = None,
    other: NDArray[np.uint8] | None = None,
) -> Any:
    """What a counter counts in arrays (rows, cols) whose corner lies at `origin` (col, row) of the class map."""
    whole = Window(*origin, label.shape[1], label.shape[0])
    total = counter.empty()
    for keep in windows or [whole]:
        read = keep.expanded(counter.margin).intersection(whole)
        part = read.slices(whole)
        total += counter.count(
            Seen(
                keep=keep,
                read=read,
                whole=whole,
                label=label[part],
                prediction=prediction[part],
                pair=pair,
                confidence=None if confidence is None else confidence[part],
                other=None if other is None else other[part],
            )
        )
    return total
