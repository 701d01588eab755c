"""The block bootstrap: resampling by its definition, and coverage in a simulation."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from rsseg.errors import OptionError
from rsseg.evaluation.block_counts import BlockCounts, Place, SparseCounts
from rsseg.evaluation.bootstrap import (
    difference_intervals,
    interval_of,
    resampled,
    score_intervals,
)
from rsseg.evaluation.values import matrix_values


def blocks_of(*matrices: list[list[int]]) -> BlockCounts:
    return BlockCounts(
        (2, 2),
        blocks={Place(0, 0, i): SparseCounts.of(np.array(matrix)) for i, matrix in enumerate(matrices)},
    )


def test_replicates_are_sums_of_blocks_drawn_with_replacement() -> None:
    powers = 10 ** np.arange(6)[:, np.newaxis]  # the digits of a sum say how often each block was drawn

    sums = [int(s[0]) for s in resampled(powers, replicates=100, seed=3)]

    assert all(sum(map(int, f"{s:06d}")) == 6 for s in sums)
    assert len(set(sums)) > 50
    assert sums == [int(s[0]) for s in resampled(powers, replicates=100, seed=3)]
    assert sums != [int(s[0]) for s in resampled(powers, replicates=100, seed=4)]


def test_sums_of_sparse_blocks_are_those_of_their_arrays() -> None:
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 2**40, (7, 3, 3)) * (rng.random((7, 3, 3)) < 0.4)
    counts = BlockCounts((3, 3), blocks={Place(0, 0, i): SparseCounts.of(of) for i, of in enumerate(arrays)})
    draws = np.random.default_rng(1).integers(7, size=(64, 7))

    sums = list(resampled(counts.rows(sorted(counts.blocks)), replicates=70, seed=1))

    assert len(sums) == 70
    assert [of.reshape(3, 3).tolist() for of in sums[:64]] == arrays[draws].sum(axis=1).tolist()


def test_memory_grows_with_what_is_counted_and_not_with_classes() -> None:
    """400 images of a block each and 150 classes: their matrices would take 72 MB."""
    matrix = SparseCounts(np.array([0, 151], dtype=np.uint16), np.array([5, 3]))
    counts = BlockCounts((150, 150), blocks={Place(i, 0, 0): matrix for i in range(400)})
    counts.rows([])  # what is imported does not count
    tracemalloc.start()

    score_intervals(counts, matrix_values, replicates=2)

    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_intervals_are_percentiles_of_the_scores_of_replicates() -> None:
    rng = np.random.default_rng(0)
    counts = blocks_of(*rng.integers(0, 50, (12, 2, 2)).tolist())

    found = score_intervals(counts, matrix_values, replicates=200, level=0.9, seed=7)

    sums = resampled(counts.rows(sorted(counts.blocks)), replicates=200, seed=7)
    drawn = [of.reshape(2, 2) for of in sums]
    accuracies = [np.trace(m) / m.sum() for m in drawn]
    ious = [m[1, 1] / (m[1].sum() + m[:, 1].sum() - m[1, 1]) for m in drawn]
    interval = found.summary["overall_accuracy"]
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(accuracies, [0.05, 0.95])))
    assert interval.se == pytest.approx(np.std(accuracies, ddof=1))
    assert found.classes["iou"][1].high == pytest.approx(np.quantile(ious, 0.95))
    assert (found.blocks, found.replicates, found.level) == (12, 200, 0.9)


def test_the_order_of_blocks_does_not_matter() -> None:
    counts = blocks_of([[5, 1], [0, 3]], [[2, 2], [1, 9]], [[7, 0], [4, 4]])
    backwards = BlockCounts((2, 2), blocks=dict(reversed(list(counts.blocks.items()))))

    assert score_intervals(backwards, matrix_values, replicates=50) == score_intervals(
        counts, matrix_values, replicates=50
    )


def test_replicates_without_a_class_do_not_count_for_it() -> None:
    counts = blocks_of([[9, 0], [0, 0]], [[9, 1], [0, 0]], [[8, 0], [0, 4]], [[8, 0], [0, 2]])

    found = score_intervals(counts, matrix_values, replicates=100)

    assert found.classes["recall"][1].low == 1.0  # NaN, not 0, where only the first two were drawn
    assert 0 < found.left_out < 20  # 6 are expected: one of 16


def test_means_are_over_the_same_classes_in_all_replicates() -> None:
    """Class 2 is in 2 of 60 blocks, with IoU 1/4: without it the mean of the others would be far higher."""
    common = [[40, 0, 0], [0, 50, 0], [0, 0, 0]]
    rare = [[[40, 0, 0], [0, 50, 0], [0, 7, 1]], [[40, 0, 0], [0, 50, 0], [0, 2, 2]]]
    blocks = {Place(0, 0, i): SparseCounts.of(np.array(of)) for i, of in enumerate(rare + 58 * [common])}
    counts = BlockCounts((3, 3), blocks=blocks)

    found = score_intervals(counts, matrix_values)

    drawn = [
        matrix_values(of.reshape(3, 3))
        for of in resampled(counts.rows(sorted(counts.blocks)), replicates=1000, seed=0)
    ]
    missing = sum(math.isnan(of.classes["iou"][2]) for of in drawn)
    assert 80 < missing < 200  # (58 / 60)^60 is 0.13
    assert found.left_out == missing
    for name in ("mean_iou", "mean_f1", "average_accuracy"):
        interval = found.summary[name]
        assert interval.low < found.values.summary[name] < interval.high < 0.9
        assert interval.blocks == 2
    assert found.summary["overall_accuracy"].blocks == 60


def test_a_class_in_no_block_is_in_no_mean() -> None:
    counts = blocks_of([[9, 0], [0, 0]], [[7, 0], [0, 0]])

    found = score_intervals(counts, matrix_values, replicates=20)

    assert found.summary["mean_iou"].low == 1.0
    assert (found.summary["mean_iou"].blocks, found.left_out) == (2, 0)


def test_what_rests_on_one_block_has_no_interval() -> None:
    """The same block in all replicates that have the class: its score would be the same in all of them."""
    counts = blocks_of([[9, 1], [0, 0]], [[7, 0], [0, 0]], [[8, 0], [2, 4]])

    found = score_intervals(counts, matrix_values, replicates=50)

    recall, accuracy = found.classes["recall"], found.summary["overall_accuracy"]
    assert [recall[k].blocks for k in (0, 1)] == [3, 1]
    assert math.isnan(recall[1].low)
    assert math.isnan(found.summary["average_accuracy"].se)  # the mean of both
    assert (found.classes["iou"][1].blocks, found.summary["mean_iou"].blocks) == (2, 2)
    assert recall[0].low < recall[0].high
    assert accuracy.low < accuracy.high


def test_kappa_rests_on_all_blocks_though_it_is_undefined_in_those_of_one_class() -> None:
    counts = blocks_of([[9, 0], [0, 0]], [[0, 0], [0, 8]], [[8, 1], [0, 4]])

    assert score_intervals(counts, matrix_values, replicates=50).summary["kappa"].blocks == 3


def test_a_difference_that_rests_on_one_block_is_none() -> None:
    a = blocks_of([[9, 1], [0, 0]], [[7, 0], [0, 0]], [[8, 0], [0, 4]])
    b = blocks_of([[9, 1], [0, 0]], [[7, 0], [0, 0]], [[8, 0], [4, 0]])

    found = difference_intervals(a, b, matrix_values, replicates=50)

    assert found.values.classes["recall"][1] == 1.0
    assert found.classes["recall"][1].blocks == 1
    assert not found.classes["recall"][1].excludes(0)
    assert not found.summary["average_accuracy"].excludes(0)
    assert found.summary["overall_accuracy"].blocks == 3


@pytest.mark.parametrize("counts", [blocks_of(), blocks_of([[5, 1], [0, 3]])])
def test_less_than_two_blocks_say_nothing(counts: BlockCounts) -> None:
    interval = score_intervals(counts, matrix_values, replicates=10).summary["mean_iou"]

    assert math.isnan(interval.low)
    assert math.isnan(interval.se)
    assert not interval.excludes(0)


def test_the_difference_of_a_map_to_itself_is_nothing() -> None:
    counts = blocks_of([[5, 1], [0, 3]], [[2, 2], [1, 9]])

    found = difference_intervals(counts, counts, matrix_values, replicates=20)

    assert found.summary["kappa"].low == found.summary["kappa"].high == 0.0


def test_a_difference_takes_the_same_ground_of_both() -> None:
    """Blocks differ widely, the two maps by a constant share in each: only a paired draw sees it."""
    hard = np.arange(0, 90, 3)
    a = blocks_of(*([[100 - h, h], [0, 0]] for h in hard))
    b = blocks_of(*([[95 - h, h + 5], [0, 0]] for h in hard))

    found = difference_intervals(a, b, matrix_values, replicates=200).summary["overall_accuracy"]

    assert (found.low, found.high) == pytest.approx((0.05, 0.05))
    assert found.excludes(0)
    assert score_intervals(a, matrix_values, replicates=200).summary["overall_accuracy"].se > 0.03


def test_a_difference_of_maps_whose_blocks_are_of_two_sizes() -> None:
    a = blocks_of([[4, 0], [0, 0]], [[4, 0], [0, 0]], [[4, 0], [0, 0]])
    b = BlockCounts((2, 2), 1, blocks_of([[4, 4], [0, 0]], [[2, 2], [0, 0]]).blocks)

    found = difference_intervals(a, b, matrix_values, replicates=20)

    assert found.blocks == 2
    assert found.doublings == 1
    assert found.summary["overall_accuracy"].low == 0.5


def test_intervals_hold_the_truth_as_often_as_they_say_and_those_of_pixels_do_not() -> None:
    """300 scenes of 60 blocks with 100 pixels each, whose share of right ones varies from block to block."""
    rng = np.random.default_rng(11)
    truth, scenes, count, pixels = 0.8, 300, 60, 100
    held = held_by_pixels = 0
    for scene in range(scenes):
        right = rng.binomial(pixels, rng.beta(4, 1, count))  # mean 0.8, standard deviation 0.16
        sums = resampled(right[:, np.newaxis], replicates=200, seed=scene)
        shares = np.concatenate(list(sums)) / (count * pixels)
        interval = interval_of(shares, blocks=count, level=0.95)
        held += not interval.excludes(truth)
        share = right.sum() / (count * pixels)
        error = math.sqrt(share * (1 - share) / (count * pixels))
        held_by_pixels += abs(share - truth) <= 1.96 * error

    assert 0.90 <= held / scenes <= 0.98
    assert held_by_pixels / scenes < 0.5


def test_a_single_replicate_or_a_level_of_one_is_refused() -> None:
    counts = blocks_of([[5, 1], [0, 3]], [[2, 2], [1, 9]])

    with pytest.raises(OptionError, match="replicates is 1; it must be at least 2"):
        score_intervals(counts, matrix_values, replicates=1)
    with pytest.raises(OptionError, match="level is 1"):
        score_intervals(counts, matrix_values, replicates=10, level=1)


def test_there_is_no_interval_of_a_score_that_most_replicates_lack() -> None:
    values = np.full(10, np.nan)
    values[:4] = 0.5
    assert math.isnan(interval_of(values, blocks=40, level=0.95).low)
    values[4] = 0.6
    assert interval_of(values, blocks=40, level=0.95).low == pytest.approx(0.5)
