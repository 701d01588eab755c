"""What a check of a data set found, as values and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from rsseg.classes import ClassTable

Kind = Literal["data set", "pairs", "files", "bands", "labels", "classes", "ground size", "leaks"]
"""What a finding is about."""

SHOWN = 20
"""Findings of a kind and level that a report lists; all are counted."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a data set; training fails for an error, and goes on in spite of a warning."""

    level: Literal["error", "warning"]
    kind: Kind
    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """What a part holds: scenes that can be read, their pixels, and those that are labelled, by class.

    `widths`, `heights` in pixels and `gsd_m` in metres are the least and the most; None where nothing is known.
    """

    name: str
    scenes: int
    pixels: int
    class_pixels: tuple[int, ...]
    widths: tuple[int, int] | None
    heights: tuple[int, int] | None
    gsd_m: tuple[float, float] | None

    @property
    def labelled(self) -> int:
        """Pixels that are labelled and valid."""
        return sum(self.class_pixels)


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What training would see; `classes` is None and `parts` empty where not even a plan could be made.

    `images` says what kinds of images there are, such as `3 bands of uint8`.
    """

    source: Path
    classes: ClassTable | None
    parts: tuple[PartFacts, ...]
    images: tuple[str, ...]
    findings: tuple[Finding, ...]

    @classmethod
    def of_failure(cls, source: Path, findings: Sequence[Finding]) -> Self:
        """The report on what could not even be planned."""
        return cls(source=source, classes=None, parts=(), images=(), findings=tuple(findings))

    def count(self, level: str) -> int:
        """How many errors or warnings there are."""
        return sum(f.level == level for f in self.findings)

    def shown(self) -> list[Finding]:
        """The findings, errors first, at most `SHOWN` of each kind and level."""
        seen: dict[tuple[str, str], int] = {}
        kept = []
        for finding in sorted(self.findings, key=lambda f: f.level):
            key = finding.level, finding.kind
            seen[key] = seen.get(key, 0) + 1
            if seen[key] <= SHOWN:
                kept.append(finding)
        return kept

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = self.classes.names if self.classes is not None else ()
        return {
            "source": str(self.source),
            "ok": not self.count("error"),
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "classes": list(names),
            "images": list(self.images),
            "parts": {
                part.name: {
                    "scenes": part.scenes,
                    "pixels": part.pixels,
                    "labelled": part.labelled,
                    "class_pixels": dict(zip(names, part.class_pixels, strict=True)),
                    "widths": part.widths,
                    "heights": part.heights,
                    "gsd_m": part.gsd_m,
                }
                for part in self.parts
            },
            "findings": [
                {"level": f.level, "about": f.kind, "text": f.text, "hint": f.hint} for f in self.shown()
            ],
        }
