"""Writing class maps: blocks are staged as they come, encoded once, and put in place when all is complete."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.errors import OptionError
from rsseg.log import logger
from rsseg.raster.block_file import Block, BlockFile
from rsseg.raster.blocks import is_whole_blocks, iter_blocks
from rsseg.raster.encode import encode_class_map
from rsseg.raster.env import georeference_optional
from rsseg.raster.grid import Grid, place_on_grid
from rsseg.raster.journal import Journal
from rsseg.raster.staging import StagingFolder, disk_errors
from rsseg.tiling import BLOCK, Window

COMMIT_S = 2.0
"""At most so many seconds of work are lost when a run is killed. A run that ends earlier than that leaves nothing."""


class ClassMapWriter:
    """Writes a class map: uint8 class ids, 255 where nothing is written, on exactly the grid given.

    Blocks are staged in the folder `OUTPUT.part`, in any order; `finish` encodes them once. The map is the same byte
    for byte whatever the order. A writer that is told what `run` it writes for leaves the folder when it is killed or
    left without `finish`, and the next one of the same run goes on from there; any other leaves nothing behind. One
    thread writes at a time (a lock sees to it).

    Args:
        path: the map to be.
        grid: its size and georeference.
        classes: names and colours.
        tags: provenance, written into the map; must not hold times or paths.
        overwrite: whether an existing map may be replaced.
        run: all that decides the map, by name, in plain JSON; None for a map that is not worth going on with.
        resume: whether to go on with what an earlier run left.

    Raises:
        OptionError: see `check_output`; when it is entered, the folder holds a run that differs.
        ResourceError: see `check_output`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        grid: Grid,
        classes: ClassTable,
        tags: Mapping[str, str] | None = None,
        overwrite: bool = False,
        run: Mapping[str, Any] | None = None,
        resume: bool = True,
    ) -> None:
        self.path = Path(path)
        self.grid = grid
        self._folder = StagingFolder(self.path, overwrite=overwrite)
        self._classes = classes
        self._tags = dict(sorted((tags or {}).items()))
        self._run = run
        self._resume = resume and run is not None
        self._lock = threading.Lock()
        self._staged = self._folder.path / "blocks.tif"
        self._blocks = BlockFile(self._staged, grid=grid)
        self._journal = Journal(self._folder.path / "journal.jsonl")
        self._taken_over = 0
        self._kept = False
        self._pending: dict[Block, bool] = {}
        self._pending_pixels: Counter[int] = Counter()
        self._committed = time.monotonic()

    @property
    def folder(self) -> Path:
        """Where other files of the same run may be kept until the map is complete."""
        return self._folder.path

    def keep(self) -> None:
        """Say that what is in the folder is worth going on with, even before the first blocks are there."""
        self._kept = True

    def done(self, window: Window) -> bool:
        """Whether all blocks that a window touches are written."""
        return all(self._is_written(block) for block in iter_blocks(window))

    @property
    def resumed_blocks(self) -> int:
        """How many blocks an earlier run had written."""
        return self._taken_over

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Pixels written so far by class id, (256,)."""
        counts = np.zeros(256, dtype=np.int64)
        for pixels in (self._journal.pixels, self._pending_pixels):
            for value, count in pixels.items():
                counts[value] += count
        return counts

    def __enter__(self) -> Self:
        # Here and not in the constructor: an interrupt between the two would leave the folder behind.
        try:
            self._folder.make(keep=self._resume)
            with disk_errors(f"{self.path}: cannot be written"):
                self._journal.open(self._run or {})
                self._blocks.open()
            self._taken_over = len(self._journal.done)
            if self._taken_over:
                logger.info("%s: going on after %d blocks", self.path, self._taken_over)
            self._committed = time.monotonic()
        except OptionError:  # what lies there belongs to another run
            self._folder.leave()
            raise
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write_block(self, window: Window, classes: NDArray[np.uint8]) -> None:
        """Write class ids (rows, cols) at a window that begins and ends at multiples of 512 or the raster's edge.

        Raises:
            ResourceError: the disk does not take it.
        """
        if not is_whole_blocks(window, self.grid):
            raise ValueError(f"{window} is not made of whole blocks of {BLOCK} px")
        if classes.shape != (window.height, window.width) or classes.dtype != np.uint8:
            raise ValueError(f"block is {classes.dtype} {classes.shape}; expected uint8 at {window}")
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            for block in iter_blocks(window):
                self._write(block, classes[_inside(block, window).slices(window)])
            if time.monotonic() - self._committed > COMMIT_S:
                self._commit()

    def finish(self) -> None:
        """Encode the map, write its sidecar, and put both in place, the map last.

        Raises:
            ResourceError: the disk does not take it.
        """
        encoded = self._folder.path / "map.tif"
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._commit()
            self._blocks.seal(block for block, has_class in self._journal.done.items() if has_class)
            self._describe()
            sidecar = encode_class_map(self._staged, encoded, grid=self.grid, classes=self._classes)
            self._close()
        self._folder.publish({sidecar: self.path.with_name(self.path.name + ".aux.xml"), encoded: self.path})

    def abort(self) -> None:
        """Leave what another run of the same kind can go on with, or nothing; does nothing after `finish`."""
        with self._lock:
            worth_keeping = self._run is not None and (self._kept or bool(self._journal.done))
            if worth_keeping and self._blocks.is_open:
                with suppress(OSError):
                    self._commit()
            self._close()
        if worth_keeping and self._folder.is_ours:
            logger.info("%s: keeps what is done; the same command goes on from there", self._folder.path)
            self._folder.leave()
        else:
            self._folder.remove()

    def _write(self, block: Block, classes: NDArray[np.uint8]) -> None:
        if self._is_written(block):
            return
        pixels = np.bincount(classes.ravel(), minlength=256)
        has_class = bool(pixels[:NODATA_CLASS].any())
        if has_class:
            self._blocks.write(block, classes)
        self._pending[block] = has_class
        self._pending_pixels.update({int(k): int(pixels[k]) for k in np.flatnonzero(pixels)})

    def _commit(self) -> None:
        """Bring to the disk what was written, and then note it in the journal."""
        self._blocks.sync()
        self._journal.add(self._pending, self._pending_pixels)
        self._pending, self._pending_pixels = {}, Counter()
        self._committed = time.monotonic()

    def _is_written(self, block: Block) -> bool:
        return block in self._journal.done or block in self._pending

    def _describe(self) -> None:
        """Write georeference, colours and tags into the sealed file."""
        colors = {value: (*rgb, 255) for value, rgb in self._classes.colormap().items()}
        with georeference_optional(), rasterio.open(self._staged, "r+") as dataset:
            place_on_grid(dataset, self.grid)
            dataset.write_colormap(1, colors | {NODATA_CLASS: (0, 0, 0, 0)})
            dataset.update_tags(**self._tags)

    def _close(self) -> None:
        self._blocks.close()
        self._journal.close()


def _inside(block: Block, window: Window) -> Window:
    """The part of a block that a window of whole blocks covers."""
    col, row = block
    return Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK).intersection(window)
