"""What a prediction takes on the disk, and whether it is there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from rsseg.errors import ResourceError
from rsseg.raster import Grid
from rsseg.tiling import BLOCK

_MAP_SHARE, _LAYER_SHARE = 0.15, 0.8
"""Bytes of the finished files for a byte of pixels, overviews included: of class maps, of which 268 Mpx took 32 MB, and
of probabilities, which hardly compress."""

FEATURE_SHARE = 4
"""Unless told otherwise, features of tiles take at most what is left on the disk divided by this."""

MB = 10**6


@dataclass(frozen=True, kw_only=True)
class DiskUse:
    """Bytes on the disk of the output.

    Attributes:
        staged_bytes: blocks that wait beside the output until all are there, at most: those without data take nothing.
        final_bytes: the finished files, about.
        free_bytes: what is free now, with what an unfinished run has staged already.
        feature_bytes: features of tiles between the passes of a context, as far as there is room, until the last tile
            is decided; nothing where they are not all read again: with an area of interest, or a sample of the tiles.
    """

    staged_bytes: int
    final_bytes: int
    free_bytes: int
    feature_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """What is taken before the staged blocks are removed."""
        return self.staged_bytes + max(self.final_bytes, self.feature_bytes)

    def with_features(self, wanted: int, *, most: int | None) -> DiskUse:
        """The same with as many of the features as there is room for: `most` bytes, or a share of what is left."""
        left = max(self.free_bytes - self.total_bytes, 0)
        room = left // FEATURE_SHARE if most is None else min(most, left)
        return replace(self, feature_bytes=min(wanted, room))


def disk_use(output: Path, *, grid: Grid, target: Grid, layer_bands: int, sieves: bool) -> DiskUse:
    """Say what a prediction takes.

    Args:
        output: the class map to be.
        grid: on which blocks are staged.
        target: of the final files; where its pixels are of another size, each layer is staged on it, too.
        layer_bands: 1 for the classes, and the bands of all other layers.
        sieves: whether small regions are merged, which stages the class map once more.
    """
    block, blocks, final = BLOCK * BLOCK, count_blocks(grid), count_blocks(target)
    resamples = (grid.width, grid.height) != (target.width, target.height)
    # Finishing makes one layer at a time: at most all others together, or the classes in up to two steps.
    finishing = max(resamples * (layer_bands - 1), resamples + sieves)
    staged = blocks * layer_bands + final * finishing
    return DiskUse(
        staged_bytes=staged * block,
        final_bytes=int(final * block * (_MAP_SHARE + _LAYER_SHARE * (layer_bands - 1))),
        free_bytes=shutil.disk_usage(output.parent).free + _staged_already(output),
    )


def check_disk(use: DiskUse, output: Path) -> None:
    """Refuse a prediction of which the disk cannot even hold the staged blocks.

    Raises:
        ResourceError: see above.
    """
    if use.staged_bytes > use.free_bytes:
        raise ResourceError(
            f"{output}: needs {use.staged_bytes / MB:,.0f} MB on its disk while it is made,"
            f" {use.free_bytes / MB:,.0f} MB are free",
            hint="make room, or write to another disk",
        )


def count_blocks(grid: Grid) -> int:
    """How many blocks a map on this grid has."""
    return -(-grid.width // BLOCK) * -(-grid.height // BLOCK)


def _staged_already(output: Path) -> int:
    """What an unfinished run holds on the disk; files with holes count as what they take."""
    folder = output.with_name(output.name + ".part")
    if not folder.is_dir():
        return 0
    return sum(512 * file.stat().st_blocks for file in folder.iterdir() if file.is_file())
