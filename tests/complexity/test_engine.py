"""The comparison as a whole: what is counted, what is measured, what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from rsseg.complexity.engine import compare_costs
from rsseg.complexity.formulas import AttentionKind
from rsseg.complexity.options import ComplexityOptions
from rsseg.complexity.report import Report
from rsseg.errors import OptionError
from rsseg.models.registry import NETWORKS

CPU = torch.device("cpu")


def compare(**options: Any) -> Report:
    """A comparison that takes no time."""
    small = {
        "channels": 8,
        "sides": (8, 16),
        "networks": ("linear",),
        "tiles": (16, 32),
        "max_seconds": 1000.0,
    }
    return compare_costs(ComplexityOptions(**{**small, **options}), device=CPU)


def test_attention_and_networks_are_counted_and_measured() -> None:
    report = compare()

    assert [subject.title for subject in report.attention] == ["dot-product", "linear", "kernel"]
    assert [subject.title for subject in report.networks] == ["linear"]
    for subject in (*report.attention, *report.networks):
        assert subject.parameters > 0
        assert subject.notes == ()
        for row in subject.rows:
            assert row.measured is not None
            assert row.measured.mac == row.cost.mac
            assert row.mac_per_pixel * row.side**2 == pytest.approx(row.cost.mac)
    assert (report.device, report.threads) == ("cpu", torch.get_num_threads())


def test_a_network_is_named_with_its_encoder_and_counted_without_running() -> None:
    report = compare(sides=(), networks=("maresunet:resnet18", "manet"), tiles=(64,), measured=False)

    assert [(s.title, s.parameters) for s in report.networks] == [
        ("maresunet resnet18", NETWORKS["maresunet"].sizes["resnet18"].parameters),
        ("manet resnet50", NETWORKS["manet"].sizes["resnet50"].parameters),
    ]
    assert report.attention == ()
    assert not report.is_measured


def test_sides_are_sorted_and_each_counts_once() -> None:
    report = compare(sides=(16, 8, 16), tiles=(32, 16, 32), networks=("linear", "linear"), measured=False)

    assert [row.side for row in report.attention[0].rows] == [8, 16]
    assert [[row.side for row in subject.rows] for subject in report.networks] == [[16, 32]]


def test_a_network_that_is_named_twice_is_compared_once() -> None:
    report = compare(
        sides=(),
        networks=("manet", "manet:resnet50", "manet:resnet18", "attanet_light", "attanet-light"),
        tiles=(32,),
        measured=False,
    )

    assert [subject.title for subject in report.networks] == [
        "manet resnet50",
        "manet resnet18",
        f"attanet-light {NETWORKS['attanet-light'].default_encoder}".strip(),
    ]


def test_attention_over_many_channels_is_counted_without_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = set()
    original = AttentionKind.build

    def build(kind: AttentionKind, channels: int) -> nn.Module:
        module = original(kind, channels)
        devices.update(parameter.device.type for parameter in module.parameters())
        return module

    monkeypatch.setattr(AttentionKind, "build", build)

    report = compare(channels=64, tiles=(), measured=False)

    assert devices == {"meta"}
    assert report.attention[0].parameters == (64 + 1) * (8 + 8 + 64) + 1


def test_no_tiles_leave_networks_out() -> None:
    assert compare(tiles=(), measured=False).networks == ()


def test_what_does_not_fit_into_memory_is_left_out_and_so_are_all_larger_sides() -> None:
    report = compare(sides=(8, 16, 32), tiles=(), max_memory=100_000)
    dot_product, linear, _ = report.attention

    assert [row.measured is not None for row in dot_product.rows] == [True, False, False]
    assert dot_product.notes == ("not measured from 16 px on: may need 836 kB of memory, 100 kB can be used",)
    assert [row.measured is not None for row in linear.rows] == [True, True, False]


def test_what_takes_too_long_is_left_out() -> None:
    report = compare(max_seconds=1e-9)

    assert not report.is_measured
    for subject in report.attention:
        assert "not measured from 8 px on: would take about" in subject.notes[0]


def test_a_network_of_one_side_is_counted_at_that_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "square", replace(NETWORKS["linear"], name="square", side=24))

    (square,) = compare(networks=("square",), sides=()).networks

    assert [row.side for row in square.rows] == [24]
    assert square.notes == ("takes no other side than 24 px",)


def test_progress_rises_to_one() -> None:
    shares: list[float] = []
    options = ComplexityOptions(channels=8, sides=(8, 16), networks=("linear",), tiles=(16,), max_memory=1)

    compare_costs(options, device=CPU, on_progress=shares.append)

    assert shares == [pytest.approx(n / 14) for n in range(1, 15)]


def test_a_report_is_plain_json() -> None:
    values = json.loads(json.dumps(compare(max_memory=100_000).to_dict(), allow_nan=False))

    assert values["attention"][0]["name"] == "dot-product"
    assert values["attention"][0]["rows"][0]["measured"].keys() == {"mac", "memory_bytes", "seconds"}
    assert values["attention"][0]["rows"][1]["measured"] is None
    assert values["attention"][0]["rows"][1]["mac"] == 256**2 * (1 + 8) + 256 * 8 * (2 + 8)
    assert values["networks"][0]["rows"][0]["mac_per_pixel"] == 3 * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 7}, "channels is 7; expected 8 to 8192"),
        ({"sides": (64, 0)}, "sides has 0; expected pixels from 1 to 16384"),
        ({"tiles": (16385,)}, "tiles has 16385; expected pixels from 1 to 16384"),
        ({"max_seconds": 0.0}, "max-seconds is 0; expected more than 0"),
        ({"max_seconds": float("nan")}, "max-seconds is nan; expected more than 0"),
        ({"networks": ("town",)}, "town: unknown network"),
        ({"networks": ("manet:big",)}, "manet: unknown encoder big"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compare(**options)
