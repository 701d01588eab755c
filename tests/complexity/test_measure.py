"""Counting and measuring: examples checked by hand, the modules of attention, and how much memory there is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rsseg.complexity import measure as measuring
from rsseg.complexity import memory
from rsseg.complexity.bench import MOST_PER_COST, Bench
from rsseg.complexity.formulas import ATTENTION_KINDS, AttentionKind, Cost
from rsseg.complexity.measure import Measurement, count, measure
from rsseg.complexity.memory import usable_memory
from rsseg.models.registry import NETWORKS, build_network

CPU = torch.device("cpu")
kinds = pytest.mark.parametrize("kind", ATTENTION_KINDS, ids=lambda kind: kind.name)


class Sum(nn.Module):
    """Four steps on (1, C, L): a view, a product (C x L) (L x C), its copy, and a sum."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(2)
        product = rows @ rows.transpose(1, 2)
        del rows
        copy = product + 1
        del product
        return copy.sum()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_operations_and_memory_of_an_example_checked_by_hand(device: str) -> None:
    cost = count(Sum(), torch.ones(1, 10, 30, device=device))

    # Product and copy live at once, 10 x 10 numbers each; input and views of it do not count.
    assert cost == Cost(mac=10 * 30 * 10, memory_bytes=2 * 10 * 10 * 4)


def test_weights_do_not_count_and_what_is_done_in_place_takes_no_memory() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.ReLU(inplace=True))

    cost = count(module, torch.ones(1, 3, 8, 6))

    assert cost == Cost(mac=3 * 5 * 9 * 8 * 6, memory_bytes=5 * 8 * 6 * 4)


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


def test_networks_are_counted_as_the_registry_says() -> None:
    with torch.device("meta"):
        network = build_network("maresunet", encoder="resnet18", classes=6).eval()

    cost = count(network, torch.empty(1, 3, 512, 512, device="meta"))

    assert cost.mac / 1e9 == pytest.approx(NETWORKS["maresunet"].sizes["resnet18"].gmac, abs=0.005)


@pytest.mark.parametrize("name", [name for name, entry in NETWORKS.items() if entry.side is None])
def test_counting_without_data_finds_what_running_finds(name: str) -> None:
    network, x = build_network(name, classes=6).eval(), torch.ones(1, 3, 64, 64)

    run, counted = count(network, x), count(network.to("meta"), x.to("meta"))

    assert counted.mac == run.mac
    assert counted.memory_bytes == pytest.approx(run.memory_bytes, rel=0.01)


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


def test_free_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)

    assert usable_memory(CPU) == int(0.8 * 5000 * 1024)


@pytest.mark.parametrize(("limit", "free"), [("1500000", 500_000), ("900000", 0), ("max", 5000 * 1024)])
def test_the_limit_of_a_container_counts(
    limit: str, free: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:    5000 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)

    assert usable_memory(CPU) == int(0.8 * free)


def test_where_the_system_does_not_say_half_of_the_memory_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "gone")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 100}.__getitem__)

    assert usable_memory(CPU) == int(0.8 * 50_000)
