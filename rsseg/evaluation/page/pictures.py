"""Images, labels, class maps and their differences as pictures inside the page: data URIs, none of them a file.

What lies over the image is a PNG with a palette, clear where the image shall be seen: the page holds each image once.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS, ClassTable
from rsseg.raster.encoded import encode_jpeg, encode_palette

Ids = NDArray[np.uint8]

_OVER_IMAGE = 150
"""How opaque the colours of classes are over an image, of 255."""
_CLEAR = (0, 0, 0, 0)
_NO_LABEL = (128, 128, 128, 200)


class Outcome(NamedTuple):
    """What can be true of a pixel: a word for legends, what it means, and its colour with opacity."""

    name: str
    text: str
    rgba: tuple[int, int, int, int]

    @property
    def color(self) -> str:
        """Without opacity, as `#RRGGBB`."""
        return "#{:02X}{:02X}{:02X}".format(*self.rgba[:3])


# Okabe and Ito's palette, whose colours the colour-blind can tell apart; they differ in lightness, too.
RIGHT, WRONG, FOUND, MISSED, FALSE, NOT_COMPARED, UNLABELLED, OTHERS = range(8)
OUTCOMES = (
    Outcome("right", "map and labels agree", _CLEAR),
    Outcome("wrong", "the map has another class than the labels", (213, 94, 0, 235)),
    Outcome("found", "in the labels and in the map", (0, 158, 115, 120)),
    Outcome("missed", "in the labels, not in the map", (86, 180, 233, 255)),
    Outcome("false alarm", "in the map, not in the labels", (213, 94, 0, 235)),
    Outcome("no data", "labelled, but without data in the map: not compared", (240, 228, 66, 235)),
    Outcome("no label", "left out", _NO_LABEL),
    Outcome("other errors", "between two other classes", (204, 121, 167, 110)),
)
"""In the order of their codes."""


def outcomes_of(label: Ids, prediction: Ids, focus: int | None = None) -> Ids:
    """What is true of each pixel, as a code, an index into `OUTCOMES`.

    Args:
        label: class ids, any shape; 255 is left out.
        prediction: class ids, the same shape; 255 is nodata.
        focus: the id of a class that is found, missed or a false alarm; errors between others are told apart, too.
    """
    codes = np.where(label == prediction, RIGHT, WRONG).astype(np.uint8)
    if focus is not None:
        is_there, is_mapped = label == focus, prediction == focus
        codes[codes == WRONG] = OTHERS
        codes[is_there & is_mapped] = FOUND
        codes[is_there & ~is_mapped] = MISSED
        codes[~is_there & is_mapped] = FALSE
    codes[prediction == NODATA_CLASS] = NOT_COMPARED
    codes[label == IGNORE_INDEX] = UNLABELLED
    return codes


@dataclass(frozen=True, kw_only=True)
class Layers:
    """One place as pictures of the same size, each a data URI; `image` is empty where none was given."""

    width: int
    height: int
    image: str
    label: str
    prediction: str
    difference: str

    @property
    def ratio(self) -> float:
        """Width over height."""
        return round(self.width / self.height, 4)

    @property
    def size(self) -> int:
        """How many characters the page grows by."""
        return sum(map(len, (self.image, self.label, self.prediction, self.difference)))


def draw_layers(
    ids: Ids, image: NDArray[np.uint8] | None, *, classes: ClassTable, focus: int | None
) -> Layers:
    """Draw one place.

    Args:
        ids: labels and class map, (2, rows, cols).
        image: (rows, cols, 3), which may be larger or smaller; the page stretches it.
        classes: whose colours are drawn, over an image with a black class left clear, since it usually is background.
        focus: see `outcomes_of`.
    """
    colors = palette_of(classes, over_image=image is not None)
    return Layers(
        width=ids.shape[2],
        height=ids.shape[1],
        image="" if image is None else _uri("jpeg", encode_jpeg(image)),
        label=_uri("png", encode_palette(ids[0], colors)),
        prediction=_uri("png", encode_palette(ids[1], colors)),
        difference=_uri(
            "png", encode_palette(outcomes_of(ids[0], ids[1], focus), [o.rgba for o in OUTCOMES])
        ),
    )


def palette_of(classes: ClassTable, *, over_image: bool) -> list[tuple[int, int, int, int]]:
    """The colour of each of the 256 ids; what is no class is grey."""
    colors = [_NO_LABEL] * 256
    for info in classes:
        opacity = 255 if not over_image else _OVER_IMAGE if any(info.rgb) else 0
        colors[info.id] = (*info.rgb, opacity)
    return colors


def _uri(kind: str, encoded: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
