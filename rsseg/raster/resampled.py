"""A raster at another pixel size, over the same ground.

Coarser pixels are averages over the ground they cover, as a sensor of that size would have seen it. Finer ones are
drawn between the middles of the pixels around them (bilinear). All positions are whole numbers (pixel `i` of `target`
covers `i * source` to `(i + 1) * source` in units of 1 / `target` of a pixel of the file), so what a pixel becomes
does not depend on the window that is read. What is invalid counts for nothing; a pixel is valid where the pixel of the
file under its middle is.

GDAL's warped VRT is not used: decisions/0010 says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.raster.pixels import Pixels
from rsseg.raster.source import RasterSource
from rsseg.tiling import Window

CHUNK_BYTES = 24 * 2**20
"""Bound on the pixels of the file that are held at a time; a row of output pixels may need more."""


class ResampledSource(RasterSource):
    """Another raster, seen in `width` x `height` pixels; closing it closes the other.

    A raster in strips is read in swaths of the new pixels, for which each strip is decoded once.
    """

    def __init__(self, base: RasterSource, *, width: int, height: int) -> None:
        self._base = base
        self._cols = _Axis(base.grid.width, width)
        self._rows = _Axis(base.grid.height, height)
        rows, cols = base.block_shape
        super().__init__(
            replace(
                base.facts,
                grid=base.grid.resized(width, height),
                block_shape=(self._rows.scaled(rows), self._cols.scaled(cols)),
            )
        )

    def close(self) -> None:
        """Close the other raster."""
        self._base.close()

    def read_decimated(self, *, max_side: int) -> Pixels:
        """See `RasterSource`; this shows the raster in its own proportions, not in those of the new pixels."""
        return self._base.read_decimated(max_side=max_side)

    def _read_inside(self, window: Window) -> Pixels:
        parts = [self._read_chunk(Window.of(window.cols, rows)) for rows in self._chunks(window)]
        if len(parts) == 1:
            return parts[0]
        data = np.concatenate([part.data for part in parts], axis=1)
        return Pixels(data, np.concatenate([part.valid for part in parts]))

    def _chunks(self, window: Window) -> list[range]:
        """The rows of a window in parts for which not too much of the file is held."""
        row_bytes = len(self._cols.needed(window.cols)) * self._base.pixel_bytes
        rows = max(1, CHUNK_BYTES // row_bytes * self._rows.target // self._rows.source)
        edges = [*range(window.rows.start, window.rows.stop, rows), window.rows.stop]
        return [range(first, stop) for first, stop in pairwise(edges)]

    def _read_chunk(self, window: Window) -> Pixels:
        needed = Window.of(self._cols.needed(window.cols), self._rows.needed(window.rows))
        pixels = self._base.read_once(needed)
        rows, cols = self._rows.taps(window.rows), self._cols.taps(window.cols)
        valid = pixels.valid[np.ix_(rows.middles, cols.middles)]
        data = np.empty((len(pixels.data), window.height, window.width), dtype=self.dtype)
        weights = None if pixels.valid.all() else _Validity(pixels.valid, rows, cols)
        for band, out in zip(pixels.data, data, strict=True):
            mixed = _mix(band, rows, cols) if weights is None else weights.mix(band)
            out[...] = _as_type(mixed, out.dtype)
        data[:, ~valid] = 0
        return Pixels(data, valid)


@dataclass(frozen=True)
class _Taps:
    """What pixels along one axis are made of: (T, n) positions in what was read and their weights.

    `middles` (n) are the pixels under the middles.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float64]
    middles: NDArray[np.int64]


@dataclass(frozen=True)
class _Axis:
    """One axis, `source` pixels long in the file and `target` pixels long here."""

    source: int
    target: int

    def scaled(self, length: int) -> int:
        """A length in the file in new pixels, at least one."""
        return max(1, round(length * self.target / self.source))

    def needed(self, pixels: range) -> range:
        """The pixels of the file that some new ones are made of."""
        positions, _ = self._taps(np.array([pixels.start, pixels.stop - 1]))
        return range(int(positions.min()), int(positions.max()) + 1)

    def taps(self, pixels: range) -> _Taps:
        """What new pixels are made of, counted from the first pixel that they need."""
        index = np.arange(pixels.start, pixels.stop, dtype=np.int64)
        positions, weights = self._taps(index)
        first = positions.min()
        middles = (2 * index + 1) * self.source // (2 * self.target)
        return _Taps(positions - first, weights, middles - first)

    def _taps(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        steps, weights = self._average(index) if self.source >= self.target else self._between(index)
        used = np.where(weights > 0, steps, steps[:1])
        return np.clip(used, 0, self.source - 1), weights

    def _average(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Each pixel by how much of it is covered."""
        start, stop = index * self.source, (index + 1) * self.source
        most = -(-self.source // self.target) + 1
        positions = start // self.target + np.arange(most)[:, None]
        covered = np.minimum(stop, (positions + 1) * self.target) - np.maximum(start, positions * self.target)
        return positions, np.maximum(covered, 0) / self.source

    def _between(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The two pixels on whose middles' line this middle lies, by nearness; beyond the last one, that one."""
        whole = 2 * self.target
        first, rest = np.divmod((2 * index + 1) * self.source - self.target, whole)
        return first + np.arange(2)[:, None], np.stack([whole - rest, rest]) / whole


class _Validity:
    """Averages over valid pixels only; where all are valid they are those of `_mix` to the last bit."""

    def __init__(self, valid: NDArray[np.bool_], rows: _Taps, cols: _Taps) -> None:
        self._valid, self._rows, self._cols = valid, rows, cols
        weight = _mix(valid, rows, cols)
        whole = _mix(np.ones_like(valid), rows, cols)
        self._touched = weight != whole
        self._weight = weight[self._touched]

    def mix(self, band: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Average a band; 0 where nothing is valid."""
        mixed = _mix(np.where(self._valid, band, band.dtype.type(0)), self._rows, self._cols)
        known = mixed[self._touched]
        mixed[self._touched] = np.divide(
            known, self._weight, out=np.zeros_like(known), where=self._weight > 0
        )
        return mixed


def _mix(band: NDArray[Any], rows: _Taps, cols: _Taps) -> NDArray[np.floating[Any]]:
    """Weighted sums of a band (rows, cols): over rows, then over columns, always in the same order."""
    # float32 holds a sum of 16-bit values; wider ones, and the weights of validity, need all digits.
    kind = np.float32 if band.dtype.kind in "iu" and band.dtype.itemsize <= 2 else np.float64
    tall = _sums(band, rows, kind)  # (new rows, cols)
    return _sums(tall.T, cols, kind).T  # (new rows, new cols)


def _sums(values: NDArray[Any], taps: _Taps, kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Weighted sums over the first axis."""
    total = np.zeros((taps.positions.shape[1], values.shape[1]), dtype=kind)
    for positions, weights in zip(taps.positions, taps.weights.astype(kind), strict=True):
        total += weights[:, None] * values[positions]
    return total


def _as_type(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the type of the file; whole numbers are rounded, halves upwards."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    rounded: NDArray[Any] = np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(dtype)
    return rounded
