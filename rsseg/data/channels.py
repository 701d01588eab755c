"""What the channels of a data set are called in the card of its weights."""

from __future__ import annotations

from collections.abc import Iterable

from rsseg.errors import RasterError
from rsseg.raster import open_raster

RGB = ("red", "green", "blue")


def name_channels(images: Iterable[str], *, bands: tuple[int, ...] | None, count: int) -> tuple[str, ...]:
    """Name the channels: red, green, blue only where prediction would choose the same bands by itself.

    Args:
        images: the files that are read.
        bands: the bands that were chosen of each, from 1; None where the reader chose.
        count: how many channels that makes.

    Returns:
        `red`, `green`, `blue`, or `band N` with the numbers of the bands.
    """
    if count == 3 and (bands is None or all(_reader_choice(image) == bands for image in images)):
        return RGB
    return tuple(f"band {number}" for number in bands or range(1, count + 1))


def _reader_choice(image: str) -> tuple[int, ...] | None:
    """The bands that the reader takes for three channels if nobody says which."""
    try:
        with open_raster(image, channels=3) as source:
            return source.bands
    except RasterError:
        return None
