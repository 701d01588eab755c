"""Labels without the pixels near the boundaries of objects, where annotators disagree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_LabelType = TypeVar("_LabelType", bound=np.integer)


def erode_boundaries(
    label: NDArray[_LabelType], *, radius: int = 3, ignore_index: int = 255
) -> NDArray[_LabelType]:
    """Set pixels to `ignore_index` that have another label within `radius` pixels.

    A pixel is kept if every pixel of the image at Euclidean distance <= radius has the same label. What lies outside
    the image does not count; the ignore value is a label like any other. A radius of 0 keeps everything.

    The organisers of the ISPRS benchmark score with such references, made with a disc of 3 pixels. Their own
    `*_noBoundary.tif` files are to be preferred where there are any: how they treat the image's border is not known.

    Args:
        label: (H, W); it is not changed.
        radius: in pixels, at least 0.
        ignore_index: a value of the label's type.
    """
    near = np.zeros(label.shape, dtype=np.bool_)
    for down, right in _half_disc(radius):
        # A pixel differs from the one `down` rows below as that one differs from it: half of the disc says all.
        one, other = _overlap(down, right), _overlap(-down, -right)
        differ = label[one] != label[other]
        near[one] |= differ
        near[other] |= differ
    return np.where(near, label.dtype.type(ignore_index), label)


def _half_disc(radius: int) -> Iterator[tuple[int, int]]:
    """Offsets (rows down, columns right) of one pixel of each opposite pair of the disc, without its centre."""
    for down in range(radius + 1):
        for right in range(-radius if down else 1, radius + 1):
            if down**2 + right**2 <= radius**2:
                yield down, right


def _overlap(down: int, right: int) -> tuple[slice, slice]:
    """The pixels whose neighbour at this offset is in the image, too; empty where the image is smaller."""
    return _inside(down), _inside(right)


def _inside(offset: int) -> slice:
    return slice(None, -offset) if offset > 0 else slice(-offset, None)
