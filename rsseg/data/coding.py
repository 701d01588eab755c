"""Labels that are not class ids yet: colours, published values, numbers of segments. They are read window by window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import LabelError
from rsseg.raster import LabelRaster, RasterSource, open_label_raster, open_raster
from rsseg.tiling import Window

Kind = Literal["value", "colour", "segment"]
"""What a pixel of a label file holds: one number, a colour, or the number R + 256 G + 65536 B of a segment."""

_SHOWN = 8
"""Known codes that a message lists."""
_DECODED = (
    "255 for no label is how class ids are written, and no published value: class ids are read as they are, without"
    " --labels-as or --preset"
)


@dataclass(frozen=True, eq=False)
class LabelCoding:
    """Which class id stands for which number in a label file; 255 for those that are left out.

    `codes` (n,) uint32 ascend, `ids` (n,) uint8 belong to them. A colour is the number R + 256 G + 65536 B, too.
    """

    kind: Kind
    codes: NDArray[np.uint32]
    ids: NDArray[np.uint8]

    @classmethod
    def of(cls, kind: Kind, ids: Mapping[int, int]) -> LabelCoding:
        """Make a coding from a table of code to class id."""
        codes = sorted(ids)
        return cls(kind, np.array(codes, dtype=np.uint32), np.array([ids[c] for c in codes], dtype=np.uint8))

    @classmethod
    def of_colors(cls, ids: Mapping[tuple[int, int, int], int]) -> LabelCoding:
        """Make a coding from a table of (red, green, blue) to class id."""
        return cls.of("colour", {r + 256 * g + 65536 * b: class_id for (r, g, b), class_id in ids.items()})

    def decode(self, values: NDArray[np.integer]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Class ids of codes of any shape, and which codes are known; the ids of the others mean nothing."""
        if not len(self.codes):
            return np.full(values.shape, IGNORE_INDEX, np.uint8), np.zeros(values.shape, np.bool_)
        place = np.minimum(np.searchsorted(self.codes, values.astype(np.uint32)), len(self.codes) - 1)
        return self.ids[place], self.codes[place] == values

    def describe(self, code: int) -> str:
        """How a message writes a code."""
        if self.kind == "colour":
            return f"({code % 256}, {code // 256 % 256}, {code // 65536})"
        return str(code)


class CodedLabels:
    """A label file of another coding as a `LabelSource`. Made by `open_coded_labels`.

    `in_strips` says that whole rows are read best, `block_bytes` is the size of a decoded block.
    """

    def __init__(self, path: Path, source: LabelRaster | RasterSource, coding: LabelCoding) -> None:
        self.grid = source.grid
        self.block_bytes = source.block_bytes
        self.in_strips = source.in_strips if isinstance(source, LabelRaster) else source.is_striped
        self._path = path
        self._source = source
        self._coding = coding

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Class ids (rows, cols) of a window, from any thread; 255 where there is no label.

        Raises:
            LabelError: a code is unknown; the message names it and a pixel that has it.
            RasterError: a block cannot be read.
        """
        codes, valid = self._read_codes(window)
        ids, known = self._coding.decode(codes)
        wrong = valid & ~known
        if wrong.any():
            row, col = (int(v) for v in np.argwhere(wrong)[0])
            code = int(codes[row, col])
            raise self._unknown(code, int((wrong & (codes == code)).sum()), window, (row, col))
        return np.where(valid, ids, np.uint8(IGNORE_INDEX))

    def _read_codes(self, window: Window) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Codes (rows, cols) of a window, and where there are any."""
        if isinstance(self._source, LabelRaster):
            return self._source.read_as_written(window)
        pixels = self._source.read_once(window)
        red, green, blue = pixels.data.astype(np.uint32)
        return red + 256 * green + 65536 * blue, pixels.valid

    def _unknown(self, code: int, count: int, window: Window, place: tuple[int, int]) -> LabelError:
        known = [self._coding.describe(int(c)) for c in self._coding.codes[:_SHOWN]]
        more = len(self._coding.codes) - len(known)
        return LabelError(
            f"{self._path}: has the {self._coding.kind} {self._coding.describe(code)} at column"
            f" {window.col_off + place[1]}, row {window.row_off + place[0]} ({count} px nearby), which stands for no"
            f" class; known are {', '.join(known)}{f' and {more} more' if more > 0 else ''}",
            hint=_DECODED
            if self._coding.kind == "value" and code == IGNORE_INDEX
            else "is this the right data set, and the label as it was published? An unknown code is never guessed",
        )


def open_coded_labels(path: Path, coding: LabelCoding) -> CodedLabels:
    """Open a label file of another coding; the caller closes it.

    What the file declares as missing is no label where it holds numbers. Of colours only a mask or an alpha band is:
    black and white are classes of published data sets, whatever nodata value somebody's tools wrote beside them.

    Raises:
        RasterError: the file is missing or no raster, or lacks the three bands of a colour.
        LabelError: its pixels are not of the kind that the coding needs.
    """
    if coding.kind == "value":
        return CodedLabels(path, open_label_raster(path), coding)
    source = open_raster(path, bands=(1, 2, 3), nodata=None)
    if source.dtype != "uint8":
        source.close()
        raise LabelError(f"{path}: has pixels of type {source.dtype}, expected colours of three uint8 bands")
    return CodedLabels(path, source, coding)
