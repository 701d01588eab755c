"""Class ids from label rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import LabelError
from rsseg.raster.env import damage_is_an_error
from rsseg.raster.grid import Grid, grid_of
from rsseg.raster.handles import Handles
from rsseg.raster.masks import ValidityRule, plan_validity, valid_pixels
from rsseg.raster.reader import decimated_shape
from rsseg.tiling import Window


class LabelSource(Protocol):
    """Anything that knows the class of every pixel of a grid. `read` may be called from any thread."""

    grid: Grid

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of a window; 255 where there is no label, also outside the raster."""
        ...

    def close(self) -> None:
        """Let go of files, after what is being read of them."""
        ...


class LabelRaster:
    """A label raster or class map. Made by `open_label_raster`; close it, best with `with`.

    `in_strips` says that it is stored in blocks as wide as it is, so that whole rows are read best; `block_bytes` is
    the size of a decoded block.
    """

    def __init__(self, path: str, handles: Handles, *, band: int, rule: ValidityRule) -> None:
        self.path = path
        with handles.use() as dataset:
            self.grid = grid_of(dataset)
            rows, cols = dataset.block_shapes[band - 1]
            self.block_bytes = rows * cols * np.dtype(dataset.dtypes[band - 1]).itemsize
            self.in_strips = bool(cols >= dataset.width)
        self._handles = handles
        self._band = band
        self._rule = rule

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, after what is being read of it."""
        self._handles.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Read class ids (rows, cols); 255 for nodata, masked pixels and outside the raster.

        Raises:
            LabelError: a value is no class id from 0 to 255.
            RasterError: a block cannot be read.
        """
        labels = np.full((window.height, window.width), IGNORE_INDEX, dtype=np.uint8)
        inside = window.intersection(self.grid.window)
        if inside.pixels:
            labels[inside.slices(window)] = self._read_inside(inside, (inside.height, inside.width))
        return labels

    def read_as_written(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Values (rows, cols) as they are in the file, and where they are labels: `read` tells no 255 from nodata.

        Raises:
            LabelError, RasterError: see `read`.
        """
        shape = (window.height, window.width)
        values, valid = np.full(shape, IGNORE_INDEX, np.uint8), np.zeros(shape, np.bool_)
        inside = window.intersection(self.grid.window)
        if inside.pixels:
            part = inside.slices(window)
            values[part], valid[part] = self._values_inside(inside, (inside.height, inside.width))
        return values, valid

    def read_decimated(self, *, max_side: int) -> NDArray[np.uint8]:
        """Read the whole raster with its longer side at most `max_side` px: nearest pixels, or from overviews.

        Raises:
            LabelError: a value is no class id from 0 to 255.
            RasterError: a block cannot be read.
        """
        return self._read_inside(self.grid.window, decimated_shape(self.grid, max_side=max_side))

    def _read_inside(self, window: Window, shape: tuple[int, int]) -> NDArray[np.uint8]:
        values, valid = self._values_inside(window, shape)
        return np.where(valid, values, np.uint8(IGNORE_INDEX))

    def _values_inside(
        self, window: Window, shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        how: dict[str, Any] = {
            "window": rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height),
            "out_shape": shape,
            "resampling": Resampling.nearest,
        }
        with self._handles.use() as dataset, damage_is_an_error(f"{self.path}: cannot read {window}"):
            values = dataset.read(self._band, **how)
            masks = [dataset.read_masks(band, **how) for band in self._rule.masks]
            masks += [dataset.read(band, **how) for band in self._rule.alpha]
        valid = valid_pixels(values[None], nodata=self._rule.nodata)
        for mask in masks:
            valid &= mask != 0
        self._check_values(values, valid)
        return values.astype(np.uint8), valid

    def _check_values(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        if values.dtype == np.uint8:
            return
        wrong = valid & ((values < 0) | (values > IGNORE_INDEX))
        if wrong.any():
            raise LabelError(
                f"{self.path}: has the label {values[wrong][0]}, expected class ids from 0 to {IGNORE_INDEX}",
                hint="give the classes small numbers, or declare the value as nodata (gdal_edit -a_nodata)",
            )


def open_label_raster(path: str | Path) -> LabelRaster:
    """Open a raster whose pixel values are class ids: a palette is fine, nodata becomes 255.

    Returns:
        The labels; the caller closes them.

    Raises:
        RasterError: the file is missing or not a raster.
        LabelError: it has several bands or pixels that are not integers.
    """
    name = str(path)
    handles = Handles(name)
    try:
        with handles.use() as dataset:
            band, alpha = _label_band(name, dataset)
            dtype = dataset.dtypes[band - 1]
            rule = plan_validity(dataset, bands=[band], alpha=alpha, nodata="auto", dtype=dtype)
        return LabelRaster(name, handles, band=band, rule=rule)
    except BaseException:
        handles.close()
        raise


def _label_band(name: str, dataset: Any) -> tuple[int, list[int]]:
    """The one band with labels, and the alpha bands."""
    alpha = [i for i, color in enumerate(dataset.colorinterp, start=1) if color.name == "alpha"]
    bands = [i for i in range(1, dataset.count + 1) if i not in alpha]
    if len(bands) != 1:
        raise LabelError(
            f"{name}: has {len(bands)} bands, expected one band of class ids",
            hint="labels given as colours must be turned into class ids first",
        )
    dtype = np.dtype(dataset.dtypes[bands[0] - 1])
    if dtype.kind not in "iu":
        raise LabelError(
            f"{name}: has pixels of type {dtype}, expected integer class ids",
            hint=f"convert it first: gdal_translate -ot Byte {name} labels.tif",
        )
    return bands[0], alpha
