"""How good the network is now: predict the labelled part of the val scenes as `rsseg predict` would, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.data.scenes import Scene
from rsseg.evaluation.confusion import confusion_matrix
from rsseg.evaluation.scores import Scores, scores_of
from rsseg.prediction.forward import Forward
from rsseg.prediction.stages import batches
from rsseg.raster import RasterSource
from rsseg.tiling import Tile, plan_tiles
from rsseg.training.world import ALONE, World


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a tile needs: `pixels` (C, rows, cols) and `valid` (rows, cols) of its read, `labels` of its keep."""

    tile: Tile
    pixels: NDArray[np.generic]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]


def validate(
    forward: Forward,
    scenes: Sequence[Scene],
    *,
    classes: int,
    batch_size: int,
    tile: int,
    halo: int,
    stride: int,
    world: World = ALONE,
) -> Scores:
    """Predict and score all labelled pixels of some scenes together; several processes take turns, tile by tile.

    Raises:
        RasterError: an image or label cannot be read.
    """
    matrix = np.zeros((classes, classes), dtype=np.int64)
    seen = 0
    for scene in scenes:
        tiles = labelled_tiles(scene, tile=tile, halo=halo, stride=stride)
        mine = tiles[(world.rank - seen) % world.size :: world.size]
        seen += len(tiles)
        for read, kept in _decide(forward, scene, mine, batch_size=batch_size):
            matrix += confusion_matrix(read.labels, kept, classes)
    return scores_of(world.sum(torch.from_numpy(matrix)).numpy())


def labelled_tiles(scene: Scene, *, tile: int, halo: int, stride: int) -> list[Tile]:
    """The tiles of prediction's own plan whose kept part meets a cell with labels."""
    grid = scene.image.grid
    tiles = plan_tiles(grid.width, grid.height, tile=tile, halo=halo, stride=stride)
    return [t for t in tiles if any(scene.cells.meeting(t.keep))]


def _decide(
    forward: Forward, scene: Scene, tiles: list[Tile], *, batch_size: int
) -> Iterator[tuple[_Read, NDArray[np.uint8]]]:
    """Each tile with the classes of its keep, in order."""
    with scene.image.open() as image:
        for batch in batches((_read(scene, image, tile) for tile in tiles), size=batch_size):
            decided = forward(np.stack([r.pixels for r in batch]), np.stack([r.valid for r in batch]))
            for read, classes in zip(batch, decided, strict=True):
                yield read, classes[read.tile.keep.slices(read.tile.read)]


def _read(scene: Scene, image: RasterSource, tile: Tile) -> _Read:
    pixels = image.read(tile.read)
    labels = scene.labels.read(tile.keep)
    invalid = ~pixels.valid[tile.keep.slices(tile.read)]
    labels[invalid] = IGNORE_INDEX
    return _Read(tile=tile, pixels=pixels.data, valid=pixels.valid, labels=labels)
