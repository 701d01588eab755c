"""Random changes to samples that leave their labels true: what is drawn for each of them.

Here changes are only drawn, from the sample's own generator; `rsseg.training.augmentation` makes them, on the device.
Flips and quarter turns alone are made where samples are read.

Law: the generator moves on by the same draws whatever the options, so one option does not change what others do.

Shapes: C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.data.options import BEST_JPEG, AugmentOptions
from rsseg.errors import OptionError

ORIENTATIONS = 8
"""Quarter turns times a flip: seen from above, all are equally likely."""

ROUGH_SHARE = 0.3
"""The share of samples that are blurred; the same holds for noise and for compression, each by itself."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was drawn for one sample.

    `zoom`: how many pixels of the raster one of the sample's is wide; `angle` in degrees, anticlockwise. Scaled pixels
    become `gain * pixel + offset` (C,). 0 for `blur`, `noise` and `quality` means none; `dropped` is a channel, or -1.
    `seed` is for the noise, which is drawn on the device.
    """

    zoom: float
    angle: float
    gain: float
    offset: tuple[float, ...]
    blur: float
    noise: float
    quality: int
    dropped: int
    seed: int

    @property
    def is_warp(self) -> bool:
        """Whether pixels come to lie between pixels."""
        return self.zoom != 1 or self.angle != 0

    def read_side(self, window: int) -> int:
        """The side of the square, in pixels of the raster, that holds a sample of this side and all it is made of.

        Law: it is odd where the window is, so squares of all changes lie about one middle.
        """
        if not self.is_warp:
            return window
        radians = math.radians(self.angle)
        spanned = window * self.zoom * (abs(math.cos(radians)) + abs(math.sin(radians))) + 1
        return window + 2 * math.ceil((spanned - window) / 2)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What of a sample comes from a second one: a rectangle in shares of its side, or the pixels of some classes.

    `top`, `left`, `bottom`, `right` are from 0 to 1. With `classes`, class ids, only their pixels are taken.
    """

    top: float = 0.0
    left: float = 0.0
    bottom: float = 1.0
    right: float = 1.0
    classes: tuple[int, ...] = ()


def check_augment(
    options: AugmentOptions, *, channels: int, dtype: str, classes: ClassTable
) -> tuple[int, ...]:
    """Refuse changes that such images cannot have.

    Args:
        options: what is asked for.
        channels: of the images.
        dtype: their pixel type, such as `uint8`.
        classes: what `paste_classes` name.

    Returns:
        The ids of the classes that are pasted.

    Raises:
        OptionError: JPEG of anything but three 8-bit channels, a lack of the only channel, or an unknown class.
    """
    if options.jpeg and (channels, dtype) != (3, "uint8"):
        raise OptionError(
            f"augment.jpeg is {options.jpeg}, but images have {channels} channels of {dtype}; JPEG holds 3 of uint8",
            hint="leave augment.jpeg out",
        )
    if options.drop_band and channels == 1:
        raise OptionError(
            f"augment.drop_band is {options.drop_band}, but images have one channel; expected two or more",
            hint="leave augment.drop_band out",
        )
    for name in options.paste_classes:
        if name not in classes.names:
            raise OptionError(
                f"augment.paste_classes hold {name!r}, which is no class of the data",
                hint=f"classes are {', '.join(classes.names)}",
            )
    return tuple(classes.names.index(name) for name in options.paste_classes)


def turn(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn the last two axes into one of eight orientations; 0 changes nothing.

    Args:
        array: (..., H, W), square for odd quarter turns to keep the shape.
        orientation: 0 to 7; the quarter turns are `orientation % 4`, from 4 on after a left-right flip.
    """
    flipped = array[..., ::-1] if orientation >= 4 else array
    return np.rot90(flipped, orientation % 4, axes=(-2, -1))


def draw_orientation(rng: np.random.Generator, turns: str) -> int:
    """Draw an orientation for `turn`."""
    number = int(rng.integers(ORIENTATIONS))
    return {"all": number, "mirror": 4 * (number % 2), "none": 0}[turns]


def draw_change(rng: np.random.Generator, channels: int, *, options: AugmentOptions) -> Change:
    """Draw a change."""
    size, angle, gain, shift = rng.uniform(-1, 1, size=4)
    colours = rng.uniform(-1, 1, size=channels)
    chosen, strength = rng.random((2, 3))
    blur, noise, jpeg = np.where(chosen < ROUGH_SHARE, strength, 0.0)
    drop, dropped = rng.random(2)
    seed = rng.integers(2**31)
    return Change(
        zoom=float(options.zoom**size),
        angle=float(options.rotation * angle),
        gain=float(1 + options.contrast * gain),
        offset=tuple((options.brightness * shift + options.colour * colours).tolist()),
        blur=float(options.blur * blur),
        noise=float(options.noise * noise),
        quality=round(BEST_JPEG - (BEST_JPEG - options.jpeg) * jpeg) if options.jpeg and jpeg else 0,
        dropped=int(channels * dropped) if drop < options.drop_band else -1,
        seed=int(seed),
    )


def draw_mix(rng: np.random.Generator, *, options: AugmentOptions, paste_ids: tuple[int, ...]) -> Mix | None:
    """Draw what comes from a second sample; None where nothing does.

    A rectangle has the sides of CutMix: its share of the area is uniform between 0 and 1, its middle anywhere.
    """
    kind, area, row, col = rng.random(4)
    if kind < options.cutmix:
        half = math.sqrt(area) / 2
        return Mix(
            top=max(0.0, row - half),
            left=max(0.0, col - half),
            bottom=min(1.0, row + half),
            right=min(1.0, col + half),
        )
    if kind < options.cutmix + options.paste:
        return Mix(classes=paste_ids)
    return None
