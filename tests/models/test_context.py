from __future__ import annotations

import math

import torch

from rsseg.models.context import ChannelContext, GateContext, PositionContext, StripContext


def context(*, count: int, total: float) -> ChannelContext:
    return ChannelContext(positions=torch.tensor([count]), gram=torch.full((1, 2, 2), total))


def test_counts_stay_whole_numbers_and_sums_become_float64() -> None:
    merged = context(count=2, total=1.0) + context(count=3, total=4.0)

    assert merged.positions.dtype == torch.int64
    assert merged.positions.tolist() == [5]
    assert merged.gram.dtype == torch.float64
    assert merged.gram.tolist() == [[[5.0, 5.0], [5.0, 5.0]]]


def test_a_long_chain_of_small_contexts_loses_nothing() -> None:
    total = context(count=1, total=2.0**24)
    for _ in range(100):
        total = total + context(count=1, total=1.0)

    assert total.gram[0, 0, 0].item() == 2.0**24 + 100  # in float32 it would still be 2^24


def test_the_mean_divides_each_sample_by_its_own_count() -> None:
    sums = PositionContext(
        positions=torch.tensor([2, 0]),
        keys=torch.tensor([[4.0], [0.0]]),
        values=torch.tensor([[6.0, 8.0], [0.0, 0.0]]),
        key_values=torch.tensor([[[2.0, 1.0]], [[0.0, 0.0]]]),
    )

    mean = sums.mean()

    assert mean.keys.tolist() == [[2.0], [0.0]]
    assert mean.values.tolist() == [[3.0, 4.0], [0.0, 0.0]]
    assert mean.key_values.tolist() == [[[1.0, 0.5]], [[0.0, 0.0]]]
    assert mean.positions.tolist() == [2, 0]


def test_samples_merge_into_one() -> None:
    sums = ChannelContext(positions=torch.tensor([2, 5]), gram=torch.tensor([[[1.0]], [[2.5]]]))

    merged = sums.over_samples()

    assert merged.positions.tolist() == [7]
    assert merged.gram.tolist() == [[[3.5]]]


def test_peaks_merge_to_the_larger_one_and_an_empty_part_has_none() -> None:
    one = GateContext(
        positions=torch.tensor([2]), total=torch.tensor([[1.0, -4.0]]), peak=torch.tensor([[3.0, -1.0]])
    )
    other = GateContext(
        positions=torch.tensor([1]), total=torch.tensor([[2.0, -5.0]]), peak=torch.tensor([[2.0, -0.5]])
    )
    empty = GateContext(
        positions=torch.tensor([0]), total=torch.zeros(1, 2), peak=torch.full((1, 2), -math.inf)
    )

    merged = one + empty + other

    assert merged.positions.tolist() == [3]
    assert merged.total.tolist() == [[3.0, -9.0]]
    assert merged.peak.tolist() == [[3.0, -0.5]]
    assert merged.mean().total.tolist() == [[1.0, -3.0]]
    assert merged.mean().peak.tolist() == [[3.0, -0.5]]
    assert merged.peak.dtype == torch.float64
    assert merged.to(torch.float32).peak.dtype == torch.float32


def test_the_peaks_of_samples_merge_into_one() -> None:
    sums = GateContext(
        positions=torch.tensor([2, 1]),
        total=torch.tensor([[1.0], [2.0]]),
        peak=torch.tensor([[-3.0], [-2.0]]),
    )

    merged = sums.over_samples()

    assert merged.positions.tolist() == [3]
    assert merged.total.tolist() == [[3.0]]
    assert merged.peak.tolist() == [[-2.0]]


def test_strips_count_and_average_every_column_on_its_own() -> None:
    upper = StripContext(
        positions=torch.tensor([[2, 0, 1]]),
        queries=torch.tensor([[[4.0, 0.0, 1.0]]]),
        values=torch.tensor([[[2.0, 0.0, 3.0]]]),
    )
    lower = StripContext(
        positions=torch.tensor([[2, 0, 0]]),
        queries=torch.tensor([[[4.0, 0.0, 0.0]]]),
        values=torch.tensor([[[6.0, 0.0, 0.0]]]),
    )

    merged = upper + lower

    assert merged.positions.tolist() == [[4, 0, 1]]
    assert merged.mean().queries.tolist() == [[[2.0, 0.0, 1.0]]]
    assert merged.mean().values.tolist() == [[[2.0, 0.0, 3.0]]]
