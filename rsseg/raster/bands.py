"""Which bands of a file are the channels that weights expect, and which files cannot be segmented at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsseg.errors import OptionError, RasterError

_CMYK = {"cyan", "magenta", "yellow", "black"}
_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class FileBands:
    """What a file says about its bands, one entry per band.

    Attributes:
        path: the file, as the user named it.
        interpretations: GDAL's colour interpretations in lower case, such as `red`, `gray`, `alpha`, `palette`.
        dtypes: pixel types.
        cmyk: whether the colours are stored as cyan, magenta, yellow, black, even where GDAL shows red, green, blue.
    """

    path: str
    interpretations: tuple[str, ...]
    dtypes: tuple[str, ...]
    cmyk: bool = False

    @property
    def count(self) -> int:
        """How many bands there are, alpha included."""
        return len(self.interpretations)

    def of(self, interpretation: str) -> tuple[int, ...]:
        """The numbers of the bands with a colour interpretation."""
        return tuple(i for i, name in enumerate(self.interpretations, start=1) if name == interpretation)


@dataclass(frozen=True)
class BandChoice:
    """The bands that become channels, in order, the alpha bands that make pixels invalid, and what to tell the user."""

    bands: tuple[int, ...]
    alpha: tuple[int, ...]
    notes: tuple[str, ...] = ()


def file_bands(path: str, dataset: Any) -> FileBands:
    """Ask an open rasterio dataset about its bands."""
    return FileBands(
        path=path,
        interpretations=tuple(c.name.lower() for c in dataset.colorinterp),
        dtypes=tuple(dataset.dtypes),
        cmyk=dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CMYK",
    )


def choose_bands(file: FileBands, *, bands: Sequence[int] | None, channels: int | None) -> BandChoice:
    """Pick the bands that become channels.

    Bands given explicitly are taken exactly, repeats allowed; an alpha band among them counts as data. Otherwise
    alpha is never a channel, a file with the right number of bands is taken as it is, and of more bands red, green
    and blue are taken if three channels are expected and the file says which they are.

    Args:
        file: what the file says about its bands.
        bands: band numbers from 1, or None.
        channels: how many channels are expected, or None for all bands but alpha.

    Raises:
        OptionError: `bands` is not a list of band numbers of the expected length.
        RasterError: the file has too few bands, too many to guess, or bands that cannot be segmented.
    """
    if bands is not None:
        chosen = _explicit(file, bands, channels)
        _check_kinds(file, chosen.bands)
        return chosen
    # First what no choice of bands can mend: a hint about --bands would lead nowhere.
    usable = tuple(band for band in range(1, file.count + 1) if band not in file.of("alpha"))
    _check_kinds(file, usable)
    return _implied(file, usable, channels)


def _explicit(file: FileBands, bands: Sequence[int], channels: int | None) -> BandChoice:
    if not bands or min(bands) < 1:
        raise OptionError(f"--bands is {_listed(bands)!r}; expected band numbers from 1, such as 3,2,1")
    if channels is not None and len(bands) != channels:
        raise OptionError(f"--bands names {_count(len(bands), 'band')}, the weights expect {channels}")
    if max(bands) > file.count:
        raise RasterError(
            f"{file.path}: has {_count(file.count, 'band')}, --bands asks for band {max(bands)}",
            hint="band numbers count from 1",
        )
    as_data = sorted(set(bands) & set(file.of("alpha")))
    notes = tuple(
        f"{file.path}: band {band} is marked as alpha but taken as data, as --bands says" for band in as_data
    )
    alpha = tuple(band for band in file.of("alpha") if band not in bands)
    return BandChoice(tuple(bands), alpha, notes)


def _implied(file: FileBands, usable: tuple[int, ...], channels: int | None) -> BandChoice:
    alpha = file.of("alpha")
    if not usable:
        raise RasterError(f"{file.path}: has no band besides alpha")
    wanted = len(usable) if channels is None else channels
    if len(usable) < wanted:
        raise _too_few(file, usable, wanted)
    rgb = tuple(band for color in _RGB for band in file.of(color))
    if wanted == 3 and len(rgb) == 3 and set(file.interpretations) >= set(_RGB):
        return BandChoice(rgb, alpha, _rgb_notes(file, rgb, usable))
    if len(usable) > wanted:
        raise _too_many(file, usable, wanted)
    return BandChoice(usable, alpha)


def _rgb_notes(file: FileBands, rgb: tuple[int, ...], usable: tuple[int, ...]) -> tuple[str, ...]:
    """Say which bands were taken, unless they are the only ones in the only order."""
    if rgb == usable:
        return ()
    return (f"{file.path}: takes bands {_listed(rgb)} as red, green, blue, as the file says",)


def _check_kinds(file: FileBands, bands: Sequence[int]) -> None:
    """Refuse pixels that are not measurements of brightness."""
    kinds = {file.interpretations[band - 1] for band in bands}
    if file.cmyk or kinds & _CMYK:
        raise RasterError(
            f"{file.path}: has CMYK colours (for print), expected brightness values such as RGB",
            hint=f"convert it first: gdal_translate -b 1 -b 2 -b 3 {file.path} rgb.tif",
        )
    if "palette" in kinds:
        raise RasterError(
            f"{file.path}: has a colour palette: its values are entries of a table, expected brightness values",
            hint=f"expand it first: gdal_translate -expand rgb {file.path} rgb.tif (or -expand gray)",
        )
    dtypes = {file.dtypes[band - 1] for band in bands}
    strange = sorted(name for name in dtypes if "complex" in name)
    if strange:
        raise RasterError(
            f"{file.path}: has complex numbers ({strange[0]}), expected real ones",
            hint="write the amplitude into a raster of its own first, for example with gdal_calc",
        )


def _too_few(file: FileBands, usable: Sequence[int], wanted: int) -> RasterError:
    message = f"{file.path}: has {_with_alpha(file, usable)}, the weights expect {wanted}"
    if len(usable) == 1:
        repeated = _listed([usable[0]] * wanted)
        return RasterError(message, hint=f"--bands {repeated} uses the same band for every channel")
    return RasterError(message, hint="choose the bands with --bands, or weights trained on fewer bands")


def _too_many(file: FileBands, usable: Sequence[int], wanted: int) -> RasterError:
    return RasterError(
        f"{file.path}: has {_with_alpha(file, usable)}, the weights expect {wanted}",
        hint=f"choose the bands with --bands, such as --bands {_listed(usable[:wanted])}",
    )


def _with_alpha(file: FileBands, usable: Sequence[int]) -> str:
    return _count(len(usable), "band") + (" besides alpha" if len(usable) < file.count else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _listed(bands: Sequence[int]) -> str:
    return ",".join(map(str, bands))
