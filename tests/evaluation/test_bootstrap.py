"""The block bootstrap: resampling by its definition, and coverage in a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rsseg.errors import OptionError
from rsseg.evaluation.block_counts import BlockCounts, Place, SparseCounts
from rsseg.evaluation.bootstrap import (
    difference_intervals,
    interval_of,
    matrix_values,
    resampled,
    score_intervals,
)


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


def test_sums_do_not_depend_on_how_many_cells_are_summed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = np.random.default_rng(0).integers(0, 2**40, (7, 3, 3))
    whole = list(resampled(blocks, replicates=70, seed=1))

    monkeypatch.setattr("rsseg.evaluation.bootstrap._MOST_CELLS", 15)  # two of the nine columns

    np.testing.assert_array_equal(list(resampled(blocks, replicates=70, seed=1)), whole)


def test_intervals_are_percentiles_of_the_scores_of_replicates() -> None:
    rng = np.random.default_rng(0)
    counts = blocks_of(*rng.integers(0, 50, (12, 2, 2)).tolist())

    found = score_intervals(counts, matrix_values, replicates=200, level=0.9, seed=7)

    drawn = list(resampled(counts.arrays(), replicates=200, seed=7))
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
    counts = blocks_of([[9, 0], [0, 0]], [[9, 1], [0, 0]], [[8, 0], [0, 4]])

    found = score_intervals(counts, matrix_values, replicates=100)

    assert found.classes["recall"][1].low == 1.0  # NaN, not 0, where only the first two were drawn


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
