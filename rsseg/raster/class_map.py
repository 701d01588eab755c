"""Writing class maps: blocks are staged as they come, finished and encoded once, and put in place when complete."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.errors import OptionError
from rsseg.log import logger
from rsseg.raster.block_file import Block, BlockFile
from rsseg.raster.blocks import is_whole_blocks, iter_blocks
from rsseg.raster.completing import Completion
from rsseg.raster.counts import ClassCounts, count_block
from rsseg.raster.finishing import Valid
from rsseg.raster.grid import Grid
from rsseg.raster.journal import Journal
from rsseg.raster.layers import CLASSES, Layers, band_names, check_layer_output
from rsseg.raster.staging import StagingFolder, disk_errors
from rsseg.tiling import BLOCK, Window

COMMIT_S = 2.0
"""At most so many seconds of work are lost when a run is killed. A run that ends earlier than that leaves nothing."""


class ClassMapWriter:
    """Writes a class map, uint8 class ids, and layers that tell more about it; 255 where nothing is written.

    Blocks are staged in the folder `OUTPUT.part`, in any order; `finish` brings them to the target's pixels, merges
    small regions and encodes them once. The files are the same byte for byte whatever the order. A writer that is told
    what `run` it writes for leaves the folder when it is killed or left without `finish`, and the next one of the same
    run goes on from there; any other leaves nothing behind. One thread writes at a time (a lock sees to it).

    Memory: one block of all layers, 256 KB for each band.

    Args:
        path: the map to be.
        grid: of the blocks that are written.
        target: the grid of all files, on the same ground; None: that of the blocks.
        classes: names and colours.
        tags: provenance, written into all files; must not hold times or paths.
        layers: files besides the map, by the names of `Layers`.
        min_area: pixels of the smallest region of the map that stays; smaller ones become part of their surroundings.
        overwrite: whether existing files may be replaced.
        run: all that decides the map, by name, in plain JSON; None for a map that is not worth going on with.
        resume: whether to go on with what an earlier run left.

    Raises:
        OptionError: see `check_layer_output`; when it is entered, the folder holds a run that differs.
        ResourceError: see `check_output`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        grid: Grid,
        target: Grid | None = None,
        classes: ClassTable,
        tags: Mapping[str, str] | None = None,
        layers: Mapping[str, Path] | None = None,
        min_area: int = 0,
        overwrite: bool = False,
        run: Mapping[str, Any] | None = None,
        resume: bool = True,
    ) -> None:
        self.path = Path(path)
        self.grid = grid
        self.target = target or grid
        self.counts: ClassCounts | None = None
        """Of the finished map; None before."""
        self._folder = StagingFolder(self.path, overwrite=overwrite)
        self._outputs = {**(layers or {}), CLASSES: self.path}  # the map last
        for layer in (layers or {}).values():
            check_layer_output(layer, output=self.path, overwrite=overwrite)
        self.bands = {name: len(band_names(name, classes)) for name in self._outputs}
        """How many bands each layer has."""
        self._classes = classes
        self._tags = dict(sorted((tags or {}).items()))
        self._min_area = min_area
        self._run = run if run is None else {**run, "layers": sorted(layers or {})}
        self._resume = resume and run is not None
        self._lock = threading.Lock()
        self._blocks = {
            name: BlockFile(self._staged(name), grid=grid, bands=bands) for name, bands in self.bands.items()
        }
        self._journal = Journal(self._folder.path / "journal.jsonl", checksum=self._checksum)
        self._taken_over = 0
        self._kept = False
        self._pending: dict[Block, bool] = {}
        self._pending_pixels: dict[int, Counter[int]] = {}
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

    def __enter__(self) -> Self:
        # Here and not in the constructor: an interrupt between the two would leave the folder behind.
        try:
            self._folder.make(keep=self._resume)
            with disk_errors(f"{self.path}: cannot be written"):
                self._journal.open(self._run or {})
                for blocks in self._blocks.values():
                    blocks.open()
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

    def write_block(self, window: Window, layers: Layers | None) -> None:
        """Write all layers at a window that begins and ends at multiples of 512 or the raster's edge.

        Args:
            window: the place of the block, or of several.
            layers: (bands, rows, cols); where the classes are 255, all layers are. None: 255 everywhere.

        Raises:
            ResourceError: the disk does not take it.
        """
        if not is_whole_blocks(window, self.grid):
            raise ValueError(f"{window} is not made of whole blocks of {BLOCK} px")
        if layers is not None:
            self._check_layers(window, layers)
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            for block in iter_blocks(window):
                if not self._is_written(block):
                    self._write(block, layers and _cut(layers, _inside(block, window).slices(window)))
            if time.monotonic() - self._committed > COMMIT_S:
                self._commit()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read class ids (rows, cols) as they were written so far; not after `finish`.

        Raises:
            ResourceError: the disk does not give them.
        """
        classes = np.full((window.height, window.width), NODATA_CLASS, dtype=np.uint8)
        with self._lock, disk_errors(f"{self.path}: cannot be read"):
            for block in iter_blocks(window):
                if self._pending.get(block) or self._journal.done.get(block):
                    cell = Window(block[0] * BLOCK, block[1] * BLOCK, BLOCK, BLOCK)
                    shared = cell.intersection(window)
                    classes[shared.slices(window)] = self._blocks[CLASSES].read(block)[0][shared.slices(cell)]
        return classes

    def finish(self, *, valid: Valid | None = None, most_regions: int | None = None) -> None:
        """Finish and encode all files, and put them in place, the map last and its sidecar before it.

        Args:
            valid: which pixels of a window of `target` may have data; asked only where `target` differs from `grid`,
                whose blocks know it already. None: all.
            most_regions: bound on the regions that are held while small ones are merged, 300 bytes each; None: none.

        Raises:
            ResourceError: the disk does not take it, or the map has more regions.
        """
        completion = Completion(
            grid=self.grid,
            target=self.target,
            classes=self._classes,
            tags=self._tags,
            min_area=self._min_area,
            valid=valid,
            most_regions=most_regions,
        )
        files: dict[Path, Path] = {}
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._commit()
            filled = [block for block, has_class in self._journal.done.items() if has_class]
            for name, output in self._outputs.items():
                self._blocks[name].seal(filled)
                layer = completion.encode(name, self._staged(name), counted=self._journal.pixels)
                if layer.sidecar is not None:
                    files[layer.sidecar] = output.with_name(output.name + ".aux.xml")
                files[layer.encoded] = output
            self.counts = layer.counts  # the classes are the last
            self._close()
        self._folder.publish(files)

    def abort(self) -> None:
        """Leave what another run of the same kind can go on with, or nothing; does nothing after `finish`."""
        with self._lock:
            worth_keeping = self._run is not None and (self._kept or bool(self._journal.done))
            if worth_keeping and self._blocks[CLASSES].is_open:
                with suppress(OSError):
                    self._commit()
            self._close()
        if worth_keeping and self._folder.is_ours:
            logger.info("%s: keeps what is done; the same command goes on from there", self._folder.path)
            self._folder.leave()
        else:
            self._folder.remove()

    def _check_layers(self, window: Window, layers: Layers) -> None:
        shapes = {name: (bands, window.height, window.width) for name, bands in self.bands.items()}
        found = {name: layer.shape for name, layer in layers.items()}
        if found != shapes or any(layer.dtype != np.uint8 for layer in layers.values()):
            types = {name: str(layer.dtype) for name, layer in layers.items()}
            raise ValueError(f"block holds {types} {found}; expected uint8 {shapes} at {window}")

    def _write(self, block: Block, layers: Layers | None) -> None:
        counts = count_block(layers[CLASSES]) if layers else {}
        if layers and counts:
            for name, blocks in self._blocks.items():
                blocks.write(block, layers[name])
            self._pending_pixels.setdefault(block[1], Counter()).update(counts)
        self._pending[block] = bool(counts)

    def _commit(self) -> None:
        """Bring to the disk what was written, and then note it in the journal."""
        pending, pixels = self._pending, self._pending_pixels
        # What one sync has failed for must not be noted by the next, which may succeed without these blocks.
        self._pending, self._pending_pixels = {}, {}
        for blocks in self._blocks.values():
            blocks.sync()
        self._journal.add(pending, pixels)
        self._committed = time.monotonic()

    def _checksum(self, blocks: Iterable[Block]) -> int:
        """A checksum of these blocks of all layers as they lie on the disk now."""
        listed, total = list(blocks), 0
        for file in self._blocks.values():
            total = crc32(file.checksum(listed).to_bytes(4), total)
        return total

    def _is_written(self, block: Block) -> bool:
        return block in self._journal.done or block in self._pending

    def _staged(self, name: str) -> Path:
        """The file in which the blocks of a layer wait."""
        return self._folder.path / ("blocks.tif" if name == CLASSES else f"{name}.blocks.tif")

    def _close(self) -> None:
        for blocks in self._blocks.values():
            blocks.close()
        self._journal.close()


def _cut(layers: Layers, place: tuple[slice, slice]) -> Layers:
    return {name: layer[:, *place] for name, layer in layers.items()}


def _inside(block: Block, window: Window) -> Window:
    """The part of a block that a window of whole blocks covers."""
    col, row = block
    return Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK).intersection(window)
