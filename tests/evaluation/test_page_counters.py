"""What the page is made of is the same however the pixels are cut, and equals what slow obvious code finds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.evaluation.counters import Block
from rsseg.evaluation.page.overview import Overview, OverviewCounter
from rsseg.evaluation.page.worst import WorstCounter, WorstSquares
from rsseg.raster import Grid
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted
from tests.evaluation.files import random_ids

GRID = Grid(100, 100)
seeds = st.integers(0, 2**32 - 1)
Ids = NDArray[np.uint8]


def two_maps(rng: np.random.Generator) -> tuple[Ids, Ids]:
    height, width = (int(n) for n in rng.integers(1, 40, 2))
    return random_ids(height, width, seed=int(rng.integers(2**32))), random_ids(
        height, width, seed=int(rng.integers(2**32))
    )


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_an_overview_is_every_nth_pixel_of_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, prediction = two_maps(rng)
    origin, side = (int(rng.integers(50)), int(rng.integers(50))), int(rng.integers(1, 45))
    windows = any_partition(Window(*origin, label.shape[1], label.shape[0]), rng)

    found: Overview = counted(
        OverviewCounter(grid=GRID, max_side=side), label, prediction, windows, origin=origin
    )

    step = -(-max(label.shape) // side)
    np.testing.assert_array_equal(found.ids(), np.stack([label, prediction])[:, ::step, ::step])
    assert max(found.ids().shape[1:]) <= side
    assert (found.step, found.grid) == (step, GRID)


def test_an_overview_of_nothing_is_empty() -> None:
    assert OverviewCounter(grid=GRID, max_side=5).empty().ids().shape == (2, 0, 0)


def wrong_by_square(label: Ids, prediction: Ids, *, side: int, origin: tuple[int, int]) -> Counter[Block]:
    """Pixel by pixel."""
    wrong: Counter[Block] = Counter()
    for (row, col), a in np.ndenumerate(label):
        b = prediction[row, col]
        if a != b and 255 not in (a, b):
            wrong[Block(0, (row + origin[1]) // side, (col + origin[0]) // side)] += 1
    return wrong


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_the_worst_squares_are_those_with_the_most_wrong_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, prediction = two_maps(rng)
    origin, side, most = (int(rng.integers(30)), int(rng.integers(30))), int(rng.integers(2, 20)), 3
    whole = Window(*origin, label.shape[1], label.shape[0])

    found: WorstSquares = counted(
        WorstCounter(most=most, side=side), label, prediction, any_partition(whole, rng), origin=origin
    )

    wrong = wrong_by_square(label, prediction, side=side, origin=origin)
    expected = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:most]
    assert [(square.block, square.tally.wrong) for square in found.found] == expected
    assert not found.open
    for square in found.found:
        rows, cols = square.whole.slices(whole)
        np.testing.assert_array_equal(square.ids(), [label[rows, cols], prediction[rows, cols]])
        assert square.tally.compared == np.count_nonzero((square.ids() != 255).all(axis=0))


def test_equally_bad_squares_come_in_the_order_of_pairs_rows_and_columns() -> None:
    label, prediction = np.zeros((2, 8), np.uint8), np.ones((2, 8), np.uint8)
    counter = WorstCounter(most=3, side=2)

    total = counted(counter, label, prediction, pair=1) + counted(counter, label, prediction, pair=0)

    assert [square.block for square in total.found] == [Block(0, 0, 0), Block(0, 0, 1), Block(0, 0, 2)]


def test_a_right_map_has_no_worst_squares() -> None:
    ids = random_ids(9, 9, seed=1)

    assert counted(WorstCounter(most=3, side=4), ids, ids).found == ()


@pytest.mark.parametrize("windows", [1, 40])
def test_what_waits_is_at_most_a_row_of_squares(windows: int) -> None:
    label, prediction = random_ids(40, 40, seed=1), random_ids(40, 40, seed=2)
    counter = WorstCounter(most=2, side=8)
    rows = [Window(0, row, 40, 40 // windows) for row in range(0, 40, 40 // windows)]

    total = counter.empty()
    for window in rows:
        total += counted(counter, label, prediction, [window])
        assert len(total.open) <= 5
        assert len(total.found) <= 2
