"""Which class is taken for which: the confusion matrix, counted exactly, added up over windows and images.

A matrix is int64 (K, K) for K classes; rows are the reference (labels), columns the prediction (class maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS
from rsseg.errors import LabelError

_CHUNK = 2**18
"""Pixels counted at a time: the 8 bytes a pixel that `bincount` needs then stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of all pixels that were looked at; counts of several windows or images add up with `+`.

    `matrix` (K, K) holds the pixels that have a class in both; `ignored` counts pixels whose label is to be
    left out, whatever was predicted; `nodata` counts pixels that have a label but no prediction, which are in
    no score.
    """

    matrix: NDArray[np.int64]
    ignored: int = 0
    nodata: int = 0

    @classmethod
    def empty(cls, classes: int) -> Confusion:
        """The counts of no pixel: what a sum begins with."""
        return cls(np.zeros((classes, classes), dtype=np.int64))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.matrix + other.matrix, self.ignored + other.ignored, self.nodata + other.nodata)

    @property
    def scored(self) -> int:
        """How many pixels are in the matrix."""
        return int(self.matrix.sum())

    @property
    def labelled(self) -> int:
        """How many pixels have a label: those scored and those without a prediction."""
        return self.scored + self.nodata

    @property
    def nodata_share(self) -> float:
        """The share of labelled pixels without a prediction, from 0 to 1; 0 where nothing is labelled."""
        return self.nodata / self.labelled if self.labelled else 0.0


def confusion_matrix(
    label: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count which class was predicted for which label.

    Pixels with label 255 (ignore) or prediction 255 (nodata) are left out; `count_pixels` says how many.

    Args:
        label: class ids of the reference, any shape.
        prediction: class ids of the map, the same shape.
        classes: how many classes there are, K.

    Returns:
        (K, K), rows = reference.

    Raises:
        LabelError: a label or a prediction is neither below K nor 255.
    """
    return count_pixels(label, prediction, classes).matrix


def count_pixels(
    label: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int, *, what: str = "the class map"
) -> Confusion:
    """Count which class was predicted for which label, and the pixels that are left out.

    Counts of parts add up to the counts of the whole, however the pixels are cut. Arguments and errors are
    those of `confusion_matrix`, `what` is what errors call the prediction; an empty array gives zeros.
    """
    table = pair_table(label, prediction)
    labelled = table[:IGNORE_INDEX]
    check_ids(labelled.sum(axis=1), classes, what="labels hold")
    check_ids(labelled[:, :NODATA_CLASS].sum(axis=0), classes, what=f"{what} holds")
    return Confusion(
        matrix=labelled[:classes, :classes].copy(),
        ignored=int(table[IGNORE_INDEX].sum()),
        nodata=int(labelled[:, NODATA_CLASS].sum()),
    )


def pair_table(label: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.int64]:
    """How often each of the 256 x 256 pairs of label and prediction occurs: (256, 256)."""
    if label.shape != prediction.shape or label.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(
            f"label is {label.dtype} {label.shape}, prediction {prediction.dtype} {prediction.shape}"
        )
    table = np.zeros(256 * 256, dtype=np.int64)
    labels, predictions = label.reshape(-1), prediction.reshape(-1)
    for start in range(0, labels.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pairs = labels[part].astype(np.uint16) << 8
        pairs |= predictions[part]
        counts = np.bincount(pairs)
        table[: counts.size] += counts
    return table.reshape(256, 256)


def check_ids(counts: NDArray[np.int64], classes: int, *, what: str) -> None:
    """Refuse ids from `classes` on that occur.

    Args:
        counts: the pixels of each id.
        classes: how many there are.
        what: the beginning of the message, such as `labels hold`.

    Raises:
        LabelError: there are some.
    """
    strangers = np.flatnonzero(counts[classes:]) + classes
    if strangers.size:
        found = ", ".join(f"id {i} ({counts[i]} px)" for i in strangers[:3])
        more = f" and {strangers.size - 3} more" if strangers.size > 3 else ""
        raise LabelError(
            f"{what} {found}{more}; the {classes} classes have ids 0 to {classes - 1}, 255 is left out",
            hint="check that map and labels use the same classes, or give them with --classes",
        )
