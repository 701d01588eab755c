"""The comparison as text."""

from __future__ import annotations

import pytest

from rsseg.complexity.table import table_text
from rsseg.complexity.units import si
from tests.complexity.making import report, subject


def test_a_table_has_a_block_for_each_subject() -> None:
    text = table_text(
        report(
            attention=(subject("dot-product", sides=(10, 20), power=4, measured=(10,)),),
            networks=(subject("town", sides=(10, 30)),),
        )
    )

    assert text.splitlines()[:11] == [
        "Position attention by formula: 64 channels, 8 of queries and keys, float32",
        "",
        "dot-product, 12.3 k parameters",
        "  side     MAC         MAC/px   memory         measured    time    px/s",
        "    10  10.0 M          100 k  1.00 MB          1.20 MB  100 µs  1.00 M",
        "    20   160 M  x16.0   400 k  16.0 MB  x16.0         -       -       -",
        "",
        "Networks as counted: 3 bands, 6 classes, float32",
        "",
        "town, 12.3 k parameters",
        "  tile    MAC        MAC/px   memory",
    ]
    assert "measured: memory as found, and the median time of a pass, on cpu with 2 threads" in text


def test_a_table_without_measurements_names_no_device() -> None:
    assert "cpu" not in table_text(report(networks=(subject("town", sides=(10,)),)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (1, "1.00"),
        (999.4, "999"),
        (999.6, "1.00 k"),
        (9_800, "9.80 k"),
        (12_340, "12.3 k"),
        (4.4e12, "4.40 T"),
        (3e20, "300 E"),
        (0.0123, "12.3 m"),
        (1e-9, "0.00 µ"),
    ],
)
def test_numbers_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert si(value) == text


def test_numbers_take_a_unit() -> None:
    assert si(69_206_016, "B") == "69.2 MB"
    assert si(1e12, "B", digits=1) == "1 TB"
    assert si(0.5, "s", digits=1) == "500 ms"
