"""Opening rasters and reading windows of them, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsseg.errors import RasterError
from rsseg.raster.bands import BandChoice, choose_bands, file_bands
from rsseg.raster.env import damage_is_an_error, open_dataset
from rsseg.raster.grid import Grid, grid_of
from rsseg.raster.masks import Nodata, ValidityRule, plan_validity, valid_pixels
from rsseg.raster.pixels import Pixels
from rsseg.raster.swaths import Swaths
from rsseg.tiling import Window

_WIDE = 2048
"""Strips up to this width, in pixels, are decoded for each window that needs them."""

LARGEST_BLOCK_BYTES = 256 * 2**20
"""Files with larger blocks are refused: each window would decode one of them as a whole."""


class ThreadHandles:
    """One GDAL handle per thread, since GDAL's must not be shared; `close` closes all of them.

    A handle that is closed while a thread reads crashes the process, so each is lent under a lock of its own.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._own = threading.local()
        self._all: list[tuple[Any, threading.Lock]] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Lend the calling thread's open rasterio dataset; `close` waits until it is given back."""
        dataset, lock = self._handle()
        with lock:
            if self._closed:
                raise ValueError(f"{self._path} is closed")
            yield dataset

    def close(self) -> None:
        """Close the handles of all threads, each when its thread does not read."""
        with self._lock:
            self._closed = True
            for dataset, lock in self._all:
                with lock:
                    dataset.close()
            self._all.clear()

    def _handle(self) -> tuple[Any, threading.Lock]:
        if not hasattr(self._own, "handle"):
            with self._lock:
                if self._closed:
                    raise ValueError(f"{self._path} is closed")
                self._own.handle = (open_dataset(self._path), threading.Lock())
                self._all.append(self._own.handle)
        handle: tuple[Any, threading.Lock] = self._own.handle
        return handle


