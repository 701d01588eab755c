from __future__ import annotations

import torch

from rsseg.models.context import ChannelContext, PositionContext


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
