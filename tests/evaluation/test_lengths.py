"""Lengths in pixels and in metres."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsseg.errors import OptionError
from rsseg.evaluation.lengths import Length
from rsseg.raster.grid import Grid, north_up_grid


@pytest.mark.parametrize(
    ("text", "length", "word"),
    [
        ("3", Length(3), "3px"),
        ("3px", Length(3), "3px"),
        ("0.5m", Length(0.5, "m"), "0.5m"),
        ("50 m", Length(50, "m"), "50m"),
        (".25m", Length(0.25, "m"), "0.25m"),
    ],
)
def test_lengths_are_read_and_written(text: str, length: Length, word: str) -> None:
    assert Length.parse(text) == length
    assert length.word == word
    assert Length.parse(str(length)) == length


@pytest.mark.parametrize("text", ["", "m", "3km", "-3", "0", "0m", "1e3", "nan", "3 px m"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="length"):
        Length.parse(text)


def test_metres_are_pixels_of_a_grid() -> None:
    grid = north_up_grid(10, 10, west=350_000, north=3_060_000, gsd_m=0.25, epsg=32645)

    assert Length(2, "m").pixels(grid, Path("map.tif")) == pytest.approx(8)
    assert Length(2).pixels(grid, Path("map.tif")) == 2


def test_metres_of_a_raster_without_a_place_are_refused() -> None:
    with pytest.raises(OptionError, match=r"map\.tif: nothing says how large a pixel is"):
        Length(2, "m").pixels(Grid(10, 10), Path("map.tif"))
