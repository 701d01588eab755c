"""What a comparison of costs can be told; it checks itself without waiting for torch to be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsseg.errors import OptionError
from rsseg.models.registry import NetworkEntry, check_encoder, network_entry

LARGEST_SIDE = 16384


@dataclass(frozen=True, kw_only=True)
class ComplexityOptions:
    """What to compare.

    `channels` are those of the maps that attention sees, `sides` theirs; `tiles` are the sides of what networks see.
    `networks` are of the form NAME or NAME:ENCODER. No sides or no tiles leave that half out. A measurement is left
    out that would take all of them past `max_seconds`, or may need more than `max_memory` bytes or than is free.

    Raises:
        OptionError: a value is out of its range, or there is no such network or encoder.
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
        for text in self.networks:
            _read_network(text)

    def chosen_networks(self) -> list[tuple[NetworkEntry, str]]:
        """Each network with its encoder, "" where it has none; whatever is named twice is there once."""
        chosen = {(entry.name, encoder): entry for entry, encoder in map(_read_network, self.networks)}
        return [(entry, encoder) for (_, encoder), entry in chosen.items()]


def _read_network(text: str) -> tuple[NetworkEntry, str]:
    name, _, encoder = text.partition(":")
    entry = network_entry(name)
    return entry, check_encoder(entry, encoder)
