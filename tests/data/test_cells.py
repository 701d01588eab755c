"""Cells: all labels are counted once, and little is kept of them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from rsseg.classes import ClassTable
from rsseg.data.cells import CELL, Cells, find_cells
from rsseg.tiling import Window, plan_blocks
from tests.data.labelled import LabelsInMemory, scene_of


def cells_of(ids: NDArray[np.uint8]) -> Cells:
    return scene_of(ids).cells


coarse = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=13), elements=st.sampled_from([0, 1, 2, 255])
)


@given(coarse, st.integers(90, 130))
def test_every_pixel_is_counted_in_its_cell(squares: NDArray[np.uint8], side: int) -> None:
    """Rasters of up to 13 squares a side: of several scan blocks, with cells cut off at the edges."""
    ids = squares.repeat(side, axis=0).repeat(side, axis=1)

    cells = cells_of(ids)

    height, width = ids.shape
    grid = plan_blocks(width, height, block=CELL)
    expected = {
        n: ids[window.slices()] for n, window in enumerate(grid) if (ids[window.slices()] != 255).any()
    }
    assert cells.numbers.tolist() == list(expected)
    assert list(cells) == [grid[n] for n in expected]
    assert cells.labelled.tolist() == [(found != 255).sum() for found in expected.values()]
    assert cells.class_pixels.tolist() == [(ids == class_id).sum() for class_id in range(3)]
    for class_id in range(3):
        numbers, pixels = cells.of_class(class_id)
        counts = {n: (found == class_id).sum() for n, found in expected.items() if class_id in found}
        assert dict(zip(numbers.tolist(), pixels.tolist(), strict=True)) == counts


def test_a_full_cell_of_one_class_is_counted_whole() -> None:
    cells = cells_of(np.zeros((CELL, CELL), np.uint8))

    assert (cells.labelled.tolist(), cells.of_class(0)[1].tolist()) == ([CELL**2], [CELL**2])


def test_a_raster_without_labels_has_no_cells() -> None:
    cells = cells_of(np.full((10, 10), 255, np.uint8))

    assert not cells
    assert cells.class_pixels.tolist() == [0, 0, 0]
    assert cells.labelled.sum() == 0
    assert len(cells.of_class(1)[0]) == 0


@given(
    st.integers(-200, 500),
    st.integers(-200, 500),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 9),
)
def test_a_window_meets_the_cells_it_shares_pixels_with(
    col: int, row: int, width: int, height: int, seed: int
) -> None:
    ids = np.random.default_rng(seed).choice(np.uint8([0, 255, 255]), (3, 4)).repeat(CELL, 0).repeat(CELL, 1)
    cells = cells_of(ids[:300, :400])
    window = Window(col, row, width, height)

    found = list(cells.meeting(window))

    everything = zip(cells, cells.labelled.tolist(), strict=True)
    assert found == [(cell, n) for cell, n in everything if cell.intersection(window).pixels]


def test_pixels_are_in_the_cells_with_their_numbers() -> None:
    cells = cells_of(np.zeros((300, 400), np.uint8))
    cols, rows = np.array([0, 127, 128, 399]), np.array([0, 128, 127, 299])

    windows = [cells.window(n) for n in cells.numbers_at(cols, rows).tolist()]

    pixels = zip(windows, cols.tolist(), rows.tolist(), strict=True)
    assert all(window.contains(Window(col, row, 1, 1)) for window, col, row in pixels)


def test_what_is_kept_is_a_few_bytes_for_each_class_of_a_cell() -> None:
    """6,400 cells of four classes each: 28 bytes, and 6 bytes of each cell."""
    side = 80 * CELL
    quarters = np.uint8([[0, 1], [2, 3]]).repeat(CELL // 2, 0).repeat(CELL // 2, 1)

    class Tiled(LabelsInMemory):
        def read(self, window: Window) -> NDArray[np.uint8]:
            return np.tile(quarters, (window.height // CELL, window.width // CELL))

    labels = Tiled(np.broadcast_to(np.uint8(0), (side, side)))
    tracemalloc.start()
    cells = find_cells(labels, path=Path("labels.tif"), classes=ClassTable.unnamed(4))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(cells) == 6400
    assert kept < 6400 * 45
