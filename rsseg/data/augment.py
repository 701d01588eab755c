"""Random changes to samples that leave their labels true.

Shapes: C channels, H rows, W columns, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import OptionError

ORIENTATIONS = 8
"""Quarter turns times a flip: seen from above, all are equally likely."""


@dataclass(frozen=True, kw_only=True)
class JitterOptions:
    """How much light may change, in standard deviations of the scaled pixels.

    `contrast` multiplies by 1 +- it, `brightness` shifts all channels together, `colour` each channel by itself.
    """

    contrast: float = 0.25
    brightness: float = 0.25
    colour: float = 0.08

    def __post_init__(self) -> None:
        for name in ("contrast", "brightness", "colour"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise OptionError(f"{name} jitter is {value}; it must be at least 0 and below 1")


def turn(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn the last two axes into one of eight orientations; 0 changes nothing.

    Args:
        array: (..., H, W), square for odd quarter turns to keep the shape.
        orientation: 0 to 7; the quarter turns are `orientation % 4`, from 4 on after a left-right flip.
    """
    flipped = array[..., ::-1] if orientation >= 4 else array
    return np.rot90(flipped, orientation % 4, axes=(-2, -1))


def draw_light(
    rng: np.random.Generator, channels: int, *, options: JitterOptions
) -> tuple[np.float32, NDArray[np.float32]]:
    """Draw a change of light: scaled pixels become `gain * pixel + offset`.

    Returns:
        The gain and the offset of each channel (C,).
    """
    gain = 1 + options.contrast * rng.uniform(-1, 1)
    offset = options.brightness * rng.uniform(-1, 1) + options.colour * rng.uniform(-1, 1, size=channels)
    return np.float32(gain), offset.astype(np.float32)
