"""What all tests share: the flag that re-records, and the table of parities at the end of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from rsseg.prediction import precision

# How long a test takes says more about the machine than about the code.
settings.register_profile("rsseg", deadline=None)
settings.load_profile("rsseg")

PARITY = "parity"
"""Name of the property under which a test leaves a line of the parity table."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record",
        action="store_true",
        help="write the recorded numbers of the networks anew instead of comparing",
    )


@pytest.fixture
def record(request: pytest.FixtureRequest) -> bool:
    """Whether to re-record."""
    return bool(request.config.getoption("--record"))


@pytest.fixture(autouse=True)
def _no_native_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--precision auto` means in a test shall not depend on the processor."""
    monkeypatch.setattr(precision, "_CPUINFO", Path(os.devnull))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        str(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", ())
        if name == PARITY
    ]
    if lines:
        terminalreporter.section("parity with the published networks: worst |error|, tolerance, ratio")
        for line in lines:
            terminalreporter.write_line(line)
