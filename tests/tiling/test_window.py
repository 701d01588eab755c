import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg.tiling import Window, plan_blocks

small = st.integers(min_value=-20, max_value=20)
sides = st.integers(min_value=0, max_value=20)
windows = st.builds(Window, small, small, sides, sides)


@given(windows, windows)
def test_an_intersection_has_the_pixels_of_both(a: Window, b: Window) -> None:
    in_both = {(r, c) for r in a.rows for c in a.cols} & {(r, c) for r in b.rows for c in b.cols}

    shared = a.intersection(b)

    assert {(r, c) for r in shared.rows for c in shared.cols} == in_both
    assert shared.pixels == len(in_both)


@given(windows, windows)
def test_a_window_contains_exactly_the_windows_it_does_not_cut(a: Window, b: Window) -> None:
    inside = b.rows.start >= a.rows.start and b.rows.stop <= a.rows.stop
    inside = inside and b.cols.start >= a.cols.start and b.cols.stop <= a.cols.stop

    if b.pixels:
        assert a.contains(b) == inside


def test_slices_count_from_the_origin_given() -> None:
    array = np.arange(100).reshape(10, 10)
    outer, inner = Window(2, 3, 6, 5), Window(4, 5, 2, 1)

    cut = array[outer.slices()][inner.slices(outer)]

    assert cut.tolist() == [[54, 55]]


def test_expanding_adds_the_margin_on_every_side() -> None:
    assert Window(5, 6, 10, 20).expanded(3) == Window(2, 3, 16, 26)


def test_a_window_reads_as_size_and_place() -> None:
    assert str(Window(5, 6, 10, 20)) == "10 x 20 px at column 5, row 6"


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 20))
def test_blocks_partition_the_raster(width: int, height: int, block: int) -> None:
    uses = np.zeros((height, width), dtype=int)

    for window in plan_blocks(width, height, block=block):
        uses[window.slices()] += 1

    assert (uses == 1).all()
