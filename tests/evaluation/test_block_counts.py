"""Counts of blocks, mostly matrices: the same whatever the windows, and in bounded memory whatever the classes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rsseg.errors import LabelError
from rsseg.evaluation import confusion_matrix
from rsseg.evaluation.block_counter import BlockCounter, BlockGrid, MatrixCounter
from rsseg.evaluation.block_counts import BlockCounts, Place, SparseCounts, most_blocks
from rsseg.tiling import Window
from tests.evaluation.cutting import any_partition, counted

Ids = NDArray[np.uint8]
MOST = "rsseg.evaluation.block_counts._MOST_BLOCKS"
AT_A_TIME = "rsseg.evaluation.block_counter._AT_A_TIME"

maps = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 255]))


def matrices(classes: int, *, side: int, image: int = 0) -> BlockCounter:
    return BlockCounter(counter=MatrixCounter(classes), grid=BlockGrid(side=side, image=image))


def listed(counts: BlockCounts) -> tuple[int, dict[Place, list[list[int]]]]:
    cells = {place: [of.cells.tolist(), of.counts.tolist()] for place, of in counts.blocks.items()}
    return counts.doublings, cells


@settings(max_examples=50)
@given(maps, maps, st.integers(1, 4))
def test_blocks_are_squares_of_the_raster(label: Ids, prediction: Ids, side: int) -> None:
    counts = counted(matrices(2, side=side), label, prediction)

    for row in range(0, 6, side):
        for col in range(0, 7, side):
            part = (slice(row, row + side), slice(col, col + side))
            expected = confusion_matrix(label[part], prediction[part], 2)
            found = counts.arrays([Place(0, row // side, col // side)])
            assert found[0].tolist() == expected.tolist()
    assert counts.arrays().any(axis=(1, 2)).all()
    assert counts.total().tolist() == confusion_matrix(label, prediction, 2).tolist()


@settings(max_examples=50)
@given(maps, maps, st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32))
def test_any_windows_in_any_order_give_the_same_blocks(
    label: Ids, prediction: Ids, side: int, most: int, seed: int
) -> None:
    counter = matrices(2, side=side)
    windows = any_partition(Window(3, 1, 7, 6), np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MOST, most)
        patch.setattr(AT_A_TIME, most)

        parts = counted(counter, label, prediction, windows, origin=(3, 1))

        assert listed(parts) == listed(counted(counter, label, prediction, origin=(3, 1)))
    assert len(parts.blocks) <= most
    assert parts.total().tolist() == confusion_matrix(label, prediction, 2).tolist()


@given(st.permutations(range(6)), st.integers(1, 12))
def test_images_add_up_in_any_order_and_stay_apart(order: list[int], most: int) -> None:
    label = np.zeros((4, 6), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MOST, most)
        images = [counted(matrices(2, side=2, image=i), label, label) for i in range(6)]

        total = sum((images[i] for i in order), matrices(2, side=2).empty())

        assert listed(total) == listed(sum(images, matrices(2, side=2).empty()))
    assert len(total.blocks) <= max(most, 6)
    assert {place.image for place in total.blocks} == set(range(6))


def test_few_enough_blocks_for_memory() -> None:
    assert most_blocks(6**2) == most_blocks(2 * 255) == 4096
    assert most_blocks(255**2) * 8 * 255**2 <= 2**28


def test_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LabelError, match="labels hold id 2"):
        counted(matrices(2, side=4), np.full((3, 3), 2, np.uint8), np.zeros((3, 3), np.uint8))


def test_sides_are_doubled_while_enough_blocks_remain() -> None:
    label = np.zeros((16, 16), dtype=np.uint8)
    counts = counted(matrices(2, side=2), label, label)  # 64 blocks

    assert [len(counts.widened(least).blocks) for least in (65, 64, 17, 16, 4, 1, 0)] == [
        64,
        64,
        64,
        16,
        4,
        1,
        1,
    ]
    assert counts.widened(4).doublings == 2
    assert counts.widened(4).total().sum() == 256


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(0, 2**32))
def test_many_classes_in_small_blocks_are_counted_like_few_in_large_ones(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, prediction = rng.choice([0, 7, 253, 254, 255], size=(2, 12, 11)).astype(np.uint8)

    counts = counted(matrices(255, side=side), label, prediction)

    for place, matrix in counts.blocks.items():
        part = (
            slice(place.row * side, (place.row + 1) * side),
            slice(place.col * side, (place.col + 1) * side),
        )
        whole = SparseCounts.of(confusion_matrix(label[part], prediction[part], 255))
        assert (matrix.cells.tolist(), matrix.counts.tolist()) == (
            whole.cells.tolist(),
            whole.counts.tolist(),
        )
    assert counts.arrays().sum() == np.count_nonzero((label != 255) & (prediction != 255))


@pytest.mark.parametrize("side", [16, 64, 512])
def test_memory_is_that_of_pixels_and_not_of_matrices(side: int) -> None:
    """Noise is the worst case; as many matrices of 254 classes would take 0.5 GB with blocks of 16 px."""
    label, prediction = np.random.default_rng(0).integers(0, 254, (2, 512, 512), dtype=np.uint8)
    tracemalloc.start()
    try:
        counts = counted(matrices(254, side=side), label, prediction)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(int(matrix.counts.sum()) for matrix in counts.blocks.values()) == label.size
    assert kept < 10 * label.size + 1000 * len(counts.blocks) + 2**16
    assert most < 100 * label.size


def test_two_label_files_of_a_map_share_its_blocks() -> None:
    label = np.zeros((4, 4), dtype=np.uint8)
    counter = matrices(2, side=4)
    halves = [Window(0, 0, 4, 2), Window(0, 2, 4, 2)]

    chips = [counted(counter, label, label, [half], pair=pair) for pair, half in enumerate(halves)]

    assert listed(chips[0] + chips[1]) == listed(counted(counter, label, label))
