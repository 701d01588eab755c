"""Formulas of attention: what torch counts, how they grow, and what the papers' figure shows."""

from __future__ import annotations

import pytest
import torch

from rsseg.complexity.formulas import ATTENTION_KINDS, AttentionKind, dot_product_cost
from rsseg.models.cost import count

kinds = pytest.mark.parametrize("kind", ATTENTION_KINDS, ids=lambda kind: kind.name)


@kinds
@pytest.mark.parametrize(("channels", "side"), [(8, 7), (20, 16), (64, 16), (64, 33), (128, 24)])
def test_operations_by_formula_are_those_that_torch_counts(
    kind: AttentionKind, channels: int, side: int
) -> None:
    counted = count(kind.build(channels).to("meta"), torch.empty(1, channels, side, side, device="meta"))

    assert counted.mac == kind.cost(side**2, channels).mac


@kinds
@pytest.mark.parametrize("side", [256, 512, 1024, 8192])
def test_a_doubled_side_costs_16_times_as_much_or_4_times(kind: AttentionKind, side: int) -> None:
    small, large = kind.cost(side**2, 64), kind.cost(4 * side**2, 64)

    expected = 16 if kind.name == "dot-product" else 4
    assert large.mac / small.mac == pytest.approx(expected, rel=0.01)
    assert large.memory_bytes / small.memory_bytes == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("side", "published"), [(64, 69e6), (128, 1.1e9), (256, 17.2e9), (512, 275.0e9), (1024, 4.4e12)]
)
def test_memory_of_dot_product_attention_is_that_of_the_published_figure(side: int, published: float) -> None:
    memory = dot_product_cost(side**2, 64).memory_bytes

    assert memory == 4 * (side**4 + 128 * side**2)
    assert memory == pytest.approx(published, rel=0.02)  # its labels have two digits


@pytest.mark.parametrize(("side", "published"), [(256, 828.9e9), (512, 13.3e12), (1024, 212.2e12)])
def test_operations_of_dot_product_attention_grow_like_those_of_the_published_figure(
    side: int, published: float
) -> None:
    # Its modules are wider than ours: 193 products for each pair of positions, and 8 + 64 here.
    assert dot_product_cost(side**2, 64).mac / published == pytest.approx(72 / 193, rel=0.01)
