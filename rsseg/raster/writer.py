"""Writing class maps and images: staged beside the output, renamed when complete."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.raster.blocks import check_blocks_on_disk, is_whole_blocks, iter_blocks
from rsseg.raster.encode import encode_class_map
from rsseg.raster.env import GDAL_ERRORS, georeference_optional
from rsseg.raster.grid import Grid, control_points
from rsseg.raster.staging import StagingFolder, disk_errors
from rsseg.tiling import BLOCK, Window

_LARGE_BYTES = 2**31


class _StagedWriter:
    """A GeoTIFF that grows in a staging folder; leaving the `with` without `finish` leaves nothing behind.

    One thread writes at a time (a lock sees to it).
    """

    def __init__(self, path: Path, *, grid: Grid, overwrite: bool, profile: Mapping[str, Any]) -> None:
        self.path = path
        self.grid = grid
        self._folder = StagingFolder(path, overwrite=overwrite)
        self._profile = profile
        self._lock = threading.Lock()
        self._staged = self._folder.path / "blocks.tif"
        self._dataset: Any = None

    def __enter__(self) -> Self:
        # Here and not in the constructor: an interrupt between the two would leave the folder behind.
        try:
            self._folder.make()
            self._dataset = _create(self._staged, self.grid, self._profile)
            self._describe()
        except BaseException:
            self.abort()
            raise
        return self

    def _describe(self) -> None:
        """Say in the new file what it holds."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def abort(self) -> None:
        """Drop what was written; does nothing after `finish`."""
        if self._dataset is not None:
            with self._lock, suppress(*GDAL_ERRORS):
                self._dataset.close()
        self._folder.remove()

    def _write(self, window: Window, data: NDArray[Any]) -> None:
        """Write (bands, rows, cols) at a window."""
        where = rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._dataset.write(data, window=where)

    def _close(self, blocks: Collection[tuple[int, int]] | None) -> None:
        """Close the staged file and see that the blocks (None: all) are on the disk."""
        with self._lock, disk_errors(f"{self.path}: cannot be written"):
            self._dataset.close()
            check_blocks_on_disk(self._staged, blocks)


class ClassMapWriter(_StagedWriter):
    """Writes a class map: uint8 class ids, 255 where nothing is written, on exactly the grid given.

    Blocks are staged raw in the folder `OUTPUT.part`, in any order; `finish` encodes them once. The map is the same
    byte for byte whatever the order.

    Args:
        path: the map to be.
        grid: its size and georeference.
        classes: names and colours.
        tags: provenance, written into the map; must not hold times or paths.
        overwrite: whether an existing map may be replaced.

    Raises:
        OptionError, ResourceError: see `check_output`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        grid: Grid,
        classes: ClassTable,
        tags: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> None:
        super().__init__(
            Path(path),
            grid=grid,
            overwrite=overwrite,
            profile={"count": 1, "dtype": "uint8", "nodata": NODATA_CLASS, "SPARSE_OK": True},
        )
        self._classes = classes
        self._tags = dict(sorted((tags or {}).items()))
        self._filled: set[tuple[int, int]] = set()

    def _describe(self) -> None:
        """Write the colours of the classes, and the tags."""
        colors = {value: (*rgb, 255) for value, rgb in self._classes.colormap().items()}
        self._dataset.write_colormap(1, colors | {NODATA_CLASS: (0, 0, 0, 0)})
        self._dataset.update_tags(**self._tags)

    def write_block(self, window: Window, classes: NDArray[np.uint8]) -> None:
        """Write class ids (rows, cols) at a window that begins and ends at multiples of 512 or the raster's edge.

        Raises:
            ResourceError: the disk does not take it.
        """
        if not is_whole_blocks(window, self.grid):
            raise ValueError(f"{window} is not made of whole blocks of {BLOCK} px")
        if classes.shape != (window.height, window.width) or classes.dtype != np.uint8:
            raise ValueError(f"block is {classes.dtype} {classes.shape}; expected uint8 at {window}")
        self._write(window, classes[None])
        self._filled.update(block for block in iter_blocks(window) if _has_class(classes, block, window))

    def finish(self) -> None:
        """Encode the map, write its sidecar, and put both in place, the map last.

        Raises:
            ResourceError: the disk does not take it.
        """
        self._close(self._filled)
        encoded = self._folder.path / "map.tif"
        with disk_errors(f"{self.path}: cannot be written"):
            sidecar = encode_class_map(self._staged, encoded, grid=self.grid, classes=self._classes)
        final = self.path.with_name(self.path.name + ".aux.xml")
        self._folder.publish({sidecar: final, encoded: self.path})


class ImageWriter(_StagedWriter):
    """Writes an image as tiled GeoTIFF (DEFLATE, blocks of 512), BigTIFF where it may grow past 4 GB.

    Windows that are whole blocks are fastest; others are recompressed and waste space.

    Args:
        path: the image to be.
        grid: its size and georeference.
        bands: how many bands.
        dtype: their type.
        nodata: value of pixels without data, also where nothing is written; None for none.
        overwrite: whether an existing image may be replaced.

    Raises:
        OptionError, ResourceError: see `check_output`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        grid: Grid,
        bands: int,
        dtype: str = "uint8",
        nodata: float | None = None,
        overwrite: bool = False,
    ) -> None:
        size = grid.width * grid.height * bands * np.dtype(dtype).itemsize
        profile = {
            "count": bands,
            "dtype": dtype,
            "nodata": nodata,
            "compress": "deflate",
            "predictor": 2,
            "zlevel": 1,
            "interleave": "pixel",
            "photometric": "rgb" if bands == 3 else "minisblack",
            "BIGTIFF": "YES" if size > _LARGE_BYTES else "NO",
        }
        if np.dtype(dtype).kind == "f":
            profile["predictor"] = 3
        super().__init__(Path(path), grid=grid, overwrite=overwrite, profile=profile)

    def write(self, window: Window, data: NDArray[Any]) -> None:
        """Write pixels (bands, rows, cols) at a window inside the raster.

        Raises:
            ResourceError: the disk does not take it.
        """
        self._write(window, data)

    def finish(self) -> None:
        """Complete the file and put it in place.

        Raises:
            ResourceError: the disk does not take it.
        """
        self._close(None)
        self._folder.publish({self._staged: self.path})


def _create(path: Path, grid: Grid, profile: Mapping[str, Any]) -> Any:
    """A new tiled GeoTIFF on a grid, open for writing."""
    place: dict[str, Any] = {"crs": grid.crs}
    if grid.gcps:
        place = {"gcps": control_points(grid), "crs": grid.gcp_crs or rasterio.CRS()}
    elif grid.georeferenced() and grid.rpcs is None:
        place["transform"] = grid.transform
    elif grid.rpcs is not None:
        place["rpcs"] = grid.rpcs
    options = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "BIGTIFF": "IF_SAFER"} | dict(profile)
    with disk_errors(f"{path}: cannot be created"), georeference_optional():
        return rasterio.open(
            path, "w", driver="GTiff", width=grid.width, height=grid.height, **place, **options
        )


def _has_class(classes: NDArray[np.uint8], block: tuple[int, int], window: Window) -> bool:
    """Whether a block of a window has any class at all; GDAL leaves the others out of the staged file."""
    col, row = block
    inside = Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK).intersection(window)
    return bool((classes[inside.slices(window)] != NODATA_CLASS).any())
