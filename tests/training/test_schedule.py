"""The learning rate over a run, and which parameters decay."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rsseg.training.schedule import FINAL_SHARE, build_optimizer, learning_rate, set_learning_rate


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(steps: int, warmup: float) -> None:
    rates = [learning_rate(s, steps=steps, peak=1.0, warmup=warmup) for s in range(steps)]

    rising = round(warmup * steps)
    assert all(0 < rate <= 1 for rate in rates)
    assert all(a < b for a, b in pairwise(rates[:rising]))
    assert all(a > b for a, b in pairwise(rates[rising:]))


def test_numbers_a_person_can_check() -> None:
    rates = [learning_rate(s, steps=7, peak=0.4, warmup=2 / 7) for s in range(7)]

    middle = 0.4 * (FINAL_SHARE + (1 - FINAL_SHARE) / 2)
    assert rates[:2] == pytest.approx([0.4 / 3, 0.8 / 3])
    assert (rates[2], rates[4], rates[6]) == pytest.approx((0.4, middle, 0.4 * FINAL_SHARE))


def test_a_network_of_kernels_only_has_one_group() -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)

    assert len(build_optimizer(network, lr=0.1, weight_decay=0.05).param_groups) == 1


def test_the_rate_is_set_for_all_groups() -> None:
    optimizer = build_optimizer(nn.Conv2d(1, 1, 1), lr=0.1, weight_decay=0.05)

    set_learning_rate(optimizer, 0.025)

    assert [g["lr"] for g in optimizer.param_groups] == [0.025, 0.025]
