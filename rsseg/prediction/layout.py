"""What of a raster's way of being stored makes its prediction slow, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from rsseg.raster.layout import Layout

_SMALL_BLOCK = 128 * 128
"""Pixels of a block below which finding blocks costs more than decoding them."""

_PREVIEW_PIXELS = 200e6
"""A preview reads the raster once more where it has no overviews; from so many pixels on that is worth a word."""

_SEQUENTIAL = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
_TILED_COPY = "make a tiled copy: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE IN OUT"


class LayoutWarning(NamedTuple):
    """What is slow, and what helps."""

    text: str
    hint: str


def layout_warnings(
    path: str,
    layout: Layout,
    *,
    width: int,
    height: int,
    band_width: int,
    cache_bytes: int,
    preview: bool,
) -> tuple[LayoutWarning, ...]:
    """Say what is slow about reading a raster window by window.

    Args:
        path: how messages call the raster.
        layout: how it is stored.
        width: of the raster, in pixels.
        height: of the raster, in pixels.
        band_width: of the bands of columns in which it is read, in pixels.
        cache_bytes: what GDAL keeps of decoded blocks.
        preview: whether a picture of the whole is wanted.
    """
    rows, cols = layout.block_shape
    bands = -(-width // band_width)
    found = []
    if layout.driver in _SEQUENTIAL and bands > 1:
        text = f"{path}: a {layout.driver} picture is decoded from its beginning, here {bands} times"
        found.append(LayoutWarning(text, _TILED_COPY))
    elif cols >= width > band_width:
        text = f"{path}: is stored in strips of {rows} x {cols} px, each of which is decoded {bands} times"
        found.append(LayoutWarning(text, _TILED_COPY))
    elif cols < width and 4 * layout.block_bytes > cache_bytes:
        text = (
            f"{path}: its blocks of {cols} x {rows} px take {layout.block_bytes / 1e6:,.0f} MB each; those that tiles"
            " share are decoded for each of them"
        )
        found.append(LayoutWarning(text, _TILED_COPY))
    elif cols < width and rows * cols < min(_SMALL_BLOCK, width * height):
        text = f"{path}: is stored in blocks of only {cols} x {rows} px, which takes time to put together"
        found.append(
            LayoutWarning(text, "make a copy with blocks of 256 or 512 px: gdal_translate -co TILED=YES")
        )
    if layout.is_remote and layout.driver == "GTiff" and not layout.compression:
        text = f"{path}: is not compressed, so more than needed comes over the network"
        found.append(LayoutWarning(text, "store it compressed: gdal_translate -of COG IN OUT"))
    if preview and not layout.has_overviews and width * height > _PREVIEW_PIXELS:
        text = f"{path}: has no overviews, so the preview reads all {width * height / 1e6:,.0f} Mpx once more"
        found.append(LayoutWarning(text, f"make some first: gdaladdo -r average {path}"))
    return tuple(found)
