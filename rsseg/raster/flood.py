"""What hangs together with the edge of a raster that is seen block by block.

Two marked pixels hang together when they share a side (4-connected). The blocks come row by row, twice: the first time
they are joined along their seams, the second time each can say which of its pixels the edge reaches. How the raster is
cut does not matter.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from rsseg.tiling import Window

Labels = NDArray[np.int32]

_EDGE = 0
"""The node of all that touches the raster's edge."""


class EdgeFlood:
    """Joins the marked pixels of a raster's blocks; `add` all of them, then ask for each in the same order.

    Memory: four bytes for each patch of marked pixels that touches a block's border, and four for each column. A block
    of 1024 pixels side by side with nothing but isolated pixels on its borders has 2,000 such patches, 8 KB for a
    million pixels; imagery has a handful.

    Args:
        width: of the raster, in pixels.
        height: the same.
    """

    def __init__(self, width: int, height: int) -> None:
        self._whole = Window.whole(width, height)
        self._parent = array("i", [_EDGE])
        self._above = np.full(width, -1, dtype=np.int32)
        self._left = np.empty(0, dtype=np.int32)
        self._asked = 1

    def add(self, window: Window, marked: NDArray[np.bool_]) -> None:
        """Add the next block (rows, cols)."""
        labels, at_border = _patches(marked)
        first = len(self._parent)
        self._parent.extend(range(first, first + len(at_border)))
        nodes = np.full(labels.max(initial=0) + 1, -1, dtype=np.int32)
        nodes[at_border] = np.arange(first, first + len(at_border), dtype=np.int32)

        top, bottom, left, right = (nodes[line] for line in _border(labels))
        cols = window.slices()[1]
        self._join(self._above[cols] if window.row_off else _edge_of(top), top)
        self._join(self._left if window.col_off else _edge_of(left), left)
        if window.rows.stop == self._whole.height:
            self._join(_edge_of(bottom), bottom)
        if window.cols.stop == self._whole.width:
            self._join(_edge_of(right), right)
        self._above[cols], self._left = bottom, right

    def reached(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pixels of the next block, the same as was added, hang together with the raster's edge."""
        labels, at_border = _patches(marked)
        first, self._asked = self._asked, self._asked + len(at_border)
        reached = np.zeros(labels.max(initial=0) + 1, dtype=np.bool_)
        reached[at_border] = [self._root(node) == _EDGE for node in range(first, self._asked)]
        return reached[labels]

    def _join(self, some: Labels, others: Labels) -> None:
        """Join nodes that lie side by side; -1 is none."""
        both = (some >= 0) & (others >= 0)
        for one, other in np.unique(np.stack([some[both], others[both]], axis=1), axis=0).tolist():
            a, b = self._root(one), self._root(other)
            self._parent[max(a, b)] = min(a, b)  # so that the edge is the root of all that hangs on it

    def _root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node


def _patches(marked: NDArray[np.bool_]) -> tuple[Labels, Labels]:
    """The patch of each pixel (rows, cols), 0 where unmarked, and the patches that touch the border, in order."""
    if not marked.any():
        return np.zeros(marked.shape, dtype=np.int32), np.empty(0, dtype=np.int32)
    from scipy import ndimage  # 0.1 s that only those pay who ask for it

    labels = np.empty(marked.shape, dtype=np.int32)
    ndimage.label(marked, output=labels)
    at_border = np.unique(np.concatenate(_border(labels)))
    return labels, at_border[at_border > 0]


def _border(block: Labels) -> tuple[Labels, Labels, Labels, Labels]:
    return block[0], block[-1], block[:, 0], block[:, -1]


def _edge_of(nodes: Labels) -> Labels:
    return np.full_like(nodes, _EDGE)
