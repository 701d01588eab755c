"""What an evaluation finds, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rsseg.classes import ClassTable
from rsseg.evaluation.confusion import Confusion
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES, Scores, scores_of

PROTOCOL = "plain"
PROTOCOL_TEXT = "means over all classes that are in the labels or in the class map"


@dataclass(frozen=True, kw_only=True)
class PairResult:
    """The counts of one class map against one set of labels, and what a person should know about them."""

    prediction: Path
    labels: Path
    confusion: Confusion
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        scores = scores_of(self.confusion.matrix).to_dict()
        return {
            "prediction": str(self.prediction),
            "labels": str(self.labels),
            **_counts(self.confusion),
            **{name: scores[name] for name in ("overall_accuracy", "mean_iou")},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Counts of all pairs, the classes they are about, and the scores that follow from the sum of the counts."""

    classes: ClassTable
    pairs: tuple[PairResult, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def confusion(self) -> Confusion:
        """The counts of all pairs together."""
        return sum((pair.confusion for pair in self.pairs), Confusion.empty(len(self.classes)))

    @cached_property
    def scores(self) -> Scores:
        """Computed once, from the sum, never averaged over pairs."""
        return scores_of(self.confusion.matrix)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: summary, one entry per class and per pair, and the matrix; NaN becomes None."""
        values = self.scores.to_dict()
        return {
            "protocol": PROTOCOL,
            **{name: values[name] for name in SUMMARY_SCORES},
            **_counts(self.confusion),
            "classes": [self._class_dict(values, k) for k in range(len(self.classes))],
            "confusion_matrix": self.confusion.matrix.tolist(),
            "pairs": [pair.to_dict() for pair in self.pairs],
            "notes": list(self.notes),
        }

    def _class_dict(self, values: dict[str, Any], k: int) -> dict[str, Any]:
        return {
            "id": k,
            "name": self.classes.names[k],
            **{name: values[name][k] for name in CLASS_SCORES},
            "reference_pixels": int(self.confusion.matrix[k].sum()),
            "predicted_pixels": int(self.confusion.matrix[:, k].sum()),
        }


def _counts(confusion: Confusion) -> dict[str, Any]:
    return {
        "pixels": confusion.scored,
        "ignored_pixels": confusion.ignored,
        "nodata_pixels": confusion.nodata,
        "nodata_share": confusion.nodata_share,
    }
