"""Pixel rectangles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels; `col_off` and `row_off` may be negative, `width` and `height` may not.

    Offsets count from the raster's upper left corner, columns to the right, rows downwards.
    """

    col_off: int
    row_off: int
    width: int
    height: int

    @classmethod
    def of(cls, cols: range, rows: range) -> Window:
        """The window that covers a stretch of columns and a stretch of rows."""
        return cls(cols.start, rows.start, len(cols), len(rows))

    @classmethod
    def whole(cls, width: int, height: int) -> Window:
        """The window that covers a raster."""
        return cls(0, 0, width, height)

    @property
    def cols(self) -> range:
        """The columns it covers."""
        return range(self.col_off, self.col_off + self.width)

    @property
    def rows(self) -> range:
        """The rows it covers."""
        return range(self.row_off, self.row_off + self.height)

    @property
    def pixels(self) -> int:
        """How many pixels it covers."""
        return self.width * self.height

    def slices(self, origin: Window | None = None) -> tuple[slice, slice]:
        """Rows and columns to index an array with that begins at the corner of `origin` (or of the raster)."""
        row, col = (origin.row_off, origin.col_off) if origin else (0, 0)
        return (
            slice(self.row_off - row, self.row_off - row + self.height),
            slice(self.col_off - col, self.col_off - col + self.width),
        )

    def intersection(self, other: Window) -> Window:
        """The pixels in both; has no pixels (`pixels == 0`) where they do not meet."""
        cols = range(max(self.cols.start, other.cols.start), min(self.cols.stop, other.cols.stop))
        rows = range(max(self.rows.start, other.rows.start), min(self.rows.stop, other.rows.stop))
        return Window.of(cols, rows)

    def contains(self, other: Window) -> bool:
        """Whether all pixels of `other` are pixels of this window."""
        return self.intersection(other) == other

    def expanded(self, margin: int) -> Window:
        """The window with `margin` more pixels on each side."""
        return Window(
            self.col_off - margin, self.row_off - margin, self.width + 2 * margin, self.height + 2 * margin
        )

    def __str__(self) -> str:
        return f"{self.width} x {self.height} px at column {self.col_off}, row {self.row_off}"
