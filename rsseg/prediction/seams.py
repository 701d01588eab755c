"""How much of a map would be another if its tiles lay elsewhere: a figure for the seams."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

from rsseg.classes import NODATA_CLASS
from rsseg.prediction.contexts import ViewContexts
from rsseg.prediction.forward import Forward
from rsseg.prediction.progress import Progress
from rsseg.prediction.reading import TileReader
from rsseg.raster import ClassMapWriter
from rsseg.tiling.seams import Seam

MOST_SEAMS = 24
"""Tiles that are predicted again; with tiles of 512 pixels about a million pixels are compared."""

NEAR = 32
"""Pixels to each side of an edge that are compared."""

_SEED = 0
_LOOKED_AT = 50
"""Places looked at for each that is wanted, since a raster may be empty nearly everywhere."""


def seam_change(
    forward: Forward,
    reader: TileReader,
    class_map: ClassMapWriter,
    seams: Sequence[Seam],
    *,
    contexts: ViewContexts,
    on_progress: Progress,
) -> float | None:
    """Predict some places where tiles meet once more, with shifted tiles, and compare with the map.

    Args:
        forward: the network.
        reader: gives tiles with their pixels.
        class_map: the map that was made of them, not yet finished.
        seams: all places where tiles meet.
        contexts: what the map was made with, held by `forward`.
        on_progress: is told the share done, from 0 to 1.

    Returns:
        The share of pixels near the edges whose class changes; None where no tiles meet, or only without data.
    """
    chosen = {seam.tile: seam for seam in _choose(class_map, seams)}
    compared = changed = done = 0
    with closing(reader.batches(chosen)) as batches:
        for batch in batches:
            decided = forward(*batch.arrays(), contexts=contexts)
            for read, classes in zip(batch.with_data, decided, strict=False):
                keep = read.tile.keep
                before, after = class_map.read(keep), classes[keep.slices(read.tile.read)]
                near = chosen[read.tile].near(NEAR) & (before != NODATA_CLASS)
                compared += int(near.sum())
                changed += int((near & (before != after)).sum())
            done += len(batch.reads)
            on_progress(done / len(chosen))
    return changed / compared if compared else None


def _choose(class_map: ClassMapWriter, seams: Sequence[Seam]) -> list[Seam]:
    """Places with data on the map, drawn the same every time."""
    drawn = random.Random(_SEED).sample(seams, min(len(seams), MOST_SEAMS * _LOOKED_AT))

    def with_data() -> Iterator[Seam]:
        for seam in drawn:
            if (class_map.read(seam.tile.keep)[seam.near(NEAR)] != NODATA_CLASS).any():
                yield seam

    return list(islice(with_data(), MOST_SEAMS))
