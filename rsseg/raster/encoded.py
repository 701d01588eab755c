"""Pictures as bytes of a file, for pages that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from rsseg.raster.env import georeference_optional

_JPEG_QUALITY = 82


def encode_jpeg(rgb: NDArray[np.uint8]) -> bytes:
    """A picture (rows, cols, 3) as JPEG."""
    return _encode("JPEG", np.moveaxis(rgb, 2, 0), quality=_JPEG_QUALITY)


def encode_palette(ids: NDArray[np.uint8], colors: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Ids (rows, cols) as PNG whose palette gives id i the i-th colour: red, green, blue and opacity, 0 to 255."""
    palette = {i: colors[i] if i < len(colors) else (0, 0, 0, 0) for i in range(256)}
    return _encode("PNG", ids[np.newaxis], palette=palette)


def _encode(
    driver: str,
    pixels: NDArray[np.uint8],
    *,
    palette: dict[int, tuple[int, int, int, int]] | None = None,
    **how: Any,
) -> bytes:
    bands, rows, cols = pixels.shape
    profile = {"driver": driver, "width": cols, "height": rows, "count": bands, "dtype": "uint8", **how}
    with georeference_optional(), MemoryFile(ext=f".{driver.lower()}") as memory:
        with memory.open(**profile) as dataset:
            dataset.write(pixels)
            if palette is not None:
                dataset.write_colormap(1, palette)
        encoded: bytes = memory.read()
    return encoded
