"""What a user can choose about a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsseg.errors import OptionError
from rsseg.preprocess import Stretch
from rsseg.raster import CACHE_BYTES


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How to predict; `None` and `auto` are resolved once, before the run, from the weights' card and the machine.

    Args:
        tile: side of what the network reads, in pixels; `None`: the card's.
        halo: margin around what it decides, in pixels; `None`: the card's.
        batch_size: tiles a forward pass takes; `None`: 1 on a CPU, 8 on a GPU.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        bands: GDAL band numbers in the order of the card's bands; `None`: as the raster says.
        nodata: value that counts as missing; `auto`: the raster's own; `None`: no value does.
        stretch: maps other pixel types to the 8 bits that the weights were trained on.
        readers: threads that read.
        cache_bytes: GDAL's block cache.
        preview: also draw a picture of the result there.
        overwrite: replace existing output.

    Raises:
        OptionError: a number is out of range.
    """

    tile: int | None = None
    halo: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    bands: tuple[int, ...] | None = None
    nodata: float | Literal["auto"] | None = "auto"
    stretch: Stretch | None = None
    readers: int = 2
    cache_bytes: int = CACHE_BYTES
    preview: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("batch_size", 1, 1024),
            ("readers", 1, 256),
            ("cache_bytes", 2**20, 2**50),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise OptionError(f"{name.replace('_', '-')} is {value}; expected {least} to {most}")
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise OptionError(
                f"bands are {list(self.bands)}; bands count from 1", hint="for example --bands 3,2,1"
            )
