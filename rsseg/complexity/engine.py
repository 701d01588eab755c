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
from rsseg.complexity.formulas import ATTENTION_KINDS, AttentionKind, Cost
from rsseg.complexity.measure import Measurement, count
from rsseg.complexity.report import Report, Row, Subject
from rsseg.errors import OptionError
from rsseg.models.registry import build_network, network_entry

BANDS, CLASSES = 3, 6
"""Of the networks compared, as of the registry's sizes."""

LARGEST_SIDE = 16384


@dataclass(frozen=True, kw_only=True)
class ComplexityOptions:
    """What to compare.

    `channels` are those of the maps that attention sees, `sides` theirs; `tiles` are the sides of what networks see.
    `networks` are of the form NAME or NAME:ENCODER. No sides or no tiles leave that half out. A measurement is left
    out that would take all of them past `max_seconds`, or may need more than `max_memory` bytes or than is free.
    """

    channels: int = 64
    sides: Sequence[int] = (64, 128, 256, 512, 1024)
    networks: Sequence[str] = ("maresunet", "manet", "abcnet")
    tiles: Sequence[int] = (128, 256, 512, 1024, 2048)
    measured: bool = True
    max_memory: int | None = None
    max_seconds: float = 12.0

    def __post_init__(self) -> None:
        if not 8 <= self.channels <= 8192:
            raise OptionError(f"channels is {self.channels}; expected 8 to 8192")
        for what, sizes in {"sides": self.sides, "tiles": self.tiles}.items():
            odd = [size for size in sizes if not 1 <= size <= LARGEST_SIDE]
            if odd:
                raise OptionError(f"{what} has {odd[0]}; expected pixels from 1 to {LARGEST_SIDE}")
        if not self.max_seconds > 0:  # NaN is not, either
            raise OptionError(f"max-seconds is {self.max_seconds:g}; expected more than 0")


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

    Raises:
        OptionError: an unknown network or encoder, or an encoder for a network without a choice.
    """
    networks = [_network(name, options) for name in dict.fromkeys(options.networks) if options.tiles]
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
    return _Candidate(
        name=kind.name,
        parameters=_parameters(kind.build(channels)),
        sides=sorted(set(options.sides)),
        cost=lambda side: kind.cost(side**2, channels),
        build=lambda device: kind.build(channels).eval().to(device),
        image=lambda side, device: torch.full((1, channels, side, side), 0.5, device=device),
    )


def _network(text: str, options: ComplexityOptions) -> _Candidate:
    name, _, encoder = text.partition(":")
    entry = network_entry(name)

    def build(device: torch.device) -> nn.Module:
        with device:
            network = build_network(name, encoder=encoder, bands=BANDS, classes=CLASSES)
        # The order of dimensions that prediction uses.
        return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def image(side: int, device: torch.device) -> Tensor:
        x = torch.full((1, BANDS, side, side), 0.5, device=device)
        return x.contiguous(memory_format=torch.channels_last)

    shape_only = torch.device("meta")
    counted = build(shape_only)
    return _Candidate(
        name=entry.name,
        encoder=encoder or entry.default_encoder,
        parameters=_parameters(counted),
        sides=sorted(set(options.tiles)) if entry.side is None else [entry.side],
        cost=lambda side: count(counted, image(side, shape_only)),
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
