"""What a user can choose about a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsseg.errors import OptionError
from rsseg.preprocess import Stretch
from rsseg.raster import CACHE_BYTES

ContextKind = Literal["raster", "tile"]
"""What the attention of a tile attends to: the whole raster, or the tile itself."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How to predict; `None` and `auto` are resolved once, before the run, from the weights' card and the machine.

    Args:
        tile: side of what the network reads, in pixels; `None`: the card's.
        halo: margin around what it decides, in pixels; `None`: the card's.
        batch_size: tiles a forward pass takes; `None`: 1 on a CPU, 8 on a GPU.
        context: `raster` or `tile`; `None`: `raster` where one of the next three is given, else `tile`.
        context_sample: the share of the tiles from which the raster's context is taken, above 0; `None`: all.
        save_context: also write the raster's context there.
        use_context: take the context from there, and not from the raster.
        seam_check: predict some places where tiles meet once more, with shifted tiles, and compare.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        bands: GDAL band numbers in the order of the card's bands; `None`: as the raster says.
        nodata: value that counts as missing; `auto`: the raster's own; `None`: no value does.
        stretch: maps other pixel types to the 8 bits that the weights were trained on.
        readers: threads that read.
        cache_bytes: GDAL's block cache.
        preview: also draw a picture of the result there.
        overwrite: replace existing output.
        resume: go on with what an unfinished run of the same kind left; False starts anew.

    Raises:
        OptionError: a number is out of range, or options contradict one another.
    """

    tile: int | None = None
    halo: int | None = None
    batch_size: int | None = None
    context: ContextKind | None = None
    context_sample: float | None = None
    save_context: Path | None = None
    use_context: Path | None = None
    seam_check: bool = False
    device: str = "auto"
    precision: str = "auto"
    bands: tuple[int, ...] | None = None
    nodata: float | Literal["auto"] | None = "auto"
    stretch: Stretch | None = None
    readers: int = 2
    cache_bytes: int = CACHE_BYTES
    preview: Path | None = None
    overwrite: bool = False
    resume: bool = True

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
        self._check_context()

    def _check_context(self) -> None:
        if self.context not in (None, "raster", "tile"):
            raise OptionError(f"context is {self.context!r}; expected raster or tile")
        if self.context_sample is not None and not 0 < self.context_sample <= 1:
            raise OptionError(f"context-sample is {self.context_sample:g}; expected a share above 0, up to 1")
        wishes = self.context_wishes
        if self.context == "tile" and wishes:
            raise OptionError(f"{wishes[0]} is about the context of a raster, but --context is tile")
        if self.use_context is not None and len(wishes) > 1:
            raise OptionError(f"{wishes[0]} takes a context, --use-context takes none: choose one of them")

    @property
    def context_wishes(self) -> tuple[str, ...]:
        """Which options are given that are about the context of a raster, as the command line spells them."""
        given = {
            "--context-sample": self.context_sample,
            "--save-context": self.save_context,
            "--use-context": self.use_context,
        }
        return tuple(name for name, value in given.items() if value is not None)
