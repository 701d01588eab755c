"""Two files with exactly the same pixels on the ground, read as one raster with the bands of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rsseg.errors import OptionError, RasterError
from rsseg.raster.grid import check_same_grid
from rsseg.raster.masks import Nodata
from rsseg.raster.pixels import Pixels
from rsseg.raster.reader import FileSource, open_raster
from rsseg.raster.source import RasterSource, SourceFacts
from rsseg.tiling import Window


class StackedSource(RasterSource):
    """The bands of two files; closing it closes both.

    Bands of the second count on from the last one of the first. A pixel is valid where it is in both files.

    Attributes:
        first: the first file.
        count: how many bands it has.

    Args:
        first: one file.
        second: the other, on the same grid.
        order: for each channel, where it is among the channels of the first file followed by those of the second.
    """

    def __init__(self, first: FileSource, second: FileSource, *, order: Sequence[int]) -> None:
        self.first, self._second = first, second
        self.count = first.count
        self._order = list(order)
        numbers = [*first.bands, *(first.count + band for band in second.bands)]
        super().__init__(
            SourceFacts(
                path=first.path,
                grid=first.grid,
                bands=tuple(numbers[index] for index in order),
                dtype=str(np.result_type(first.dtype, second.dtype)),
                files=tuple(dict.fromkeys(first.files + second.files)),
                notes=first.notes + _notes_of_second(first, second),
                warnings=first.warnings + second.warnings,
                block_shape=(second if second.is_striped else first).block_shape,
                is_striped=first.is_striped or second.is_striped,
                all_valid=first.all_valid and second.all_valid,
            )
        )

    def close(self) -> None:
        """Close both files."""
        self.first.close()
        self._second.close()

    def read_decimated(self, *, max_side: int) -> Pixels:
        """See `RasterSource`."""
        return self._joined(*(s.read_decimated(max_side=max_side) for s in (self.first, self._second)))

    def _read_inside(self, window: Window) -> Pixels:
        return self._joined(self.first.read_once(window), self._second.read_once(window))

    def _joined(self, first: Pixels, second: Pixels) -> Pixels:
        bands = [*first.data, *second.data]
        data = np.stack([bands[index].astype(self.dtype, copy=False) for index in self._order])
        return Pixels(data, first.valid & second.valid)


def open_stacked(
    path: str | Path,
    extra: str | Path,
    *,
    bands: Sequence[int] | None,
    channels: int,
    names: Sequence[str] = (),
    nodata: Nodata = "auto",
) -> StackedSource:
    """Open two files on one grid as one raster.

    Args:
        path: the first file.
        extra: the second.
        bands: band numbers that become channels; those beyond the first file's bands (alpha counts, too) are the
            second's. None takes all bands of the second but alpha, and as many of the first as are left.
        channels: how many channels the weights expect.
        names: what they call them; see `choose_bands`.
        nodata: a value is taken for the first file only, because what is missing in a photo (0) may well be a height;
            the second has its own. None: no value counts in either.

    Returns:
        Both; the caller closes them.

    Raises:
        RasterError: one of them cannot be opened or does not fit; the grids differ.
        OptionError: `bands` does not fit, or leaves one of them unused.
    """
    if bands is None:
        return _open_implied(path, extra, channels=channels, names=names, nodata=nodata)
    counts = [_count(name) for name in (path, extra)]
    _check_numbers(bands, (path, extra), counts)
    picked = [[i for i, band in enumerate(bands) if (band > counts[0]) == second] for second in (False, True)]
    numbers = [[bands[i] for i in picked[0]], [bands[i] - counts[0] for i in picked[1]]]
    named = [[names[i] for i in part] if len(names) == len(bands) else [] for part in picked]
    return _stack(
        lambda: open_raster(path, bands=numbers[0], names=named[0], nodata=nodata),
        lambda: open_raster(extra, bands=numbers[1], names=named[1], nodata=_of_second(nodata)),
        order=[int(index) for index in np.argsort(picked[0] + picked[1])],
    )


def _open_implied(
    path: str | Path, extra: str | Path, *, channels: int, names: Sequence[str], nodata: Nodata
) -> StackedSource:
    with open_raster(extra) as file:
        of_second = len(file.bands)
    left = channels - of_second
    if left < 1:
        raise RasterError(
            f"{extra}: has {of_second} bands besides alpha, the weights expect {channels} with those of {path}",
            hint="choose the bands with --bands",
        )
    return _stack(
        lambda: open_raster(path, channels=left, names=names[:left], nodata=nodata),
        lambda: open_raster(extra, channels=of_second, names=names[left:], nodata=_of_second(nodata)),
        order=range(channels),
    )


def _stack(
    open_first: Callable[[], FileSource], open_second: Callable[[], FileSource], *, order: Sequence[int]
) -> StackedSource:
    """Open both and join them, or leave none of them open."""
    with ExitStack() as opened:
        first, second = opened.enter_context(open_first()), opened.enter_context(open_second())
        check_same_grid(first.grid, second.grid, what_a=first.path, what_b=second.path)
        stacked = StackedSource(first, second, order=order)
        opened.pop_all()
    return stacked


def _count(path: str | Path) -> int:
    """How many bands a file has, alpha included."""
    with open_raster(path, bands=[1]) as file:
        return file.count


def _check_numbers(bands: Sequence[int], paths: Sequence[str | Path], counts: Sequence[int]) -> None:
    """Refuse numbers that neither file has, and numbers of one of them only."""
    first, total = counts[0], sum(counts)
    told = f"{paths[0]} has bands 1 to {first}, {paths[1]} the bands {first + 1} to {total}"
    if max(bands) > total:
        raise RasterError(f"--bands asks for band {max(bands)}; {told}")
    if max(bands) <= first or min(bands) > first:
        unused = paths[max(bands) <= first]
        raise OptionError(f"--bands names no band of {unused}; {told}", hint="leave --extra or --bands out")


def _of_second(nodata: Nodata) -> Nodata:
    return None if nodata is None else "auto"


def _notes_of_second(first: FileSource, second: FileSource) -> tuple[str, ...]:
    """What is to be said of the second file; that it lies nowhere means something else than of the first."""
    if second.grid.georeferenced() or not first.grid.georeferenced():
        return second.band_notes
    told = f"{second.path}: has no georeference; its pixels are taken to lie upon those of {first.path}"
    return (*second.band_notes, told)
