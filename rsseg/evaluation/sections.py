"""What a measure beyond the confusion matrix has found, once, for JSON, spreadsheets, terminals and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rsseg.classes import ClassTable

Row = tuple[str, ...]

SCORE_TITLES = {
    "overall_accuracy": "overall accuracy",
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
    "kappa": "kappa",
    "average_accuracy": "average accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}
"""How a person calls the scores of `scores.SUMMARY_SCORES`."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as a person reads them; without a head, each row is a name and a number."""

    rows: tuple[Row, ...]
    head: Row | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """One measure's numbers, and how a person is told of them.

    Attributes:
        name: its key in JSON.
        title: its heading.
        protocol: how the numbers were taken, one word: it goes with each of them.
        scores: numbers about everything, by name; NaN where undefined.
        class_scores: the same for classes, by name and id; some classes may be missing.
        facts: what else belongs to it, in plain JSON.
        tables: what a person looks at.
        text: what a person has to know to read them, one sentence each.
    """

    name: str
    title: str
    protocol: str
    scores: Mapping[str, float] = field(default_factory=dict)
    class_scores: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    text: tuple[str, ...] = ()

    def to_dict(self, classes: ClassTable) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes None."""
        rows = [
            {"id": c.id, "name": c.name, **found}
            for c in classes
            if (found := {name: plain(of[c.id]) for name, of in self.class_scores.items() if c.id in of})
        ]
        return {
            "protocol": self.protocol,
            **self.facts,
            **{name: plain(value) for name, value in self.scores.items()},
            **({"classes": rows} if self.class_scores else {}),
        }

    def lines(self, classes: ClassTable) -> Iterator[tuple[str, str, str, float | None]]:
        """Protocol, score, class and value of each number."""
        for name, value in self.scores.items():
            yield self.protocol, name, "", plain(value)
        for name, values in self.class_scores.items():
            for k, value in values.items():
                yield self.protocol, name, classes.names[k], plain(value)


def by_class(values: Iterable[float]) -> dict[int, float]:
    """Numbers in the order of the ids, by id."""
    return dict(enumerate(values))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Set a table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join((name.ljust(widths[0]), *padded)))
    return "\n".join(lines)


def number(value: float) -> str:
    """A score with four decimals, or a dash."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def percent(count: float, of: float) -> str:
    """A share with two decimals, or a dash."""
    return f"{100 * count / of:.2f} %" if of else "-"


def plural(word: str, count: int) -> str:
    """A word as it goes with a number."""
    return word if count == 1 else f"{word}s"


def plain(value: float) -> float | None:
    """A number for JSON; NaN becomes None."""
    return None if math.isnan(value) else value
