"""Which bands of a file are the channels that weights expect, and which files cannot be segmented at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsseg.errors import OptionError, RasterError

_CMYK = {"cyan", "magenta", "yellow", "black"}
_RGB = ("red", "green", "blue")
_NO_COLOR = ("gray", "undefined", "alpha", "palette")
"""Interpretations that say nothing about which part of the spectrum a band is."""
_COLORS = {
    **{name: name for name in (*_RGB, "nir", "swir", "mwir", "lwir", "tir", "pan", "coastal", "rededge")},
    **dict.fromkeys(("near infrared", "near-infrared", "near_infrared", "infrared", "ir"), "nir"),
    **dict.fromkeys(("red edge", "red-edge", "red_edge"), "rededge"),
    "panchromatic": "pan",
}
"""What bands are called in cards and in the descriptions of files, and the one name for each colour."""


@dataclass(frozen=True)
class FileBands:
    """What a file says about its bands, one entry per band.

    Attributes:
        path: the file, as the user named it.
        interpretations: GDAL's colour interpretations in lower case, such as `red`, `gray`, `alpha`, `palette`.
        dtypes: pixel types.
        cmyk: whether the colours are stored as cyan, magenta, yellow, black, even where GDAL shows red, green, blue.
        descriptions: names that somebody gave the bands, or "".
    """

    path: str
    interpretations: tuple[str, ...]
    dtypes: tuple[str, ...]
    cmyk: bool = False
    descriptions: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many bands there are, alpha included."""
        return len(self.interpretations)

    def of(self, interpretation: str) -> tuple[int, ...]:
        """The numbers of the bands with a colour interpretation."""
        return tuple(i for i, name in enumerate(self.interpretations, start=1) if name == interpretation)

    def color(self, band: int) -> str | None:
        """Which colour the file says a band is; None if it does not.

        A description counts more than an interpretation: GeoTIFF calls the first three bands red, green, blue
        whatever they are, unless somebody prevents it.
        """
        described = color_named(self.descriptions[band - 1]) if self.descriptions else None
        shown = self.interpretations[band - 1]
        return described or (None if shown in _NO_COLOR else shown)


