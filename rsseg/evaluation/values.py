"""Scores under their names, as the bootstrap has to know them: one behind the other, and with what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rsseg.evaluation.block_counts import Counts
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES, Scores, scores_of

Key = tuple[str, int | None]
"""The name of a score, and the id of the class that it is of."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Values:
    """Scores by name, NaN where undefined: those that are one number, and those of classes, by id.

    `rests_on` names, for a score that is taken over several classes, a score of these and their ids: `mean_iou` rests
    on `iou`. What is not there rests on all that is counted, or, if it is of a class, on what that class counts.
    """

    summary: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    rests_on: Mapping[str, tuple[str, Sequence[int]]] = field(default_factory=dict)

    def keys(self) -> tuple[Key, ...]:
        """The names of all scores, those of classes last."""
        of_classes = ((name, k) for name, of in self.classes.items() for k in of)
        return (*((name, None) for name in self.summary), *of_classes)

    def listed(self) -> list[float]:
        """All scores in this order."""
        return [*self.summary.values(), *(value for of in self.classes.values() for value in of.values())]


ScoreFunction = Callable[[Counts], Values]
"""Takes the scores of counts that were added up; whatever the counts, the names and ids are the same."""


def matrix_values(matrix: Counts, mean_over: Sequence[int] | None = None) -> Values:
    """Every score of `scores.py` of a confusion matrix (K, K); means are over all classes by default."""
    return values_of(scores_of(matrix, mean_over=mean_over))


def values_of(scores: Scores) -> Values:
    """Scores of a confusion matrix by name, and which classes their means are over."""
    return Values(
        summary={name: getattr(scores, name) for name in SUMMARY_SCORES},
        classes={name: dict(enumerate(getattr(scores, name))) for name in CLASS_SCORES},
        rests_on={
            "mean_iou": ("iou", scores.mean_over),
            "mean_f1": ("f1", scores.mean_over),
            "average_accuracy": ("recall", range(len(scores.recall))),
        },
    )


def by_name(
    keys: Sequence[Key], values: Sequence[_Value]
) -> tuple[dict[str, _Value], dict[str, dict[int, _Value]]]:
    """Values of scores by name, and those of classes by name and id."""
    summary: dict[str, _Value] = {}
    classes: dict[str, dict[int, _Value]] = {}
    for (name, k), value in zip(keys, values, strict=True):
        if k is None:
            summary[name] = value
        else:
            classes.setdefault(name, {})[k] = value
    return summary, classes
