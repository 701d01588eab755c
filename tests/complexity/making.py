"""Reports made by hand."""

from __future__ import annotations

from rsseg.complexity.measure import Measurement
from rsseg.complexity.report import Report, Row, Subject
from rsseg.models.cost import Cost


def subject(name: str, *, sides: tuple[int, ...], power: int = 2, measured: tuple[int, ...] = ()) -> Subject:
    """A subject whose operations and bytes are a power of the side; measured ones take a microsecond per pixel."""
    rows = tuple(
        Row(
            side=side,
            cost=Cost(mac=1000 * side**power, memory_bytes=100 * side**power),
            measured=Measurement(
                mac=1000 * side**power, memory_bytes=120 * side**power, seconds=1e-6 * side**2
            )
            if side in measured
            else None,
        )
        for side in sides
    )
    return Subject(name=name, parameters=12_345, rows=rows)


def report(*, attention: tuple[Subject, ...] = (), networks: tuple[Subject, ...] = ()) -> Report:
    return Report(
        channels=64, bands=3, classes=6, attention=attention, networks=networks, device="cpu", threads=2
    )
