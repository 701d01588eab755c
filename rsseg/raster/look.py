"""A quick look at the pixels of a raster of any size: in a few places, none of which takes long to decode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.raster.collar import CollarColor, CollarSource
from rsseg.raster.env import is_remote
from rsseg.raster.labels import LabelRaster
from rsseg.raster.source import RasterSource
from rsseg.tiling import Window

_SIDE = 64
"""Rows and columns that are read in one place."""
_WITHIN = (8, 6, 5, 4, 3, 2)
_ALONG_EDGE = (16, 12, 8, 4, 2)
"""Places along each side: the first of these for which not too much has to be decoded."""
_WITHIN_BYTES, _EDGE_BYTES = 16 * 2**20, 48 * 2**20
"""Of decoded blocks: some 0.3 s, and most of it for the edge, where a collar may be short."""
_FEW_VALUES = 256
"""Class ids are no more."""
_ALL = 0.99
"""What share of a place has the colour of a collar where all of it is said to: JPEG leaves specks."""
_COLORS: tuple[CollarColor, ...] = ("white", "black")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a few places show.

    Attributes:
        pixels: how many were looked at.
        valid_share: what share of them is valid, in places spread evenly.
        lowest: of the valid pixels, in each band; empty if there are none.
        highest: the same.
        values: how many pixels have each value, where there is one band of few whole numbers; else empty.
        edge_places: how many places along the raster's edge were looked at.
        edge_colors: in how many of them all pixels count and are white, or black.
    """

    pixels: int
    valid_share: float
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    values: Mapping[int, int]
    edge_places: int
    edge_colors: Mapping[CollarColor, int]


def look_at(source: RasterSource) -> Look | None:
    """Look at a raster in up to 64 places within and 60 along its edge, 64 x 64 pixels each.

    Returns:
        None where blocks are so large that even a few of them take long.

    Raises:
        RasterError: a block cannot be read.
    """
    places = _affordable(source, _WITHIN, lambda places: places**2, most_bytes=_WITHIN_BYTES)
    if places is None:
        return None
    rows, cols = (_middles(length, places) for length in (source.grid.height, source.grid.width))
    reads = [source.read_once(Window.of(col, row)) for row, col in product(rows, cols)]
    looked = sum(read.valid.size for read in reads)
    values = np.concatenate([read.data[:, read.valid] for read in reads], axis=1)
    edge = _edge(
        source, _affordable(source, _ALONG_EDGE, lambda places: 4 * (places - 1), most_bytes=_EDGE_BYTES)
    )
    return Look(
        pixels=looked,
        valid_share=values.shape[1] / looked,
        lowest=tuple(values.min(axis=1).tolist()) if values.size else (),
        highest=tuple(values.max(axis=1).tolist()) if values.size else (),
        values=_few_values(values[0]) if len(values) == 1 and values.dtype.kind in "iu" else {},
        edge_places=len(edge),
        edge_colors=_colors(source, edge),
    )


def look_at_labels(labels: LabelRaster) -> dict[int, int]:
    """How many pixels have each class id, in up to 64 places; 255 is no class. Empty where blocks are too large.

    Raises:
        LabelError: a value is no class id from 0 to 255.
        RasterError: a block cannot be read.
    """
    if 2 * len(_WITHIN) * labels.block_bytes > _EDGE_BYTES:
        return {}
    rows, cols = (_middles(length, _WITHIN[0]) for length in (labels.grid.height, labels.grid.width))
    ids = [labels.read(Window.of(col, row)).ravel() for row, col in product(rows, cols)]
    return _few_values(np.concatenate(ids))


def _affordable(
    source: RasterSource, choices: Sequence[int], windows: Callable[[int], int], *, most_bytes: int
) -> int | None:
    """How many places along each side can be looked at, where so many make that many windows."""
    if is_remote(source.path):
        return choices[-1]  # each is a request
    grid, (rows, cols) = source.grid, source.block_shape
    all_blocks = -(-grid.height // rows) * -(-grid.width // cols)
    high, wide = (1 + (_SIDE - 1) / side for side in (rows, cols))  # blocks under a place, on average
    for places in choices:
        # Places side by side share the strips of a raster in strips.
        blocks = places * high if cols >= grid.width else windows(places) * high * wide
        if min(blocks, all_blocks) * source.block_bytes <= most_bytes:
            return places
    return None


def _middles(length: int, places: int) -> list[range]:
    """Stretches in the middle of equal parts of one axis; all of a short one."""
    if length <= places * _SIDE:
        return [range(first, min(first + _SIDE, length)) for first in range(0, length, _SIDE)]
    middles = [(2 * place + 1) * length // (2 * places) for place in range(places)]
    return [range(middle - _SIDE // 2, middle + _SIDE // 2) for middle in middles]


def _edge(source: RasterSource, places: int | None) -> list[Window]:
    """Places along the edge, corners included; none where the raster is hardly larger than one."""
    width, height = source.grid.width, source.grid.height
    if places is None or min(width, height) < 2 * _SIDE:
        return []
    rows, cols = (
        sorted({int(first) for first in np.linspace(0, length - _SIDE, places)}) for length in (height, width)
    )
    return [
        Window(col, row, _SIDE, _SIDE)
        for row, col in product(rows, cols)
        if row in (rows[0], rows[-1]) or col in (cols[0], cols[-1])
    ]


def _colors(source: RasterSource, windows: Sequence[Window]) -> dict[CollarColor, int]:
    """In how many windows all pixels are valid and have a colour, as `--collar` sees it; of colours that there are."""
    is_whole = source.dtype in ("uint8", "uint16")
    without = {color: CollarSource(source, color) for color in _COLORS if color == "black" or is_whole}
    found = dict.fromkeys(without, 0)
    for window in windows:  # of each all colours at once, while its blocks are decoded
        if source.read_once(window).valid.all():
            for color, others in without.items():
                found[color] += bool(others.read_uncolored(window).valid.mean() <= 1 - _ALL)
    return found


def _few_values(values: NDArray[Any]) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True)) if len(found) <= _FEW_VALUES else {}
