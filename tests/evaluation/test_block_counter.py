"""What is counted pixel by pixel, block by block: a block is what its own window would be, and blocks add up to all."""

from __future__ import annotations

import tracemalloc
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.evaluation.block_counter import BlockCounter, BlockGrid, MatrixCounter, PixelCounter
from rsseg.evaluation.block_counts import BlockCounts, Place
from rsseg.evaluation.boundary_scores import BoundaryCounter, BoundaryCounts
from rsseg.evaluation.calibration import ConfidenceCounter, ConfidenceCounts
from rsseg.evaluation.confusion import Confusion
from rsseg.evaluation.counters import ConfusionCounter, Counter, Seen
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

Ids = NDArray[np.uint8]

HEIGHT, WIDTH = 9, 11
AREA = Window(5, 3, WIDTH, HEIGHT)
maps = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([0, 0, 1, 1, 2, 255]))
confidences = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([0, 7, 254, 255]))
BOUNDARIES, CONFIDENCES = BoundaryCounter(classes=3, tolerance=1.5), ConfidenceCounter()
COUNTERS: list[tuple[PixelCounter, Counter]] = [
    (MatrixCounter(3), ConfusionCounter(3)),
    (BOUNDARIES, BOUNDARIES),
    (CONFIDENCES, CONFIDENCES),
]


def listed(counts: BlockCounts) -> Any:
    return counts.doublings, {
        place: (of.cells.tolist(), of.counts.tolist()) for place, of in counts.blocks.items()
    }


def as_lists(counts: Any) -> list[Any]:
    """What a counter counts in all, and the sum of blocks, in one form."""
    if isinstance(counts, Confusion):
        return counts.matrix.tolist()
    return [values.tolist() for values in astuple(counts)]


def as_counted(total: NDArray[np.int64], counter: PixelCounter) -> list[Any]:
    forms = {BoundaryCounter: BoundaryCounts.of, ConfidenceCounter: ConfidenceCounts.of}
    form = forms.get(type(counter))  # type: ignore[arg-type]
    return total.tolist() if form is None else as_lists(form(total))


@pytest.mark.parametrize(("counter", "plain"), COUNTERS)
@settings(max_examples=25)
@given(maps, maps, confidences, st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32))
def test_any_windows_give_the_same_blocks_and_these_add_up_to_all(
    counter: PixelCounter,
    plain: Counter,
    label: Ids,
    prediction: Ids,
    sure: Ids,
    side: int,
    most: int,
    seed: int,
) -> None:
    by_blocks = BlockCounter(counter=counter, grid=BlockGrid(side=side))
    windows = any_partition(AREA, np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rsseg.evaluation.block_counts._MOST_BLOCKS", most)
        patch.setattr("rsseg.evaluation.block_counter._AT_A_TIME", most)

        whole = counted(by_blocks, label, prediction, origin=(5, 3), confidence=sure)
        parts = counted(by_blocks, label, prediction, windows, origin=(5, 3), confidence=sure)

    assert listed(parts) == listed(whole)
    assert len(whole.blocks) <= most
    expected = counted(plain, label, prediction, origin=(5, 3), confidence=sure)
    assert as_counted(whole.total(), counter) == as_lists(expected)


@pytest.mark.parametrize(("counter", "plain"), COUNTERS)
@settings(max_examples=25)
@given(maps, maps, confidences, st.integers(2, 6))
def test_a_block_is_what_its_own_window_would_be(
    counter: PixelCounter, plain: Counter, label: Ids, prediction: Ids, sure: Ids, side: int
) -> None:
    by_blocks = BlockCounter(counter=counter, grid=BlockGrid(side=side))

    counts = counted(by_blocks, label, prediction, confidence=sure)

    places = set()
    for row in range(-(-HEIGHT // side)):
        for col in range(-(-WIDTH // side)):
            window = Window(col * side, row * side, side, side).intersection(Window(0, 0, WIDTH, HEIGHT))
            expected = counted(plain, label, prediction, [window], confidence=sure)
            found = counts.arrays([Place(0, row, col)])[0]
            assert as_counted(found, counter) == as_lists(expected)
            part = window.slices()
            if ((label[part] != 255) & (prediction[part] != 255)).any():
                places.add(Place(0, row, col))
    assert counts.blocks.keys() == places


@pytest.mark.parametrize("area", [Window(7, 5, 200_000, 21), Window(3, 60, 2048, 2048), Window(0, 0, 1, 9)])
@pytest.mark.parametrize("side", [16, 64, 500])
def test_an_area_is_cut_into_few_pixels_and_few_blocks_are_cut(area: Window, side: int) -> None:
    most = 2**18

    strips = list(BlockGrid(side=side).strips(area))

    assert sum(strip.pixels for strip in strips) == area.pixels
    assert all(strip.pixels <= most and area.intersection(strip) == strip for strip in strips)
    assert all(strip.rows[0] // side == strip.rows[-1] // side for strip in strips)
    assert all(strip.cols[-1] + 1 == area.cols.stop or (strip.cols[-1] + 1) % side == 0 for strip in strips)
    # A block of these sides is no more than few pixels, so no block is in two strips.
    assert {strip.rows[0] for strip in strips} <= {area.rows[0], *range(0, area.rows.stop, side)}


def test_a_wide_area_takes_no_more_memory_than_others() -> None:
    """One row of blocks, 100,000 pixels wide: a number to each column and row would take 34 MB."""
    ids = np.zeros((42, 100_000), dtype=np.uint8)
    area = Window(0, 0, 100_000, 42)
    seen = Seen(pair=0, whole=area, read=area, keep=area, label=ids, prediction=ids)
    counter = BlockCounter(counter=MatrixCounter(3), grid=BlockGrid(side=64))
    tracemalloc.start()

    counts = counter.count(seen)

    assert tracemalloc.get_traced_memory()[1] < 15e6
    tracemalloc.stop()
    assert counts.total()[0, 0] == ids.size


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 40))
def test_scattered_counts_lie_in_the_blocks_of_their_pixels(seed: int, side: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    where, cells = rng.integers(0, 20, (2, 30)), rng.integers(0, 6, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rsseg.evaluation.block_counts._MOST_BLOCKS", most)

        counts = BlockGrid(side=side, image=4).scattered((2, 3), where, cells, np.arange(1, 31))

    assert len(counts.blocks) <= most
    expected: dict[Place, NDArray[np.int64]] = {}
    for i, (row, col) in enumerate(where.T // side >> counts.doublings):
        expected.setdefault(Place(4, row, col), np.zeros(6, dtype=np.int64))[cells[i]] += i + 1
    assert counts.blocks.keys() == expected.keys()
    for place, values in expected.items():
        assert counts.arrays([place])[0].ravel().tolist() == values.tolist()


def test_nothing_scattered_is_no_block() -> None:
    nothing = np.zeros(0, dtype=np.int64)

    assert not BlockGrid(side=4).scattered((4, 1), np.zeros((2, 0), np.int64), nothing, nothing).blocks
