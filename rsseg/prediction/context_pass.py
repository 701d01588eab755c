"""The context of a whole raster: what every attention module needs from everywhere, added up tile by tile.

Each pass runs over all tiles and counts the valid pixels of their kept parts, which partition the raster. So with a
halo as wide as the network sees, the sums are those of the network run once on the whole raster.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain

from rsseg.prediction.contexts import ViewContexts, add_contexts, join_passes
from rsseg.prediction.forward import Forward
from rsseg.prediction.progress import Progress
from rsseg.prediction.reading import TileReader
from rsseg.tiling import ChosenTiles, Tile

PASS_COST, ENCODER_COST = 0.63, 0.6
"""What a pass costs, and its encoder alone, in passes of prediction: MAResU-Net with ResNet-18 on a CPU."""

_SEED = 0


def take_contexts(
    forward: Forward,
    reader: TileReader,
    tiles: Sequence[Tile],
    *,
    passes: int,
    share: float = 1.0,
    on_progress: Progress,
) -> ViewContexts:
    """Add up the contexts of a raster, in float64 and in the order of the tiles.

    Args:
        forward: the network.
        reader: gives the tiles with their pixels.
        tiles: the plan of the raster.
        passes: how many the network takes.
        share: how much of the tiles to draw, above 0, for an estimate; 1 takes all of them.
        on_progress: is told the share done, from 0 to 1.

    Returns:
        The sums of all passes; sums of nothing where no tile has data.
    """
    sample = tiles if share == 1 else _sample_with_data(reader, tiles, share)
    known: ViewContexts = ()
    for step in range(passes):
        total, held = forward.sums_of_nothing(known), forward.hold(known)
        seen = 0
        with closing(reader.batches(sample, all_wanted=True)) as batches:
            for batch in batches:
                if batch.with_data:
                    sums = forward.summarise(
                        *batch.arrays(), counted=batch.counted(), known=held, kept=batch.kept
                    )
                    total = add_contexts(total, sums)
                seen += len(batch.reads)
                on_progress((step + seen / len(sample)) / passes)
        known = join_passes(known, total)
    return known


def empty_contexts(forward: Forward, passes: int) -> ViewContexts:
    """The contexts of an image without valid pixels, of as many passes."""
    known: ViewContexts = ()
    for _ in range(passes):
        known = join_passes(known, forward.sums_of_nothing(known))
    return known


def _sample_with_data(reader: TileReader, tiles: Sequence[Tile], share: float) -> Sequence[Tile]:
    """The first draw in which any tile has data; all tiles where none has."""
    draws = list(draw_tiles(tiles, share))
    # All of them in one go: each has threads of its own, and each thread a handle to the raster until that is closed.
    with closing(reader.batches(chain.from_iterable(draws), all_wanted=True)) as batches:
        reads = chain.from_iterable(batch.reads for batch in batches)
        first = next((number for number, read in enumerate(reads) if read.has_data), None)
    return tiles if first is None else draws[first // len(draws[0])]


def draw_tiles(tiles: Sequence[Tile], share: float) -> Iterator[Sequence[Tile]]:
    """Draw a share of the tiles, at least one, then as many of the others, and so on until all are drawn.

    The same tiles are drawn every time, and come in the order of the plan.
    """
    generator = random.Random(_SEED)
    drawn = sorted(range(len(tiles)), key=lambda _: generator.random())
    count = max(1, round(share * len(tiles)))
    for first in range(0, len(drawn), count):
        yield ChosenTiles(tiles, sorted(drawn[first : first + count]))
