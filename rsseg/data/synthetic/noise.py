"""Randomness that depends only on a seed and a place, so that any part of the world can be made first."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

TABLE_PERIOD: Final = 1024
"""Side of a texture table, in pixels; textures repeat after it, so several are mixed."""


def place_rng(seed: int, *key: int) -> np.random.Generator:
    """A generator of its own for one thing at one place; `key` may hold negative numbers."""
    words = [seed, *(k & 0xFFFFFFFF for k in key)]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def hashed(seed: int, salt: int, i: NDArray[np.int64], j: NDArray[np.int64]) -> FloatArray:
    """Numbers in [0, 1), one for each pair of integers, in the shape of `i` and `j`.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (splitmix64), once for each of
    the two integers.
    """
    # At least one dimension: numpy warns when a single number wraps around, and never for arrays.
    shape = np.broadcast_shapes(np.shape(i), np.shape(j))
    start = np.uint64((seed * 64 + salt + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    a, b = (np.broadcast_to(n, shape).reshape(-1).astype(np.int64).astype(np.uint64) for n in (i, j))
    mixed = _mixed(_mixed(start + a) + b)
    values: FloatArray = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return values.reshape(shape)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: a permutation of the 64-bit numbers."""
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def smooth_noise(seed: int, salt: int, x: FloatArray, y: FloatArray) -> FloatArray:
    """Value noise in [-1, 1] with features one unit wide, at any points."""
    col, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = x - col, y - row
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    upper = hashed(seed, salt, col, row) * (1 - fx) + hashed(seed, salt, col + 1, row) * fx
    lower = hashed(seed, salt, col, row + 1) * (1 - fx) + hashed(seed, salt, col + 1, row + 1) * fx
    between: FloatArray = upper * (1 - fy) + lower * fy
    return 2 * between - 1


@lru_cache(maxsize=4)
def texture(seed: int, salt: int, *, slope: float, pad: int) -> NDArray[np.float32]:
    """A periodic texture with zero mean and unit deviation, amplitude falling as frequency ** -slope.

    Returns:
        (`TABLE_PERIOD` + pad, `TABLE_PERIOD` + pad) float32: the table and, to the right and below, its repetition,
        so that any window up to `pad` pixels wide is one slice.
    """
    side = TABLE_PERIOD
    white = place_rng(seed, 901, salt).standard_normal((side, side), dtype=np.float32)
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(white) * frequency**-slope, s=(side, side))
    field = ((field - field.mean()) / field.std()).astype(np.float32)
    return np.pad(field, ((0, pad), (0, pad)), mode="wrap")
