"""What a comparison of costs finds, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rsseg.complexity.formulas import key_channels
from rsseg.complexity.measure import Measurement
from rsseg.models.cost import Cost
from rsseg.version import __version__


@dataclass(frozen=True, kw_only=True)
class Row:
    """The cost of one image of side x side, and what was measured if it was."""

    side: int
    cost: Cost
    measured: Measurement | None = None

    @property
    def mac_per_pixel(self) -> float:
        """Multiply-accumulates per pixel of the image, or per position of the map."""
        return self.cost.mac / self.side**2


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What was compared: a kind of attention or a network, with its rows by rising side.

    `notes` say what was left out, and why.
    """

    name: str
    encoder: str = ""
    parameters: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name and encoder."""
        return f"{self.name} {self.encoder}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "encoder": self.encoder,
            "parameters": self.parameters,
            "rows": [
                {
                    "side": row.side,
                    **asdict(row.cost),
                    "mac_per_pixel": row.mac_per_pixel,
                    "measured": None if row.measured is None else asdict(row.measured),
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """All costs in float32; `device` and `threads` are those of the measurements.

    Attention is that of maps with `channels`; networks take `bands` and give `classes`.
    """

    channels: int
    bands: int
    classes: int
    attention: tuple[Subject, ...]
    networks: tuple[Subject, ...]
    device: str
    threads: int

    @property
    def is_measured(self) -> bool:
        """Whether anything was."""
        return any(row.measured for subject in (*self.attention, *self.networks) for row in subject.rows)

    @property
    def place(self) -> str:
        """The device, and the threads of a CPU."""
        if self.device != "cpu":
            return self.device
        return f"cpu with {self.threads} {'thread' if self.threads == 1 else 'threads'}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rsseg": __version__,
            "device": self.device,
            "threads": self.threads,
            "precision": "fp32",
            "channels": self.channels,
            "key_channels": key_channels(self.channels),
            "attention": [subject.to_dict() for subject in self.attention],
            "bands": self.bands,
            "classes": self.classes,
            "networks": [subject.to_dict() for subject in self.networks],
        }
