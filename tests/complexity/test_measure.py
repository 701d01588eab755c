"""Counting and measuring: examples checked by hand, the modules of attention, and how much memory there is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rsseg.complexity import measure as measuring
from rsseg.complexity import memory
from rsseg.complexity.bench import MOST_PER_COST, Bench
from rsseg.complexity.formulas import ATTENTION_KINDS, AttentionKind
from rsseg.complexity.measure import Measurement, measure
from rsseg.complexity.memory import usable_memory
from rsseg.models.cost import Cost, count

CPU = torch.device("cpu")
kinds = pytest.mark.parametrize("kind", ATTENTION_KINDS, ids=lambda kind: kind.name)


@kinds
def test_measuring_finds_what_counting_finds(kind: AttentionKind) -> None:
    found = measure(kind.build(16), torch.ones(1, 16, 12, 12))
    counted = count(kind.build(16).to("meta"), torch.ones(1, 16, 12, 12, device="meta"))

    assert Cost(mac=found.mac, memory_bytes=found.memory_bytes) == counted
    assert found.seconds > 0


@kinds
def test_measured_cost_grows_16_times_or_4_times_per_doubling(kind: AttentionKind) -> None:
    small, large = (measure(kind.build(16), torch.ones(1, 16, side, side)) for side in (32, 64))

    expected = 16 if kind.name == "dot-product" else 4
    assert large.mac / small.mac == pytest.approx(expected, rel=0.05)
    assert large.memory_bytes / small.memory_bytes == pytest.approx(expected, rel=0.05)


@kinds
def test_only_dot_product_attention_holds_a_number_for_every_pair_of_positions(kind: AttentionKind) -> None:
    positions = 48**2

    found = measure(kind.build(16), torch.ones(1, 16, 48, 48))

    assert (found.memory_bytes >= 4 * positions**2) == (kind.name == "dot-product")


@kinds
@pytest.mark.parametrize(("channels", "side"), [(8, 8), (16, 40), (64, 64), (512, 16)])
def test_memory_stays_below_what_the_bench_expects(kind: AttentionKind, channels: int, side: int) -> None:
    found = count(kind.build(channels).to("meta"), torch.empty(1, channels, side, side, device="meta"))

    expected = kind.cost(side**2, channels).memory_bytes
    assert 0.9 * expected <= found.memory_bytes <= MOST_PER_COST * expected


class Passes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x + 1


@pytest.mark.parametrize(("limit", "passes"), [(60.0, 1 + 3), (0.0, 1 + 1)])
def test_long_passes_are_timed_once_and_short_ones_three_times(
    limit: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_TIMED_SECONDS", limit)
    module = Passes()

    measure(module, torch.ones(2))

    assert module.count == passes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@kinds
def test_memory_on_a_gpu_is_what_the_allocator_says(kind: AttentionKind) -> None:
    module, x = kind.build(64).cuda(), torch.ones(1, 64, 64, 64, device="cuda")

    found = measure(module, x)

    assert found.mac == kind.cost(64**2, 64).mac
    assert found.memory_bytes >= 0.9 * kind.cost(64**2, 64).memory_bytes
    assert 0 < usable_memory(x.device) <= torch.cuda.get_device_properties(0).total_memory


def test_the_bench_refuses_what_may_not_fit() -> None:
    bench = Bench(CPU, max_memory=3_000, max_seconds=100)
    unbound = Bench(CPU, max_memory=None, max_seconds=100)

    assert bench.refusal("a", Cost(mac=1, memory_bytes=1_000)) == ""
    assert bench.refusal("a", Cost(mac=1, memory_bytes=1_001)) == (
        "may need 3.00 kB of memory, 3.00 kB can be used"
    )
    assert "may need 300 PB of memory" in unbound.refusal("a", Cost(mac=1, memory_bytes=10**17))


def test_the_bench_refuses_what_takes_too_long_and_learns_how_long_things_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Measurement(mac=10**9, memory_bytes=1, seconds=10.0)
    monkeypatch.setattr("rsseg.complexity.bench.measure", lambda _module, _x: found)
    bench = Bench(CPU, max_memory=None, max_seconds=100)
    cost = Cost(mac=10**10, memory_bytes=1)

    assert bench.refusal("a", cost) == ""
    assert bench.measure("a", nn.Identity(), torch.ones(1)) == found
    assert bench.refusal("a", cost).startswith("would take about 200.0 s, ")
    assert bench.refusal("a", cost).endswith(" s are left of 100 s")
    assert bench.refusal("b", cost) == ""


def test_a_fifth_of_the_free_memory_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 5_000_000)

    assert usable_memory(CPU) == 4_000_000
