"""Lengths on a map, in its pixels or in metres on the ground."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from rsseg.errors import OptionError
from rsseg.raster.grid import Grid


@dataclass(frozen=True)
class Length:
    """So many pixels of whatever class map it is about, or metres on the ground, which are other pixels in each.

    Raises:
        OptionError: it is not above 0, or not finite.
    """

    value: float
    unit: Literal["px", "m"] = "px"

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise OptionError(f"a length of {self}; expected more than 0 and finite")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3`, `3px` or `0.5m`.

        Raises:
            OptionError: another form, or not above 0.
        """
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?(px|m|)", text)
        if match is None:
            raise OptionError(
                f"{text!r} is no length", hint="give pixels, such as 3, or metres, such as 0.5m"
            )
        return cls(float(match[1]), "m" if match[2] == "m" else "px")

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"

    @property
    def word(self) -> str:
        """The same in one word."""
        return f"{self.value:g}{self.unit}"

    def pixels(self, grid: Grid, path: Path) -> float:
        """How many pixels of a class map it is; `path` is how messages call the map.

        Raises:
            OptionError: it is in metres, and nothing says how large a pixel is.
        """
        if self.unit == "px":
            return self.value
        if grid.gsd_m is None:
            raise OptionError(
                f"{path}: nothing says how large a pixel is on the ground, so {self} is no number of pixels",
                hint="give the length in pixels, such as 3",
            )
        return self.value / grid.gsd_m
