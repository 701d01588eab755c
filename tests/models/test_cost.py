"""Counting: examples checked by hand, and every network."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from rsseg.models.cost import Cost, count, count_memory
from rsseg.models.registry import NETWORKS, build_network


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


def test_memory_alone_is_counted_without_the_compiler() -> None:
    code = (
        "import sys, torch; from rsseg.models.cost import count_memory;"
        "print(count_memory(torch.nn.Conv2d(3, 5, 1), torch.ones(1, 3, 8, 6)), 'torch._dynamo' in sys.modules)"
    )

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert told.split() == [str(5 * 8 * 6 * 4), "False"]


def test_memory_alone_is_the_memory_of_the_cost() -> None:
    x = torch.ones(1, 10, 30)

    assert count_memory(Sum(), x) == count(Sum(), x).memory_bytes


def test_features_are_gone_before_the_head_works_at_full_size() -> None:
    """MAResU-Net took 350 bytes for each pixel while the caller held them."""
    built = build_network("maresunet", encoder="resnet18", classes=2).eval()

    assert count_memory(built, torch.zeros(1, 3, 128, 128)) / 128**2 == pytest.approx(320, abs=4)
