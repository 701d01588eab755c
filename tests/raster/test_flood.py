from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.raster.flood import EdgeFlood
from rsseg.tiling import Window


def flooded(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The slow obvious version: walk from the edge, side by side."""
    height, width = marked.shape
    reached = np.zeros_like(marked)
    edge = [
        (r, c) for r in range(height) for c in range(width) if r in (0, height - 1) or c in (0, width - 1)
    ]
    to_visit = deque(edge)
    while to_visit:
        row, col = to_visit.popleft()
        if not (0 <= row < height and 0 <= col < width) or reached[row, col] or not marked[row, col]:
            continue
        reached[row, col] = True
        to_visit += [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
    return reached


def by_blocks(marked: NDArray[np.bool_], rows: int, cols: int) -> NDArray[np.bool_]:
    """The same block by block."""
    height, width = marked.shape
    windows = [
        Window(col, row, cols, rows).intersection(Window.whole(width, height))
        for row in range(0, height, rows)
        for col in range(0, width, cols)
    ]
    flood = EdgeFlood(width, height)
    for window in windows:
        flood.add(window, marked[window.slices()])
    reached = np.zeros_like(marked)
    for window in windows:
        reached[window.slices()] = flood.reached(marked[window.slices()])
    return reached


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    block=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_what_the_edge_reaches_does_not_depend_on_blocks(
    size: tuple[int, int], block: tuple[int, int], share: float, seed: int
) -> None:
    marked = np.random.default_rng(seed).random(size) < share

    np.testing.assert_array_equal(by_blocks(marked, *block), flooded(marked))


def test_a_winding_path_is_followed_through_all_blocks() -> None:
    path = np.zeros((41, 30), dtype=np.bool_)
    path[::2, 1:-1] = True  # lines, joined at their ends to the right and to the left by turns
    path[1::4, -2] = path[3::4, 1] = True
    path[0, 1:] = path[-1] = False
    path[0, -2] = True  # the way in
    walled = path.copy()
    walled[20, 15] = False  # half-way

    assert by_blocks(path, 7, 5)[2:].sum() == path[2:].sum()
    assert by_blocks(walled, 7, 5)[22:].sum() == 0
    np.testing.assert_array_equal(by_blocks(walled, 7, 5), flooded(walled))


def test_corners_do_not_hang_together() -> None:
    marked = np.zeros((6, 6), dtype=np.bool_)
    marked[0, 0] = marked[1, 1] = True

    assert by_blocks(marked, 6, 6).sum() == by_blocks(marked, 1, 1).sum() == 1