@dataclass(frozen=True)
class BandChoice:
    """The bands that become channels, in order, the alpha bands that make pixels invalid, and what to tell the user.

    `warnings` say what may well be wrong, `notes` what is merely good to know.
    """

    bands: tuple[int, ...]
    alpha: tuple[int, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def file_bands(path: str, dataset: Any) -> FileBands:
    """Ask an open rasterio dataset about its bands."""
    return FileBands(
        path=path,
        interpretations=tuple(c.name.lower() for c in dataset.colorinterp),
        dtypes=tuple(dataset.dtypes),
        descriptions=tuple(text or "" for text in dataset.descriptions),
        cmyk=dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CMYK",
    )


def color_named(name: str) -> str | None:
    """The colour that a card or a description means; None if it names none."""
    return _COLORS.get(name.strip().lower())


def choose_bands(
    file: FileBands, *, bands: Sequence[int] | None, channels: int | None, names: Sequence[str] = ()
) -> BandChoice:
    """Pick the bands that become channels.

    Bands given explicitly are taken exactly, repeats allowed; an alpha band among them counts as data. Otherwise alpha
    is never a channel, and bands are found by the colours that the file says they are:

    * where it has each colour that the weights name, these bands are taken, whatever their order and number;
    * where it has some of them, and as many bands that say nothing as colours are left, those follow in order;
    * where neither holds, a file with the right number of bands is taken as it is, with a warning if it says something
      else than the weights; one with more is refused.

    Weights with three channels that name no colours are taken to mean red, green, blue.

    Args:
        file: what the file says about its bands.
        bands: band numbers from 1, or None.
        channels: how many channels are expected, or None for all bands but alpha.
        names: what the weights call them, such as `red` or `band 4`; empty if nobody knows.

    Raises:
        OptionError: `bands` is not a list of band numbers of the expected length.
        RasterError: the file has too few bands, too many to guess, or bands that cannot be segmented.
    """
    if bands is not None:
        chosen = _explicit(file, bands, channels, names)
        _check_kinds(file, chosen.bands)
        return chosen
    # First what no choice of bands can mend: a hint about --bands would lead nowhere.
    usable = tuple(band for band in range(1, file.count + 1) if band not in file.of("alpha"))
    _check_kinds(file, usable)
    return _implied(file, usable, channels, names)


def _explicit(
    file: FileBands, bands: Sequence[int], channels: int | None, names: Sequence[str]
) -> BandChoice:
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
    notes += tuple(
        f"{file.path}: band {band} is marked as {found} but taken as {wanted}, as --bands says"
        for band, found, wanted in _contradictions(file, bands, names)
    )
    alpha = tuple(band for band in file.of("alpha") if band not in bands)
    return BandChoice(tuple(bands), alpha, notes)


def _implied(
    file: FileBands, usable: tuple[int, ...], channels: int | None, names: Sequence[str]
) -> BandChoice:
    alpha = file.of("alpha")
    if not usable:
        raise RasterError(f"{file.path}: has no band besides alpha")
    wanted = len(usable) if channels is None else channels
    if len(usable) < wanted:
        raise _too_few(file, usable, wanted)
    if not any(map(color_named, names)) and wanted == 3:
        names = _RGB
    found = _by_color(file, usable, names) if len(names) == wanted else None
    if found is not None:
        return BandChoice(found, alpha, _choice_notes(file, found, usable, names))
    if len(usable) > wanted:
        raise _too_many(file, usable, wanted)
    return BandChoice(usable, alpha, warnings=_contradiction_warnings(file, usable, names))


def _by_color(file: FileBands, usable: Sequence[int], names: Sequence[str]) -> tuple[int, ...] | None:
    """The bands that the file says have the colours of `names`; None if it does not say, or says something else."""
    colors = [color_named(name) for name in names]
    marks = {band: file.color(band) for band in usable}
    of_color = {c: [band for band, mark in marks.items() if mark == c] for c in colors if c is not None}
    known = {color: bands[0] for color, bands in of_color.items() if len(bands) == 1 == colors.count(color)}
    left = [band for band in usable if band not in known.values()]
    blank = iter(left)
    missing = sum(color not in known for color in colors)
    if not known or (missing and (len(left) != missing or any(marks[band] for band in left))):
        return None
    return tuple(known[color] if color in known else next(blank) for color in colors)


def _choice_notes(
    file: FileBands, found: tuple[int, ...], usable: tuple[int, ...], names: Sequence[str]
) -> tuple[str, ...]:
    """Say which bands were taken, unless they are the only ones in the only order."""
    if found == usable:
        return ()
    told = f"{file.path}: takes bands {_listed(found)} as {', '.join(names)}, as the file says"
    silent = [str(band) for band in found if file.color(band) is None]
    return (told + (f" of all but {', '.join(silent)}" if silent else ""),)


def _contradictions(
    file: FileBands, bands: Sequence[int], names: Sequence[str]
) -> list[tuple[int, str, str]]:
    """(band, what the file calls it, what the weights call it) where both name a colour, and not the same."""
    marks = [(band, file.color(band), name) for band, name in zip(bands, names, strict=False)]
    return [(b, mark, name) for b, mark, name in marks if mark and color_named(name) not in (None, mark)]


def _contradiction_warnings(
    file: FileBands, usable: tuple[int, ...], names: Sequence[str]
) -> tuple[str, ...]:
    found = _contradictions(file, usable, names)
    if not found:
        return ()
    marked = ", ".join(f"band {band} as {mark}" for band, mark, _ in found)
    return (
        f"{file.path}: marks {marked}, but the weights expect {', '.join(names)}; the bands are taken in the file's"
        " order (--bands chooses another)",
    )


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
