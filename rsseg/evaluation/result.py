"""What an evaluation finds, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rsseg.classes import ClassTable
from rsseg.evaluation.confusion import Confusion
from rsseg.evaluation.protocols import PROTOCOLS, Erosion, Protocol
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES, Scores, scores_of
from rsseg.evaluation.sections import Section, plain
from rsseg.raster.counts import ClassCounts

BENCHMARK_SCORE = "benchmark_score"
"""The mean of overall accuracy and mean IoU, where the protocol has it."""


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """The counts of one class map against one set of labels, and what a person should know about them.

    `counts` are those of further counters, by name; `mapped` is what classes cover on the whole map, where that was
    asked for, with the first pair of each map. Maps that were made only to be compared are `gone` by now.
    """

    prediction: Path
    labels: Path
    confusion: Confusion
    notes: tuple[str, ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
    mapped: ClassCounts | None = None
    confidence: Path | None = None
    other: Path | None = None
    gone: bool = False


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What scores are taken by: they mean nothing without it.

    `erode` is what became of the edges of objects in labels; `not_in_means` are the ids of classes no mean is over.
    """

    protocol: Protocol = PROTOCOLS["plain"]
    erode: Erosion = None
    not_in_means: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """One word that names it: `isprs+eroded3`."""
        return self.protocol.titled(self.erode)

    @property
    def text(self) -> str:
        """What it is, for a person."""
        if self.erode is None:
            return self.protocol.text
        given = self.erode == "given"
        how = (
            "the labels came without the edges of objects"
            if given
            else (f"labels within {self.erode} px of another label are left out")
        )
        return f"{self.protocol.text}; {how}"

    def scores(self, confusion: Confusion) -> Scores:
        """The scores of some counts."""
        kept = [k for k in range(len(confusion.matrix)) if k not in self.not_in_means]
        return scores_of(confusion.matrix, mean_over=kept)

    def summary(self, scores: Scores) -> dict[str, float]:
        """The scores that are one number, by name; NaN where undefined."""
        summary = {name: float(getattr(scores, name)) for name in SUMMARY_SCORES}
        if self.protocol.benchmark:
            summary[BENCHMARK_SCORE] = (scores.overall_accuracy + scores.mean_iou) / 2
        return summary


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Counts of all pairs, the classes they are about, and the scores that follow from the sum of the counts.

    `sections` are what was measured besides, one to each measure. `made_with` is, by name, what class maps were made of
    that were made only to be compared: weights with their hash, the data set.
    """

    classes: ClassTable
    pairs: tuple[PairResult, ...]
    measure: Measure = field(default_factory=Measure)
    notes: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    made_with: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def confusion(self) -> Confusion:
        """The counts of all pairs together."""
        return sum((pair.confusion for pair in self.pairs), Confusion.empty(len(self.classes)))

    @cached_property
    def scores(self) -> Scores:
        """Computed once, from the sum, never averaged over pairs."""
        return self.measure.scores(self.confusion)

    @cached_property
    def summary(self) -> dict[str, float]:
        """The scores that are one number, by name; NaN where undefined."""
        return self.measure.summary(self.scores)

    def counted(self, name: str) -> Any:
        """The counts of a further counter, summed over all pairs."""
        first, *rest = (pair.counts[name] for pair in self.pairs)
        return sum(rest, first)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: summary, one entry per class and per pair, and the matrix; NaN becomes None."""
        return {
            "protocol": self.measure.title,
            "protocol_text": self.measure.text,
            **({"made_with": dict(self.made_with)} if self.made_with else {}),
            **{name: plain(value) for name, value in self.summary.items()},
            "mean_over": [self.classes.names[k] for k in self.scores.mean_over],
            **_counts(self.confusion),
            "classes": [self._class_dict(k) for k in range(len(self.classes))],
            "confusion_matrix": self.confusion.matrix.tolist(),
            "pairs": [self._pair_dict(pair) for pair in self.pairs],
            **{section.name: section.to_dict(self.classes) for section in self.sections},
            "notes": list(self.notes),
        }

    def _class_dict(self, k: int) -> dict[str, Any]:
        return {
            "id": k,
            "name": self.classes.names[k],
            **{name: plain(getattr(self.scores, name)[k]) for name in CLASS_SCORES},
            "reference_pixels": int(self.confusion.matrix[k].sum()),
            "predicted_pixels": int(self.confusion.matrix[:, k].sum()),
        }

    def _pair_dict(self, pair: PairResult) -> dict[str, Any]:
        summary = self.measure.summary(self.measure.scores(pair.confusion))
        return {
            "prediction": str(pair.prediction),
            "labels": str(pair.labels),
            "protocol": self.measure.title,
            **_counts(pair.confusion),
            **{name: plain(summary[name]) for name in ("overall_accuracy", "mean_iou")},
            "notes": list(pair.notes),
        }


def _counts(confusion: Confusion) -> dict[str, Any]:
    return {
        "pixels": confusion.scored,
        "ignored_pixels": confusion.ignored,
        "nodata_pixels": confusion.nodata,
        "nodata_share": confusion.nodata_share,
    }
