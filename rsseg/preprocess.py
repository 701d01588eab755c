"""From pixels to the numbers a network sees: one code for training and prediction.

All numbers come from the weights' card, never from an option, because a difference between training and
prediction is the commonest silent error in this field.

Shapes: N samples, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

MAX_BANDS = 1024
"""Imaging spectrometers have a few hundred; a slip of the keyboard must not ask for all memory."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Mean and standard deviation of ImageNet on the scale 0 to 255, red, green, blue."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How pixel values become network input: `(pixel - mean) / std`, one pair per channel.

    `dtype` is the pixel type the numbers were made for (`uint8`, `uint16`, `float32`, ...).

    Raises:
        WeightsError: lengths differ or a standard deviation is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise WeightsError(f"scaling has {len(self.mean)} means and {len(self.std)} standard deviations")
        if not all(0 < s < math.inf for s in self.std) or not all(map(math.isfinite, self.mean)):
            raise WeightsError(f"scaling has mean {self.mean}, std {self.std}; expected numbers, std above 0")

    @property
    def channels(self) -> int:
        """How many channels it scales."""
        return len(self.mean)

    def apply(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Scale a batch on the device where it lies; invalid pixels become 0.

        Args:
            pixels: (N, C, H, W), any real type.
            valid: (N, H, W) bool, True where the pixel counts.

        Returns:
            float32 (N, C, H, W).

        Raises:
            ValueError: the pixels have another number of channels.
        """
        if pixels.shape[1] != self.channels:
            raise ValueError(f"pixels have {pixels.shape[1]} channels; the scaling is for {self.channels}")
        # Cards are read before torch is needed: a refusal must not wait for its import.
        import torch

        mean = torch.tensor(self.mean, dtype=torch.float32, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float32, device=pixels.device).view(1, -1, 1, 1)
        # In place: new memory for every step costs more than the arithmetic.
        scaled = pixels.to(torch.float32, copy=True).sub_(mean).div_(std)
        # To look first is quicker on a CPU; elsewhere it would wait for the device.
        if scaled.device.type == "cpu" and bool(valid.all()):
            return scaled
        return scaled.masked_fill_(~valid.unsqueeze(1), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"mean": list(self.mean), "std": list(self.std), "dtype": self.dtype}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Scaling:
        """The inverse of `to_dict`."""
        return cls(
            mean=tuple(float(v) for v in row["mean"]),
            std=tuple(float(v) for v in row["std"]),
            dtype=str(row["dtype"]),
        )


@dataclass(frozen=True)
class Stretch:
    """Maps pixel values from `minimum`..`maximum` to 0..255, for weights that were trained on 8-bit imagery.

    Both are one number for all bands, or one per band. Only a user can know them, so they are never guessed from the
    pixels unless a user asks for it (`Percentiles`).

    Raises:
        OptionError: a range is empty.
    """

    minimum: float | tuple[float, ...]
    maximum: float | tuple[float, ...]

    def __post_init__(self) -> None:
        for low, high in self.pairs:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise OptionError(
                    f"scale is {low:g},{high:g}; expected two numbers, the first below the second"
                )

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """(minimum, maximum) of each band, or the one pair of all."""
        low, high = (v if isinstance(v, tuple) else (v,) for v in (self.minimum, self.maximum))
        return tuple(zip(low, high, strict=True))

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Stretch values; what lies outside the range is clipped to it, NaN becomes 0.

        Args:
            pixels: (bands, rows, cols); any shape where one pair is for all.
        """
        low, high = np.array(self.pairs).T.reshape(2, -1, 1, 1) if len(self.pairs) > 1 else self.pairs[0]
        share = (pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low)
        stretched: NDArray[np.float32] = np.nan_to_num(np.clip(share, 0.0, 1.0) * np.float32(255.0))
        return stretched

    def __str__(self) -> str:
        """As the command line spells it: `0,4095`, pairs of bands apart by semicolons."""
        return ";".join(",".join(map(short, pair)) for pair in self.pairs)


def short(value: float) -> str:
    """A number as a person would write it, and exactly."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Percentiles:
    """Asks for the `Stretch` between two percentiles of a raster's valid pixels, 0 to 100.

    Raises:
        OptionError: the range is empty.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise OptionError(f"scale is {self}; expected two percentiles from 0 to 100, such as p2-98")

    def __str__(self) -> str:
        """As the command line spells it: `p2-98`."""
        return f"p{short(self.low)}-{short(self.high)}"


def check_bands(bands: int) -> None:
    """Refuse a number of bands that no image has.

    Raises:
        OptionError: it is below 1 or above `MAX_BANDS`.
    """
    if not 1 <= bands <= MAX_BANDS:
        raise OptionError(
            f"bands is {bands}; expected 1 to {MAX_BANDS}", hint="say how many bands an image has"
        )


def default_scaling(channels: int, *, dtype: str = "uint8") -> Scaling:
    """The scaling of new weights: ImageNet's for three 8-bit channels, otherwise the middle of the type's range.

    Raises:
        OptionError: see `check_bands`.
    """
    check_bands(channels)
    if dtype == "uint8" and channels == 3:
        return Scaling(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    middle, spread = {"uint8": (118.0, 58.0), "uint16": (2000.0, 1500.0)}.get(dtype, (0.0, 1.0))
    return Scaling(mean=(middle,) * channels, std=(spread,) * channels, dtype=dtype)
