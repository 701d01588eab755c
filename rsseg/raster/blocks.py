"""The storage units of tiled GeoTIFFs that we write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rsseg.raster.env import open_dataset
from rsseg.raster.grid import Grid
from rsseg.tiling import BLOCK, Window


def is_whole_blocks(window: Window, grid: Grid) -> bool:
    """Whether a window lies in the raster and begins and ends at block edges or at the raster's edge."""
    return (
        grid.window.contains(window)
        and window.col_off % BLOCK == 0
        and window.row_off % BLOCK == 0
        and (window.width % BLOCK == 0 or window.cols.stop == grid.width)
        and (window.height % BLOCK == 0 or window.rows.stop == grid.height)
    )


def iter_blocks(window: Window) -> Iterator[tuple[int, int]]:
    """The (column, row) numbers of the blocks that a window touches."""
    for row in range(window.row_off // BLOCK, -(-window.rows.stop // BLOCK)):
        for col in range(window.col_off // BLOCK, -(-window.cols.stop // BLOCK)):
            yield col, row


def check_blocks_on_disk(path: Path, blocks: Iterable[tuple[int, int]] | None = None) -> None:
    """Look whether a closed GeoTIFF really holds its blocks.

    GDAL keeps what it writes in a cache and drops, without a word, what the disk refuses when the file is closed.

    Args:
        path: the file.
        blocks: those that it has to hold, (column, row); None for all.

    Raises:
        OSError: a block is missing or cut off.
    """
    size = path.stat().st_size
    with open_dataset(path) as dataset:
        if blocks is None:
            blocks = iter_blocks(Window.whole(dataset.width, dataset.height))
        for col, row in blocks:
            offset = dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1)
            if offset is None or int(offset) + int(length) > size:
                raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}: block {col}, {row} is not on the disk")
