"""Compare costs over sizes: those of attention by formula, those of networks counted, both measured where that fits.

Networks are counted on the device "meta", which needs neither time nor memory. Measurements begin with the cheapest;
where one size of a subject is left out, all its larger ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rsseg.complexity.bench import Bench
from rsseg.complexity.formulas import ATTENTION_KINDS, AttentionKind
from rsseg.complexity.measure import Measurement
from rsseg.complexity.options import ComplexityOptions
from rsseg.complexity.report import Report, Row, Subject
from rsseg.models.cost import Cost, count
from rsseg.models.registry import NetworkEntry, build_network

BANDS, CLASSES = 3, 6
"""Of the networks compared, as of the registry's sizes."""

_SHAPE_ONLY = torch.device("meta")


def compare_costs(
    options: ComplexityOptions,
    *,
    device: torch.device,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Report:
    """Count all costs and measure those that fit.

    Args:
        options: what to compare.
        device: where to measure.
        on_progress: takes the share done, from 0 to 1.
    """
    networks = [_network(*chosen, options) for chosen in options.chosen_networks() if options.tiles]
    attention = [_attention(kind, options) for kind in ATTENTION_KINDS if options.sides]
    points = [(candidate, side) for candidate in (*networks, *attention) for side in candidate.sides]
    steps = _Steps(len(points) * (2 if options.measured else 1), on_progress)
    for candidate, side in points:
        candidate.costs[side] = candidate.cost(side)
        steps.advance()
    if options.measured:
        bench = Bench(device, max_memory=options.max_memory, max_seconds=options.max_seconds)
        for candidate, side in sorted(points, key=lambda point: point[0].costs[point[1]].mac):
            candidate.try_on(bench, side)
            steps.advance()
    return Report(
        channels=options.channels,
        bands=BANDS,
        classes=CLASSES,
        attention=tuple(candidate.subject() for candidate in attention),
        networks=tuple(candidate.subject() for candidate in networks),
        device=_device_name(device),
        threads=torch.get_num_threads(),
    )


@dataclass(kw_only=True)
class _Candidate:
    """A subject while its numbers come in."""

    name: str
    encoder: str = ""
    parameters: int
    sides: Sequence[int]
    cost: Callable[[int], Cost]
    build: Callable[[torch.device], nn.Module]
    image: Callable[[int, torch.device], Tensor]
    notes: list[str] = field(default_factory=list)
    costs: dict[int, Cost] = field(default_factory=dict)
    measured: dict[int, Measurement] = field(default_factory=dict)
    gave_up: bool = False
    module: nn.Module | None = None

    def try_on(self, bench: Bench, side: int) -> None:
        """Measure one size unless the bench refuses it or a smaller one."""
        if self.gave_up:
            return
        key = f"{self.name}:{self.encoder}"
        refusal = bench.refusal(key, self.costs[side])
        if refusal:
            self.gave_up = True
            self.notes.append(f"not measured from {side} px on: {refusal}")
            return
        if self.module is None:
            self.module = self.build(bench.device)
        self.measured[side] = bench.measure(key, self.module, self.image(side, bench.device))

    def subject(self) -> Subject:
        """What is known of it."""
        rows = (
            Row(side=side, cost=self.costs[side], measured=self.measured.get(side)) for side in self.sides
        )
        return Subject(
            name=self.name,
            encoder=self.encoder,
            parameters=self.parameters,
            rows=tuple(rows),
            notes=tuple(self.notes),
        )


def _attention(kind: AttentionKind, options: ComplexityOptions) -> _Candidate:
    channels = options.channels
    with _SHAPE_ONLY:
        attention = kind.build(channels)
    return _Candidate(
        name=kind.name,
        parameters=_parameters(attention),
        sides=sorted(set(options.sides)),
        cost=lambda side: kind.cost(side**2, channels),
        build=lambda device: kind.build(channels).eval().to(device),
        image=lambda side, device: torch.full((1, channels, side, side), 0.5, device=device),
    )


def _network(entry: NetworkEntry, encoder: str, options: ComplexityOptions) -> _Candidate:
    def build(device: torch.device) -> nn.Module:
        with device:
            network = build_network(entry.name, encoder=encoder, bands=BANDS, classes=CLASSES)
        # The order of dimensions that prediction uses.
        return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def image(side: int, device: torch.device) -> Tensor:
        x = torch.full((1, BANDS, side, side), 0.5, device=device)
        return x.contiguous(memory_format=torch.channels_last)

    counted = build(_SHAPE_ONLY)
    return _Candidate(
        name=entry.name,
        encoder=encoder,
        parameters=_parameters(counted),
        sides=sorted(set(options.tiles)) if entry.side is None else [entry.side],
        cost=lambda side: count(counted, image(side, _SHAPE_ONLY)),
        build=build,
        image=image,
        notes=[] if entry.side is None else [f"takes no other side than {entry.side} px"],
    )


class _Steps:
    """Tells how much of a known number of steps is done."""

    def __init__(self, total: int, on_progress: Callable[[float], None]) -> None:
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def advance(self) -> None:
        self._done += 1
        self._on_progress(self._done / self._total)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
