"""Which pixels count.

A pixel is invalid where alpha or a mask band is 0, where all chosen bands equal their nodata value, or where any
chosen band is not a finite number (infinity would spread over the raster through attention just as NaN would).
GDAL's own combined mask is not used: it lets one source hide another (a nodata value hides an alpha band) and looks
at bands that were not chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

Nodata = float | None | Literal["auto"]
"""`auto`: the file's nodata values; None: none; a number: this one for all bands."""


@dataclass(frozen=True)
class ValidityRule:
    """Where to look for invalid pixels.

    Attributes:
        nodata: one value per chosen band, of the pixels' type; empty if some band has none, or one that its type
            cannot hold, because then no pixel is nodata in all bands.
        alpha: numbers of the alpha bands.
        masks: numbers of chosen bands that have a mask (one of them where the mask belongs to the whole file).
    """

    nodata: tuple[int | float, ...]
    alpha: tuple[int, ...]
    masks: tuple[int, ...]


def plan_validity(
    dataset: Any, *, bands: Sequence[int], alpha: Sequence[int], nodata: Nodata, dtype: str
) -> ValidityRule:
    """Find out where an open rasterio dataset says which pixels are invalid.

    Args:
        dataset: the dataset.
        bands: chosen band numbers.
        alpha: alpha band numbers.
        nodata: the file's values, none, or another one.
        dtype: the type in which pixels are read.
    """
    declared = [dataset.nodatavals[band - 1] if nodata == "auto" else nodata for band in bands]
    values = [None if value is None else _as_pixel(value, dtype) for value in declared]
    known = tuple(value for value in values if value is not None)
    return ValidityRule(
        nodata=known if len(known) == len(bands) else (),
        alpha=tuple(alpha),
        masks=_mask_bands(dataset, bands, nodata),
    )


def _mask_bands(dataset: Any, bands: Sequence[int], nodata: Nodata) -> tuple[int, ...]:
    """Bands whose masks must be read: those in the file or in a .msk beside it, and GDAL's NODATA_VALUES."""
    masks = []
    for band in sorted(set(bands)):
        flags = dataset.mask_flag_enums[band - 1]
        if MaskFlags.all_valid in flags or MaskFlags.alpha in flags:
            continue
        if MaskFlags.nodata in flags and (MaskFlags.per_dataset not in flags or nodata != "auto"):
            continue
        masks.append(band)
        if MaskFlags.per_dataset in flags:
            break
    return tuple(masks)


def valid_pixels(data: NDArray[Any], *, nodata: Sequence[int | float]) -> NDArray[np.bool_]:
    """Find the pixels that are finite in all bands and differ from nodata in at least one.

    Args:
        data: (bands, rows, cols).
        nodata: one value per band, or nothing.

    Returns:
        (rows, cols), True where the pixel counts.
    """
    valid = np.ones(data.shape[1:], dtype=np.bool_)
    if data.dtype.kind == "f":
        for band in data:
            valid &= np.isfinite(band)
    if len(nodata):
        valid &= _differs(data, nodata)
    return valid


def _differs(data: NDArray[Any], nodata: Sequence[int | float]) -> NDArray[np.bool_]:
    """Where any band is not its nodata value."""
    differs: NDArray[np.bool_] = data[0] != nodata[0]
    for band, value in zip(data[1:], nodata[1:], strict=True):
        differs |= band != value
    return differs


def _as_pixel(value: float, dtype: str) -> int | float | None:
    """The value as it looks in pixels of a type; None if no such pixel exists (-9999 in bytes, NaN in integers).

    NaN also counts as absent for floats: such pixels are invalid anyway.
    """
    if np.dtype(dtype).kind == "f":
        with np.errstate(over="ignore"):
            rounded = float(np.dtype(dtype).type(value))
        return rounded if math.isfinite(rounded) else None
    limits = np.iinfo(dtype)
    if not math.isfinite(value) or value != int(value) or not limits.min <= int(value) <= limits.max:
        return None
    return int(value)
