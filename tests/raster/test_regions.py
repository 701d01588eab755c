from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.errors import ResourceError
from rsseg.raster.regions import RegionCollector, painted
from rsseg.tiling import plan_blocks

MAPS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 11), st.integers(1, 11)), elements=st.sampled_from([0, 1, 2, 255])
)
AREAS = st.integers(0, 30)


def merged(classes: NDArray[np.uint8], *, min_area: int, block: int = 512) -> NDArray[np.uint8]:
    """A map without its small regions, given in blocks."""
    windows = plan_blocks(classes.shape[1], classes.shape[0], block=block)
    collector = RegionCollector(classes.shape[1])
    for window in windows:
        collector.add(window, classes[window.slices()])
    found = np.empty_like(classes)
    for window, pieces in zip(windows, collector.merged_classes(min_area=min_area), strict=True):
        found[window.slices()] = painted(classes[window.slices()], pieces)
    return found


@given(MAPS, AREAS, st.integers(1, 7))
def test_merging_in_blocks_is_the_slow_obvious_merging_of_the_whole(
    classes: NDArray[np.uint8], min_area: int, block: int
) -> None:
    assert (merged(classes, min_area=min_area, block=block) == merged_regions(classes, min_area)).all()


@pytest.mark.parametrize("seed", range(3))
def test_merging_noise_does_not_depend_on_the_blocks(seed: int) -> None:
    classes = np.random.default_rng(seed).choice(
        np.array([0, 1, 2, 255], dtype=np.uint8), (61, 47), p=[0.4, 0.3, 0.2, 0.1]
    )

    whole = merged(classes, min_area=40)

    assert (whole != classes).mean() > 0.1
    for block in (5, 16, 32):
        assert (merged(classes, min_area=40, block=block) == whole).all()


@given(MAPS, AREAS)
def test_only_small_regions_change_and_none_stays_that_has_a_neighbour(
    classes: NDArray[np.uint8], min_area: int
) -> None:
    found = merged(classes, min_area=min_area)

    changed = found != classes
    assert ((found == 255) == (classes == 255)).all()
    for region in regions_of(classes):
        assert region.sum() < min_area or not changed[region].any()
    for region in regions_of(found):
        assert region.sum() >= min_area or (found[beside(region)] == 255).all()
    assert (merged(found, min_area=min_area) == found).all()


@pytest.mark.parametrize(
    ("before", "min_area", "after"),
    [
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 2, [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ([[0, 1, 2, 2]], 2, [[2, 2, 2, 2]]),  # 1 joins 2, and what then touches 0 is larger than it
        ([[1, 0, 2]], 2, [[0, 0, 0]]),  # equally large: 0 takes both
        ([[0, 255, 1, 1]], 9, [[0, 255, 1, 1]]),  # nothing but missing data beside them
        ([[0, 1], [1, 0]], 2, [[0, 0], [0, 0]]),  # corners do not connect
        ([[255, 255], [255, 255]], 9, [[255, 255], [255, 255]]),
        ([[3]], 9, [[3]]),
    ],
)
def test_small_regions_join_their_largest_neighbour(
    before: list[list[int]], min_area: int, after: list[list[int]]
) -> None:
    assert merged(np.array(before, dtype=np.uint8), min_area=min_area).tolist() == after


def test_a_region_that_winds_through_many_blocks_is_one() -> None:
    classes = np.zeros((40, 40), dtype=np.uint8)
    classes[1::2] = 1
    classes[2:39:4, -1] = classes[4:39:4, 0] = 1  # joins every two rows, in turn on the right and on the left

    assert (merged(classes, min_area=100, block=8) == 1).all()


def test_more_regions_than_may_be_held_are_refused() -> None:
    windows = plan_blocks(20, 8, block=8)
    board = np.indices((8, 20)).sum(axis=0).astype(np.uint8) % 2
    collector = RegionCollector(20, most=128)

    for window in windows[:2]:
        collector.add(window, board[window.slices()])
    with pytest.raises(ResourceError, match="the map has more than 128 regions") as caught:
        collector.add(windows[2], board[windows[2].slices()])

    assert "without --min-area" in (caught.value.hint or "")


def regions_of(classes: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """The regions with data, in the order of their first pixels, found pixel by pixel."""
    free, found = classes != 255, []
    for start in zip(*np.nonzero(free), strict=True):
        if not free[start]:
            continue
        region, todo = np.zeros_like(free), [start]
        while todo:
            row, col = todo.pop()
            inside = 0 <= row < classes.shape[0] and 0 <= col < classes.shape[1]
            if inside and free[row, col] and classes[row, col] == classes[start]:
                free[row, col], region[row, col] = False, True
                todo += [(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)]
        found.append(region)
    return found


def beside(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels that share an edge with a region."""
    around = np.zeros_like(region)
    around[1:] |= region[:-1]
    around[:-1] |= region[1:]
    around[:, 1:] |= region[:, :-1]
    around[:, :-1] |= region[:, 1:]
    return around & ~region


def end_of(number: int, joins: dict[int, int]) -> int:
    return end_of(joins[number], joins) if number in joins else number


def merged_regions(classes: NDArray[np.uint8], min_area: int) -> NDArray[np.uint8]:
    """The rule of the module written out, on whole pictures of regions."""
    while True:
        regions = regions_of(classes)
        sizes = [
            (int(region.sum()), -int(classes[region][0]), -number) for number, region in enumerate(regions)
        ]
        joins = {}
        for number, region in enumerate(regions):
            neighbours = [n for n, other in enumerate(regions) if (beside(region) & other).any()]
            largest = max([number, *neighbours], key=sizes.__getitem__)
            if region.sum() < min_area and largest != number:
                joins[number] = largest
        if not joins:
            return classes
        after = classes.copy()
        for number, target in joins.items():
            after[regions[number]] = classes[regions[end_of(target, joins)]][0]
        classes = after