class RasterSource:
    """The chosen bands of an open raster. Made by `open_raster`; close it, best with `with`.

    `read` and `read_decimated` may be called from any thread.

    Attributes:
        path: the file, as the user named it.
        grid: size and georeference.
        bands: band numbers (from 1) that become channels, in order.
        dtype: pixel type of what is read, such as `uint8`.
        files: the files on disk that it is read from: itself, sidecars, the sources of a VRT.
        notes: what the user should know about the file, one sentence each.
        block_shape: (rows, cols) of the blocks in which the file is stored.
    """

    def __init__(
        self, path: str, handles: ThreadHandles, *, choice: BandChoice, rule: ValidityRule, dtype: str
    ) -> None:
        with handles.use() as dataset:
            self.grid: Grid = grid_of(dataset)
            self.files: tuple[str, ...] = tuple(dataset.files)
            self.block_shape: tuple[int, int] = tuple(dataset.block_shapes[choice.bands[0] - 1])
        self.path = path
        self.bands = choice.bands
        self.dtype = dtype
        self._handles = handles
        self._rule = rule
        # Alpha is read along with the bands: GDAL decodes all bands of a pixel-interleaved block together.
        self._stored = sorted({*choice.bands, *rule.alpha})
        self._channels = [self._stored.index(band) for band in choice.bands]
        self._alphas = [self._stored.index(band) for band in rule.alpha]
        self.notes = choice.notes + _georeference_notes(path, self.grid)
        pixel_bytes = len(self._stored) * np.dtype(dtype).itemsize
        self._swaths = Swaths(self._read_inside, width=self.grid.width, pixel_bytes=pixel_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file in all threads, after what they are reading."""
        self._handles.close()

    def read(self, window: Window) -> Pixels:
        """Read the pixels of a window.

        The window may stick out of the raster; pixels out there are 0 and invalid.

        Raises:
            RasterError: a block cannot be read; the message names file and window.
        """
        inside = window.intersection(self.grid.window)
        read = self._swaths.read if self.is_striped else self._read_inside
        if inside == window and window.pixels:
            return read(window)
        data = np.zeros((len(self.bands), window.height, window.width), dtype=self.dtype)
        valid = np.zeros((window.height, window.width), dtype=np.bool_)
        if inside.pixels:
            rows, cols = inside.slices(window)
            pixels = read(inside)
            data[:, rows, cols], valid[rows, cols] = pixels.data, pixels.valid
        return Pixels(data, valid)

    def read_decimated(self, *, max_side: int) -> Pixels:
        """Read the whole raster made smaller, for previews: by average, from overviews where the file has some.

        Args:
            max_side: bound on the longer side of the result, in pixels; smaller rasters keep their size.

        Raises:
            RasterError: a block cannot be read.
        """
        shape = decimated_shape(self.grid, max_side=max_side)
        return self._read_inside(self.grid.window, shape=shape)

    @property
    def is_striped(self) -> bool:
        """Whether the file is stored in strips wider than what one usually reads of them."""
        return self.block_shape[1] > _WIDE and self.block_shape[1] >= self.grid.width

    def swath_columns(self, rows: int) -> int:
        """How many columns of so many rows are read at a time; the whole width where the file is not striped."""
        return self._swaths.columns(rows) if self.is_striped else self.grid.width

    def _read_inside(self, window: Window, *, shape: tuple[int, int] | None = None) -> Pixels:
        """Read a window that lies in the raster, into (rows, cols) `shape` if given."""
        shape = shape or (window.height, window.width)
        plain = shape == (window.height, window.width)
        how = {
            "window": rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height),
            "resampling": Resampling.nearest if plain else Resampling.average,
        }
        with self._handles.use() as dataset, damage_is_an_error(f"{self.path}: cannot read {window}"):
            stored = self._read_stored(dataset, shape, how)
            masks = [dataset.read_masks(band, out_shape=shape, **how) for band in self._rule.masks]
        data = stored if self._channels == list(range(len(stored))) else stored[self._channels]
        valid = valid_pixels(data, nodata=self._rule.nodata)
        for mask in [*masks, *(stored[index] for index in self._alphas)]:
            valid &= mask != 0
        return Pixels(data, valid)

    def _read_stored(self, dataset: Any, shape: tuple[int, int], how: dict[str, Any]) -> NDArray[Any]:
        """The chosen bands and alpha, each once, in the file's order."""
        if len({dataset.dtypes[band - 1] for band in self._stored}) == 1:
            together: NDArray[Any] = dataset.read(self._stored, out_shape=(len(self._stored), *shape), **how)
            return together
        # rasterio refuses to read bands of several types in one call.
        return np.stack(
            [dataset.read(band, out_shape=shape, **how).astype(self.dtype) for band in self._stored]
        )


def open_raster(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    channels: int | None = None,
    nodata: Nodata = "auto",
) -> RasterSource:
    """Open a raster and check at once whether it can be segmented.

    Args:
        path: anything GDAL opens (a file, a VRT, /vsi..., a URL).
        bands: band numbers from 1 that become channels, exactly these, repeats allowed.
        channels: how many channels the weights expect; None takes all bands but alpha.
        nodata: `auto` for the file's nodata values, None for none, or another value.

    Returns:
        The raster; the caller closes it.

    Raises:
        RasterError: the file is missing or not a raster, has the wrong bands (see `choose_bands`), complex, palette or
            CMYK pixels, or is stored as one giant block.
        OptionError: `bands` does not fit `channels`.
    """
    name = str(path)
    handles = ThreadHandles(name)
    try:
        with handles.use() as dataset:
            choice, rule, dtype = _plan(name, dataset, bands=bands, channels=channels, nodata=nodata)
        return RasterSource(name, handles, choice=choice, rule=rule, dtype=dtype)
    except BaseException:
        handles.close()
        raise


def _plan(
    name: str, dataset: Any, *, bands: Sequence[int] | None, channels: int | None, nodata: Nodata
) -> tuple[BandChoice, ValidityRule, str]:
    """Check an open dataset, and decide which bands to read, which pixels are valid, and the pixel type."""
    _check_has_bands(name, dataset)
    choice = choose_bands(file_bands(name, dataset), bands=bands, channels=channels)
    _check_block_size(name, dataset)
    types = [dataset.dtypes[band - 1] for band in (*choice.bands, *choice.alpha)]
    dtype = str(np.result_type(*types))
    rule = plan_validity(dataset, bands=choice.bands, alpha=choice.alpha, nodata=nodata, dtype=dtype)
    return choice, rule, dtype


def decimated_shape(grid: Grid, *, max_side: int) -> tuple[int, int]:
    """(rows, cols) of a raster shrunk until its longer side is at most `max_side`; at least one pixel."""
    scale = min(1.0, max_side / max(grid.width, grid.height))
    return max(1, round(grid.height * scale)), max(1, round(grid.width * scale))


def _check_has_bands(name: str, dataset: Any) -> None:
    if dataset.count:
        return
    inner = dataset.subdatasets
    hint = f"it holds several rasters; name one of them, such as {inner[0]}" if inner else None
    raise RasterError(f"{name}: has no bands", hint=hint)


def _check_block_size(name: str, dataset: Any) -> None:
    """Refuse a file stored as one giant strip: memory would grow with the raster."""
    rows, cols = dataset.block_shapes[0]
    size = rows * cols * np.dtype(dataset.dtypes[0]).itemsize
    if size > LARGEST_BLOCK_BYTES:
        raise RasterError(
            f"{name}: is stored in blocks of {cols} x {rows} px ({size / 2**20:.0f} MB), each decoded as a whole",
            hint=f"make a tiled copy first: gdal_translate -co TILED=YES {name} tiled.tif",
        )


def _georeference_notes(name: str, grid: Grid) -> tuple[str, ...]:
    if grid.crs is not None or grid.gcp_crs is not None or grid.rpcs is not None:
        return ()
    what = "no CRS" if grid.georeferenced() else "no CRS and no georeference"
    return (f"{name}: has {what}; what is made from it has none either",)
