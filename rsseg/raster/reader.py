"""Opening rasters and reading windows of them, from any thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray
from rasterio.enums import Resampling

from rsseg.errors import RasterError
from rsseg.raster.bands import BandChoice, choose_bands, file_bands
from rsseg.raster.env import damage_is_an_error, files_of
from rsseg.raster.grid import Grid, grid_of
from rsseg.raster.handles import Handles
from rsseg.raster.masks import Nodata, ValidityRule, plan_validity, valid_pixels
from rsseg.raster.pixels import Pixels
from rsseg.raster.source import RasterSource, SourceFacts
from rsseg.raster.sparse import fills_with, is_unwritten
from rsseg.tiling import Window

_WIDE = 2048
"""Strips up to this width, in pixels, are decoded for each window that needs them."""

LARGEST_BLOCK_BYTES = 256 * 2**20
"""Files with larger blocks are refused: each window would decode one of them as a whole."""


class FileSource(RasterSource):
    """The chosen bands of one open file, which has `count` bands; `band_notes` are those about the choice."""

    def __init__(
        self, path: str, handles: Handles, *, choice: BandChoice, rule: ValidityRule, dtype: str
    ) -> None:
        with handles.use() as dataset:
            unmasked = not rule.masks and not rule.alpha
            all_valid = unmasked and not rule.nodata and np.dtype(dtype).kind in "iu"
            facts = _facts(path, dataset, choice, dtype, all_valid=all_valid)
            self.count = int(dataset.count)
            self._skips = unmasked and fills_with(dataset, choice.bands, rule.nodata)
        self.band_notes = choice.notes
        self._handles = handles
        self._rule = rule
        # Alpha is read along with the bands: GDAL decodes all bands of a pixel-interleaved block together.
        self._stored = sorted({*choice.bands, *rule.alpha})
        self._channels = [self._stored.index(band) for band in choice.bands]
        self._alphas = [self._stored.index(band) for band in rule.alpha]
        super().__init__(facts)

    def close(self) -> None:
        """Close the file in all threads, after what they are reading."""
        self._handles.close()

    def read_decimated(self, *, max_side: int, window: Window | None = None) -> Pixels:
        """See `RasterSource`; of a window in the raster if one is given."""
        window = window or self.grid.window
        return self._read_inside(window, shape=decimated_shape(window, max_side=max_side))

    def _read_inside(self, window: Window, *, shape: tuple[int, int] | None = None) -> Pixels:
        """Read a window that lies in the raster, into (rows, cols) `shape` if given."""
        shape = shape or (window.height, window.width)
        plain = shape == (window.height, window.width)
        how = {
            "window": rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height),
            "resampling": Resampling.nearest if plain else Resampling.average,
        }
        with self._handles.use() as dataset, damage_is_an_error(f"{self.path}: cannot read {window}"):
            if self._skips and plain and is_unwritten(dataset, window, self.bands):
                nothing = np.zeros((len(self.bands), *shape), dtype=self.dtype)
                return Pixels(nothing, np.zeros(shape, dtype=np.bool_))
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
        bands = [dataset.read(band, out_shape=shape, **how) for band in self._stored]
        for index in set(self._alphas).difference(self._channels):
            bands[index] = bands[index] != 0  # another type could not hold its values
        return np.stack([band.astype(self.dtype) for band in bands])


def open_raster(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    channels: int | None = None,
    names: Sequence[str] = (),
    nodata: Nodata = "auto",
) -> FileSource:
    """Open a raster and check at once whether it can be segmented.

    Args:
        path: anything GDAL opens (a file, a VRT, /vsi..., a URL).
        bands: band numbers from 1 that become channels, exactly these, repeats allowed.
        channels: how many channels the weights expect; None takes all bands but alpha.
        names: what the weights call them, in order; see `choose_bands`.
        nodata: `auto` for the file's nodata values, None for none, or another value.

    Returns:
        The raster; the caller closes it.

    Raises:
        RasterError: the file is missing or not a raster, has the wrong bands (see `choose_bands`), complex, palette or
            CMYK pixels, or is stored as one giant block.
        OptionError: `bands` does not fit `channels`.
    """
    name = str(path)
    handles = Handles(name)
    try:
        with handles.use() as dataset:
            check_has_bands(name, dataset)
            choice = choose_bands(file_bands(name, dataset), bands=bands, channels=channels, names=names)
            _check_block_size(name, dataset)
            rule, dtype = _plan_reading(dataset, choice, nodata)
        return FileSource(name, handles, choice=choice, rule=rule, dtype=dtype)
    except BaseException:
        handles.close()
        raise


def _plan_reading(dataset: Any, choice: BandChoice, nodata: Nodata) -> tuple[ValidityRule, str]:
    """Which pixels are valid, and the pixel type that holds all channels."""
    dtype = str(np.result_type(*(dataset.dtypes[band - 1] for band in choice.bands)))
    rule = plan_validity(dataset, bands=choice.bands, alpha=choice.alpha, nodata=nodata, dtype=dtype)
    return rule, dtype


def _facts(path: str, dataset: Any, choice: BandChoice, dtype: str, *, all_valid: bool) -> SourceFacts:
    grid = grid_of(dataset)
    rows, cols = dataset.block_shapes[choice.bands[0] - 1]
    return SourceFacts(
        path=path,
        grid=grid,
        bands=choice.bands,
        dtype=dtype,
        files=files_of(dataset, path),
        notes=choice.notes + _georeference_notes(path, grid),
        warnings=choice.warnings,
        block_shape=(rows, cols),
        is_striped=cols > _WIDE and cols >= grid.width,
        all_valid=all_valid,
    )


def decimated_shape(area: Grid | Window, *, max_side: int) -> tuple[int, int]:
    """(rows, cols) of a raster, or a part of it, shrunk until its longer side is at most `max_side`; at least 1 x 1."""
    scale = min(1.0, max_side / max(area.width, area.height))
    return max(1, round(area.height * scale)), max(1, round(area.width * scale))


def check_has_bands(name: str, dataset: Any) -> None:
    """Refuse a file without bands, such as one that holds several rasters.

    Raises:
        RasterError: see above.
    """
    if dataset.count:
        return
    inner = dataset.subdatasets
    hint = f"it holds several rasters; name one of them, such as {inner[0]}" if inner else None
    raise RasterError(f"{name}: has no bands", hint=hint)


def _check_block_size(name: str, dataset: Any) -> None:
    """Refuse a file stored as one giant strip of all bands that lie together: memory would grow with the raster."""
    together = dataset.dtypes if dataset.profile.get("interleave") == "pixel" else dataset.dtypes[:1]
    rows, cols = dataset.block_shapes[0]
    size = rows * cols * sum(np.dtype(dtype).itemsize for dtype in together)
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
