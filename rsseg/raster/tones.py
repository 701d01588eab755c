"""Images as people see them: which values are black, and which are white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.raster.pixels import Pixels

CUT = (2, 98)
"""Percentiles that become black and white, band by band, as geographic information systems do it."""


@dataclass(frozen=True)
class Tones:
    """Which values of each shown band are black and white; 8-bit values stay as they are."""

    low: tuple[float, ...] = (0.0, 0.0, 0.0)
    high: tuple[float, ...] = (255.0, 255.0, 255.0)

    @classmethod
    def of(cls, *parts: Pixels) -> Tones:
        """Between two percentiles of the valid pixels of an image, or of all its parts, if it is not 8-bit."""
        if parts[0].data.dtype == np.uint8:
            return cls()
        known = np.concatenate([_shown(part)[:, part.valid] for part in parts], axis=1)
        if not known.size:
            return cls()
        low, high = np.nanpercentile(known, CUT, axis=1)
        return cls(tuple(low.tolist()), tuple(np.maximum(high, low + 1e-6).tolist()))

    def rgb(self, pixels: Pixels) -> NDArray[np.uint8]:
        """The first three bands, or the first as grey: (rows, cols, 3), white where there is no data."""
        low, high = (np.array(values)[:, None, None] for values in (self.low, self.high))
        scaled = np.nan_to_num((_shown(pixels) - low) / (high - low)).clip(0, 1)
        picture: NDArray[np.uint8] = np.moveaxis(np.rint(255 * scaled), 0, -1).astype(np.uint8)
        picture[~pixels.valid] = 255
        return picture


def _shown(pixels: Pixels) -> NDArray[np.float32]:
    """Three bands (3, rows, cols)."""
    data = pixels.data
    return (data[:3] if len(data) >= 3 else np.repeat(data[:1], 3, axis=0)).astype(np.float32)
