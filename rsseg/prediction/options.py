"""What a user can choose about a prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rsseg.errors import OptionError
from rsseg.preprocess import Percentiles, Stretch
from rsseg.raster import CACHE_BYTES

ContextKind = Literal["raster", "tile"]
"""What the attention of a tile attends to: the whole raster, or the tile itself."""

Blend = Literal["crop", "average"]
"""What decides a pixel: the tile that keeps it, or the average of all tiles that see it."""

Runtime = Literal["torch", "openvino", "onnxruntime"]
"""What runs the network."""

Augmentation = Literal["none", "flips", "d4"]
"""The views over which predictions are averaged: the image, its four flips, or also its quarter turns."""

Collar = Literal["white", "black"]
"""The colour of a frame around the imagery that nothing declares as missing."""


@dataclass(frozen=True)
class Threshold:
    """One of two classes, taken where its probability is at least `probability`, above 0 and below 1."""

    name: str
    probability: float

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise OptionError(
                f"threshold of {self.name} is {self.probability:g}; expected a probability between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How to predict; `None` and `auto` are resolved once, before the run, from the weights' card and the machine.

    Args:
        tile: side of what the network reads, in pixels; `None`: the card's, or with the context of the raster
            the largest that memory allows.
        halo: margin around what it decides, in pixels; `None`: what suits the tile.
        batch_size: tiles a forward pass takes; `None`: what suits the device.
        context: `raster` or `tile`; `None`: `raster` where one of the next three is given, else `tile`.
        context_sample: the share of the tiles from which the raster's context is taken, above 0; `None`: all.
        save_context: also write the raster's context there.
        use_context: take the context from there, and not from the raster.
        feature_cache: disk beside the output for the features of tiles between the passes of a raster's context, in
            bytes; `None`: a quarter of what is left there.
        blend: `crop` or `average`.
        seam_check: predict some places where tiles meet once more, with shifted tiles, and compare.
        tta: `none`, `flips` or `d4`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        runtime: `torch`, `openvino` or `onnxruntime`.
        compile: let torch compile the network.
        threads: threads of the processor; `None`: one to a core.
        readers: threads that read.
        cache_bytes: GDAL's block cache.
        max_memory: bound on the memory of this process, in bytes; `None`: a quarter of the machine's.
        bands: GDAL band numbers in the order of the card's bands; `None`: as the raster says.
        nodata: value that counts as missing; `auto`: the raster's own; `None`: no value does.
        stretch: maps other pixel types to the 8 bits that the weights were trained on.
        gsd: `native`, `auto` (the card's) or metres on the ground: the size of a pixel as the network sees it.
        collar: leave out what is white or black and hangs together with the raster's edge.
        aoi: vector file; nothing outside its polygons is decided.
        extra: a second raster on the same grid, whose bands follow the first's.
        threshold: decides between two classes; `None`: the more probable one.
        min_area: the smallest region that is kept, in pixels; smaller ones become part of what surrounds them.
        probabilities: also write the probabilities of all classes there.
        confidence: also write the probability of the decided class there.
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
    feature_cache: int | None = None
    blend: Blend = "crop"
    seam_check: bool = False
    tta: Augmentation = "none"
    device: str = "auto"
    precision: str = "auto"
    runtime: Runtime = "torch"
    compile: bool = False
    threads: int | None = None
    readers: int = 2
    cache_bytes: int = CACHE_BYTES
    max_memory: int | None = None
    bands: tuple[int, ...] | None = None
    nodata: float | Literal["auto"] | None = "auto"
    stretch: Stretch | Percentiles | None = None
    gsd: float | Literal["auto", "native"] = "native"
    collar: Collar | None = None
    aoi: str | Path | None = None
    extra: str | Path | None = None
    threshold: Threshold | None = None
    min_area: int = 0
    probabilities: Path | None = None
    confidence: Path | None = None
    preview: Path | None = None
    overwrite: bool = False
    resume: bool = True

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise OptionError(f"{_spelled(name)} is {value}; expected {least} to {most}")
        for name, kind in _CHOICES.items():
            _check_choice(name, getattr(self, name), get_args(kind))
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise OptionError(
                f"bands are {list(self.bands)}; bands count from 1", hint="for example --bands 3,2,1"
            )
        if isinstance(self.gsd, str):
            _check_choice("gsd", self.gsd, ("auto", "native"))
        elif not (math.isfinite(self.gsd) and self.gsd > 0):
            raise OptionError(f"gsd is {self.gsd:g}; expected metres above 0, auto or native")
        self._check_context()

    def _check_context(self) -> None:
        if self.context_sample is not None and not 0 < self.context_sample <= 1:
            raise OptionError(f"context-sample is {self.context_sample:g}; expected a share above 0, up to 1")
        wishes = self.context_wishes
        if self.context == "tile" and wishes:
            raise OptionError(f"{wishes[0]} is about the context of a raster, but --context is tile")
        if self.feature_cache is not None and self.context != "raster" and not wishes:
            raise OptionError(
                "--feature-cache is about the context of a raster, but tiles attend to themselves",
                hint="add --context raster, or leave --feature-cache out",
            )
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

    @property
    def layers(self) -> dict[str, Path]:
        """The rasters besides the class map that are written block by block, by name."""
        wanted = {"probabilities": self.probabilities, "confidence": self.confidence}
        return {name: path for name, path in wanted.items() if path is not None}

    @property
    def side_files(self) -> dict[str, Path]:
        """All that is written besides the class map, by the option that asks for it."""
        wanted = {name: getattr(self, name) for name in (*self.layers, "preview", "save_context")}
        return {f"--{_spelled(name)}": path for name, path in wanted.items() if path is not None}


_RANGES = (
    ("batch_size", 1, 1024),
    ("threads", 1, 1024),
    ("readers", 1, 256),
    ("cache_bytes", 2**20, 2**50),
    ("max_memory", 1, 2**50),
    ("feature_cache", 0, 2**60),
    ("min_area", 0, 2**31 - 1),
)
_CHOICES: dict[str, Any] = {
    "context": ContextKind,
    "blend": Blend,
    "tta": Augmentation,
    "runtime": Runtime,
    "collar": Collar,
}


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        listed = ", ".join(choices[:-1])
        raise OptionError(f"{_spelled(name)} is {value!r}; expected {listed} or {choices[-1]}")


def _spelled(name: str) -> str:
    """An option as the command line spells it."""
    return name.replace("_", "-")
