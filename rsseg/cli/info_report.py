"""The form of what `rsseg info` tells of one input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is told of one input.

    Attributes:
        path: as the user named it.
        kind: what it is, in a word or two.
        title: the same with what matters most.
        rows: names and texts for people; empty texts are left out.
        notes: what is good to know, one sentence each.
        warnings: what may be wrong, and what to do.
        details: plain values for JSON.
    """

    path: str
    kind: str
    title: str
    rows: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    warnings: Sequence[tuple[str, str | None]] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "path": self.path,
            "kind": self.kind,
            **self.details,
            "notes": list(self.notes),
            "warnings": [{"text": text, "hint": hint} for text, hint in self.warnings],
        }
