"""What a camera and its files do to an image: a soft lens, sensor noise, JPEG."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

NOISE: Final = 2.6
"""Standard deviation of the sensor noise, in grey levels; a third of it differs between the channels."""

QUALITY: Final = 88
"""JPEG quality on the scale of the Independent JPEG Group."""

_LUMA_STEPS: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEPS: Final = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)
"""ITU-T T.81 (1992), tables K.1 and K.2."""


def blur(rgb: Image) -> Image:
    """The lens: (1, 2, 1) / 4 both ways; the result lacks one pixel on each side. (3, rows, cols)."""
    rows = rgb[:, :-2] + rgb[:, 2:]
    rows += rgb[:, 1:-1]
    rows += rgb[:, 1:-1]
    both = rows[:, :, :-2] + rows[:, :, 2:]
    both += rows[:, :, 1:-1]
    both += rows[:, :, 1:-1]
    both *= np.float32(1 / 16)
    return both


def add_noise(rgb: Image, rng: np.random.Generator, *, white: Image) -> Image:
    """The sensor: mostly in all channels together, as demosaicking leaves it.

    Args:
        rgb: (3, rows, cols); changed in place.
        rng: chooses the parts of `white` to use.
        white: standard normal numbers, (more rows, more cols): drawing new ones for each pixel takes half as long as
            all the rest.
    """
    rows, cols = rgb.shape[1:]
    for channels, strength in ((slice(0, 3), NOISE), (slice(0, 1), NOISE / 3), (slice(2, 3), NOISE / 3)):
        row, col = rng.integers(white.shape[0] - rows), rng.integers(white.shape[1] - cols)
        rgb[channels] += white[row : row + rows, col : col + cols] * np.float32(strength)
    return rgb


def jpeg(rgb: Image) -> NDArray[np.uint8]:
    """What is left of an image after JPEG with halved chroma (ITU-T T.81, JFIF's YCbCr).

    Args:
        rgb: (3, rows, cols), both multiples of 16.

    Returns:
        uint8 (3, rows, cols).
    """
    red, green, blue = rgb
    luma = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    cb = _doubled(_rounded(_halved((blue - luma) * np.float32(0.564)), _steps(luma=False)))
    cr = _doubled(_rounded(_halved((red - luma) * np.float32(0.713)), _steps(luma=False)))
    luma = _rounded(luma - np.float32(128), _steps(luma=True)) + np.float32(128.5)
    out = np.empty(rgb.shape, dtype=np.float32)
    np.add(luma, np.float32(1.402) * cr, out=out[0])
    np.subtract(luma, np.float32(0.344136) * cb + np.float32(0.714136) * cr, out=out[1])
    np.add(luma, np.float32(1.772) * cb, out=out[2])
    return np.clip(out, 0, 255, out=out).astype(np.uint8)


def _rounded(plane: Image, steps: Image) -> Image:
    """Each block of 8 x 8 after its cosine coefficients were rounded to multiples of `steps`."""
    rows, cols = plane.shape
    dct = _cosines()
    blocks = plane.reshape(rows // 8, 8, cols // 8, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    coefficients: Image = np.asarray(dct @ blocks @ dct.T, dtype=np.float32)
    coefficients /= steps
    np.rint(coefficients, out=coefficients)
    coefficients *= steps
    rounded: Image = np.asarray(dct.T @ coefficients @ dct, dtype=np.float32)
    return rounded.reshape(rows // 8, cols // 8, 8, 8).transpose(0, 2, 1, 3).reshape(rows, cols)


def _halved(plane: Image) -> Image:
    """Means of 2 x 2 pixels."""
    pairs = plane[::2] + plane[1::2]
    return (pairs[:, ::2] + pairs[:, 1::2]) * np.float32(0.25)


def _doubled(plane: Image) -> Image:
    return np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)


@lru_cache(maxsize=1)
def _cosines() -> Image:
    """The orthonormal cosine transform of 8 numbers, (8, 8)."""
    k, n = np.arange(8)[:, None], np.arange(8)[None, :]
    matrix = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


@lru_cache(maxsize=2)
def _steps(*, luma: bool) -> Image:
    """The quantisation table of the chosen quality, (8, 8)."""
    table = np.array(_LUMA_STEPS if luma else _CHROMA_STEPS, dtype=np.float64)
    scale = 200 - 2 * QUALITY if QUALITY >= 50 else 5000 / QUALITY
    return np.clip(np.floor((table * scale + 50) / 100), 1, 255).astype(np.float32)
