"""The least values that scores must have for a run to count as good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rsseg.errors import OptionError
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES


@dataclass(frozen=True)
class Threshold:
    """The least value a score must have: `mean_iou=0.7`, or, for one class, `iou:building=0.74`."""

    score: str
    least: float
    class_name: str | None = None

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read `SCORE=VALUE` or `SCORE:CLASS=VALUE`.

        Raises:
            OptionError: another form, an unknown score, or no number.
        """
        key, _, value = text.rpartition("=")
        score, colon, class_name = key.partition(":")
        known = CLASS_SCORES if colon else SUMMARY_SCORES
        if score not in known:
            raise OptionError(f"--fail-under {text}: {score!r} is no score", hint=_score_hint())
        try:
            least = float(value)
        except ValueError as err:
            raise OptionError(f"--fail-under {text}: {value!r} is no number") from err
        if not math.isfinite(least):
            raise OptionError(f"--fail-under {text}: {value!r} is no limit")
        return cls(score, least, class_name if colon else None)

    def __str__(self) -> str:
        return self.score if self.class_name is None else f"{self.score}:{self.class_name}"

    def found_in(self, evaluation: Evaluation) -> float:
        """The score this is about; NaN where it is undefined.

        Raises:
            OptionError: the evaluation has no class of that name.
        """
        value = getattr(evaluation.scores, self.score)
        if self.class_name is None:
            return float(value)
        names = evaluation.classes.names
        if self.class_name not in names:
            raise OptionError(
                f"--fail-under {self}: no class is called {self.class_name!r}",
                hint=f"classes are: {', '.join(names)}",
            )
        return float(value[names.index(self.class_name)])


def missed_thresholds(evaluation: Evaluation, thresholds: Sequence[Threshold]) -> list[str]:
    """Say which thresholds are not met, one text each; an undefined score meets none."""
    found = [(threshold, threshold.found_in(evaluation)) for threshold in thresholds]
    return [
        f"{threshold} is {'undefined' if math.isnan(value) else f'{value:.6g}'}, "
        f"at least {threshold.least:g} was asked for"
        for threshold, value in found
        if not value >= threshold.least
    ]


def _score_hint() -> str:
    return f"scores are {', '.join(SUMMARY_SCORES)}; for one class {', '.join(f'{s}:CLASS' for s in CLASS_SCORES)}"
