"""Rasters as the weights want to see them; whatever does not fit is refused when they are opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import ElsewhereError, OptionError, RasterError
from rsseg.prediction.ground_size import SeenSize, seen_size
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.progress import Progress
from rsseg.prediction.scale import stretch_between
from rsseg.prediction.stages import map_ahead
from rsseg.preprocess import Percentiles, Scaling, Stretch
from rsseg.raster import (
    Area,
    CollarSource,
    Pixels,
    RasterSource,
    ResampledSource,
    StackedSource,
    checksum_pixels,
    empty_area,
    is_remote,
    open_area,
    open_raster,
    open_stacked,
)
from rsseg.tiling import Window
from rsseg.weights import WeightCard

_COLLAR_THREADS = 2
"""How many look for the collar; more wait for the one that joins what they see."""


class Imagery:
    """A raster as the network sees it, and what of it is wanted. Made by `open_imagery`; close it, best with `with`.

    Attributes:
        source: gives the pixels that the network sees.
        grid: the raster's own grid, on which all outputs lie.
        area: what of it is wanted, on the grid of `source`; None for all.

    Args:
        file: the raster as it is, which is closed with `source`; None where that is `source`.
        own_area: what is wanted, on the raster's own grid.
    """

    def __init__(
        self,
        source: RasterSource,
        *,
        stretch: Stretch | None,
        file: RasterSource | None = None,
        own_area: Area | None = None,
        collar: CollarSource | None = None,
        area: Area | None = None,
        settings: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.source = source
        self._file = file or source
        self.grid = self._file.grid
        self.area = area
        self._own_area = own_area or area
        self._stretch = stretch
        self._collar = collar
        self._settings = settings or {}
        self._notes = notes
        self._warnings = warnings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        self.source.close()

    @property
    def pixel_bytes(self) -> int:
        """Of one pixel that is read, all channels together; see `read`."""
        return 4 * len(self.source.bands) if self._stretch else self.source.pixel_bytes

    @property
    def files(self) -> tuple[str, ...]:
        """All files on disk that are read."""
        return self.source.files + (self.area.files if self.area else ())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about them, one sentence each."""
        return self.source.notes + self._notes + (self.area.notes if self.area else ())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may well be wrong with them, one sentence each."""
        return self.source.warnings + self._warnings

    def described(self) -> dict[str, Any]:
        """What decides the pixels besides the files themselves, in plain JSON; None for what is not asked for.

        `bands` are those of `source`, `extra` is the number of the first band that comes from the second file, `gsd`
        the ground size in metres to which the raster is resampled. Percentiles stand as they were asked for, so that
        the sheets of a series are described alike.
        """
        resampled = (self.source.grid.width, self.source.grid.height) != (self.grid.width, self.grid.height)
        return {
            "bands": list(self.source.bands),
            **self._settings,
            "gsd": self.source.grid.gsd_m if resampled else None,
        }

    def checksum(self) -> int | None:
        """A checksum of a few pixels where a file has no time of change, because it is remote; None where all have one.

        Raises:
            RasterError: a block cannot be read.
        """
        return checksum_pixels(self._file) if any(map(is_remote, self._file.files)) else None

    def read(self, window: Window) -> Pixels:
        """Read the pixels of a window; what lies outside of the raster is 0 and invalid.

        Raises:
            RasterError: a block cannot be read.
        """
        read = self.source.read(window)
        return Pixels(self._stretch.apply(read.data), read.valid) if self._stretch else read

    def wanted(self, window: Window) -> NDArray[np.bool_] | None:
        """Which pixels of a window (rows, cols) of `source` are to be decided; None for all of them.

        What is not wanted is seen nonetheless, and belongs to the context of the raster.
        """
        return self.area.inside(window) if self.area else None

    def valid(self, window: Window) -> NDArray[np.bool_] | None:
        """Which pixels of a window (rows, cols) of the raster itself are valid and wanted; None for all of them.

        Where the network sees other pixels, this is not what `read` and `wanted` say: one pixel that the network sees
        may lie over valid pixels and others.

        Raises:
            RasterError: a block cannot be read.
        """
        own = self._collar or self._file
        masks = [] if own.all_valid else [own.read(window).valid]
        if self._own_area is not None:
            masks.append(self._own_area.inside(window))
        return np.logical_and.reduce(masks) if masks else None

    def find_collar(self, folder: Path, on_progress: Progress) -> None:
        """Find the collar, where one is to be left out; from then on windows can be read.

        Args:
            folder: where the mask is kept, or waits since an earlier run.
            on_progress: is told the share done, from 0 to 1.

        Raises:
            RasterError: a block cannot be read.
            ResourceError: the disk does not take the mask.
        """
        if self._collar is not None:
            ahead = partial(map_ahead, threads=_COLLAR_THREADS, depth=2 * _COLLAR_THREADS)
            self._collar.find(folder, on_progress=on_progress, ahead=ahead)


def open_imagery(image: str | Path, card: WeightCard, options: PredictOptions) -> Imagery:
    """Open a raster whose bands and pixel type fit the weights; the caller closes it.

    Raises:
        RasterError: it cannot be opened or does not fit, or its pixels have no known size or no contrast where that is
            needed.
        OptionError: bands, stretch or collar do not fit the card or the raster.
        LabelError: the area of interest cannot be read.
    """
    with ExitStack() as opened:
        file = opened.enter_context(_open_files(image, card, options))
        _check_type(file, card.scaling, options.stretch)
        collar = _without_collar(file, options)
        stretch, notes = _stretch(file, card.scaling, options.stretch, collar=collar)
        size = seen_size(file.grid, options.gsd, card_gsd_m=card.gsd_m, path=file.path)
        own = collar or file
        source = _resized(own, size)
        own_area, elsewhere = _area(options.aoi, own)
        # What is wanted lies under pixels of the network that are touched; `valid` leaves out what lies there besides.
        area = own_area if source is own else _area(options.aoi, source, touched=True)[0]
        opened.pop_all()
    return Imagery(
        source,
        stretch=stretch,
        file=file,
        own_area=own_area,
        collar=collar,
        area=area,
        settings=_settings(file, options),
        notes=notes + size.notes,
        warnings=size.warnings + elsewhere,
    )


def _open_files(image: str | Path, card: WeightCard, options: PredictOptions) -> RasterSource:
    """The file, or the two files, with the bands that become channels."""
    if options.bands is not None and len(options.bands) != len(card.bands):
        raise OptionError(
            f"--bands names {len(options.bands)} bands, the weights expect {len(card.bands)}: {', '.join(card.bands)}"
        )
    bands, channels = options.bands or _bands_of_card(card), len(card.bands)
    if options.extra is None:
        return open_raster(image, bands=bands, channels=channels, names=card.bands, nodata=options.nodata)
    return open_stacked(
        image, options.extra, bands=bands, channels=channels, names=card.bands, nodata=options.nodata
    )


def _without_collar(file: RasterSource, options: PredictOptions) -> CollarSource | None:
    """The raster without the collar, which is seen in the first file alone: the second may be heights."""
    if options.collar is None:
        return None
    return CollarSource(file, options.collar, photo=file.first if isinstance(file, StackedSource) else None)


def _resized(file: RasterSource, size: SeenSize) -> RasterSource:
    """The raster in the size in which it is to be seen; itself where that is its own."""
    if (size.width, size.height) == (file.grid.width, file.grid.height):
        return file
    return ResampledSource(file, width=size.width, height=size.height)


def _area(
    aoi: str | Path | None, source: RasterSource, *, touched: bool = False
) -> tuple[Area | None, tuple[str, ...]]:
    """The area of interest, and a warning where it lies elsewhere: one may be given for all sheets of a series."""
    if aoi is None:
        return None, ()
    try:
        return open_area(aoi, grid=source.grid, touched=touched), ()
    except ElsewhereError:
        warning = f"{aoi}: none of its polygons meets {source.path}, whose map has no data then"
        return empty_area(aoi), (f"{warning}; if that is not meant, check the CRS of both files",)


def _settings(file: RasterSource, options: PredictOptions) -> dict[str, Any]:
    """What options say about the pixels; see `Imagery.described`."""
    return {
        "nodata": str(options.nodata).lower(),
        "scale": None if options.stretch is None else str(options.stretch),
        "extra": file.count + 1 if isinstance(file, StackedSource) else None,
        "collar": options.collar,
    }


def _bands_of_card(card: WeightCard) -> tuple[int, ...] | None:
    """The band numbers that a card names (`band 4`, `band 1`), where they are not just the first ones in order."""
    numbers = [re.fullmatch(r"band (\d+)", name) for name in card.bands]
    bands = tuple(int(match[1]) for match in numbers if match)
    return bands if len(bands) == len(numbers) and bands != tuple(range(1, len(bands) + 1)) else None


def _check_type(source: RasterSource, scaling: Scaling, scale: Stretch | Percentiles | None) -> None:
    """Refuse pixels of another type than the weights were trained on, unless the user says how they compare."""
    if scale is not None:
        if scaling.dtype != "uint8":
            raise OptionError(f"--scale maps to 8 bits, but these weights were trained on {scaling.dtype}")
        return
    both_float = source.dtype.startswith("float") and scaling.dtype.startswith("float")
    if source.dtype != scaling.dtype and not both_float:
        raise RasterError(
            f"{source.path}: holds {source.dtype} pixels, the weights were trained on {scaling.dtype}",
            hint="say which values are black and white: --scale MIN,MAX, or as percentiles: --scale p2-98"
            if scaling.dtype == "uint8"
            else f"convert the raster to {scaling.dtype}, or choose other weights",
        )


def _stretch(
    file: RasterSource,
    scaling: Scaling,
    scale: Stretch | Percentiles | None,
    *,
    collar: CollarSource | None,
) -> tuple[Stretch | None, tuple[str, ...]]:
    """The stretch that is asked for, in numbers, and what to tell the user about it."""
    notes: tuple[str, ...] = ()
    if scale is not None and file.dtype == scaling.dtype:
        notes = (f"{file.path}: holds {file.dtype} pixels, as the weights expect; --scale changes them",)
    if not isinstance(scale, Percentiles):
        return scale, notes
    stretch = stretch_between(file, scale, collar=collar)
    return stretch, (*notes, f"{file.path}: --scale {scale} is {stretch} (MIN,MAX of each band)")
