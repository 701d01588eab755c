"""The least or largest values that scores must have for a run to count as good."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.evaluation.agreement import Agreement
from rsseg.evaluation.protocols import Protocol
from rsseg.evaluation.result import BENCHMARK_SCORE, Evaluation
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES

_MEASURED = {
    "mean_boundary_iou": "boundary",
    "mean_boundary_f1": "boundary",
    "boundary_iou": "boundary",
    "boundary_f1": "boundary",
    "object_f1": "objects",
    "object_precision": "objects",
    "object_recall": "objects",
    "ece": "calibration",
    "mce": "calibration",
    "brier": "calibration",
}
"""The section that has a score, where it is not one of the confusion matrix."""

_OPTIONS = {
    "boundary": "--boundary 3",
    "objects": "--objects CLASS",
    "calibration": "--confidence FILE, or with --data --calibration",
}
"""What a section is asked for with."""

_SUMMARY = (*SUMMARY_SCORES, BENCHMARK_SCORE, "mean_boundary_iou", "mean_boundary_f1")
_OF_CLASSES = (
    *CLASS_SCORES,
    *("boundary_iou", "boundary_f1", "object_f1", "object_precision", "object_recall"),
)
_ERRORS = ("ece", "mce", "brier")
"""What is better when it is lower."""


@dataclass(frozen=True)
class Threshold:
    """The least value a score must have, `mean_iou=0.7` or, for one class, `iou:building=0.74`.

    With `over` it is the largest value of an error: `ece=0.05`.
    """

    score: str
    limit: float
    class_name: str | None = None
    over: bool = False

    @classmethod
    def parse(cls, text: str, *, over: bool = False) -> Threshold:
        """Read `SCORE=VALUE` or `SCORE:CLASS=VALUE`.

        Raises:
            OptionError: another form, an unknown score, or no number.
        """
        said = f"{_option(over)} {text}"
        key, _, value = text.rpartition("=")
        score, colon, class_name = key.partition(":")
        _check_known(score, of_class=bool(colon), over=over, said=said)
        try:
            limit = float(value)
        except ValueError as err:
            raise OptionError(f"{said}: {value!r} is no number") from err
        if not math.isfinite(limit):
            raise OptionError(f"{said}: {value!r} is no limit")
        if limit < 0 if over else limit > 1:
            raise OptionError(
                f"{said}: can never be met", hint="scores and errors are shares from 0 to 1: 0.7 for 70 %"
            )
        return cls(score, limit, class_name if colon else None, over)

    def __str__(self) -> str:
        return self.score if self.class_name is None else f"{self.score}:{self.class_name}"

    def check_measured(self, sections: Collection[str]) -> None:
        """Refuse a score that nobody measures.

        Args:
            sections: names of the sections that there will be.

        Raises:
            OptionError: see above.
        """
        section = _MEASURED.get(self.score)
        if section is not None and section not in sections:
            raise OptionError(
                f"{_option(self.over)} {self}: this is not measured", hint=f"add {_OPTIONS[section]}"
            )

    def check_protocol(self, protocol: Protocol) -> None:
        """Refuse a score that the protocol does not have.

        Raises:
            OptionError: see above.
        """
        if self.score == BENCHMARK_SCORE and not protocol.benchmark:
            raise OptionError(
                f"{_option(self.over)} {self}: the protocol {protocol.name} has no such score",
                hint=f"scores are {', '.join(SUMMARY_SCORES)}",
            )

    def check_class(self, agreed: Agreement, objects: Collection[str]) -> None:
        """Refuse a class that has no such score; where nothing names the classes, that is known only later.

        Args:
            agreed: the classes compared.
            objects: names or ids of the classes whose objects are measured.

        Raises:
            OptionError: see above.
        """
        if self.class_name is None or agreed.classes is None:
            return
        k = self._id_in(agreed.classes, self.class_name)
        if k in agreed.not_in_labels:
            raise OptionError(
                f"{_option(self.over)} {self}: {self.class_name} is left out of the labels",
                hint="take a limit of another class",
            )
        if _MEASURED.get(self.score) == "objects" and not {self.class_name, str(k)}.intersection(objects):
            raise self._not_measured(self.class_name)

    def found_in(self, evaluation: Evaluation) -> float:
        """The score this is about; NaN where it is undefined.

        Raises:
            OptionError: the evaluation has no class of that name, or its protocol no such score.
        """
        if self.class_name is not None:
            return self._found_of_class(evaluation, self.class_name)
        found = {**evaluation.summary, **self._section_scores(evaluation)}
        if self.score not in found:
            raise OptionError(
                f"--fail-under {self}: the protocol {evaluation.measure.title} has no such score",
                hint=f"scores are {', '.join(evaluation.summary)}",
            )
        return found[self.score]

    def protocol_in(self, evaluation: Evaluation) -> str:
        """How the score was taken."""
        section = _MEASURED.get(self.score)
        named = [of.protocol for of in evaluation.sections if of.name == section]
        return named[0] if named else evaluation.measure.title

    def _section_scores(self, evaluation: Evaluation) -> dict[str, float]:
        return {
            name: value
            for section in evaluation.sections
            if section.name == _MEASURED.get(self.score)
            for name, value in section.scores.items()
        }

    def _found_of_class(self, evaluation: Evaluation, class_name: str) -> float:
        k = self._id_in(evaluation.classes, class_name)
        if self.score in CLASS_SCORES:
            return float(getattr(evaluation.scores, self.score)[k])
        for section in evaluation.sections:
            if section.name == _MEASURED[self.score] and k in section.class_scores[self.score]:
                return section.class_scores[self.score][k]
        raise self._not_measured(class_name)

    def _id_in(self, classes: ClassTable, class_name: str) -> int:
        if class_name not in classes.names:
            raise OptionError(
                f"{_option(self.over)} {self}: no class is called {class_name!r}",
                hint=f"classes are: {', '.join(classes.names)}",
            )
        return classes.names.index(class_name)

    def _not_measured(self, class_name: str) -> OptionError:
        return OptionError(
            f"{_option(self.over)} {self}: this is not measured for {class_name}",
            hint=f"add --objects {class_name}",
        )

    def missed_by(self, value: float) -> bool:
        """Whether a value is too low, or with `over` too high; one that is undefined is."""
        return not (value <= self.limit if self.over else value >= self.limit)


def missed_thresholds(evaluation: Evaluation, thresholds: Sequence[Threshold]) -> list[str]:
    """Say which thresholds are not met, one text each; an undefined score meets none."""
    found = [(threshold, threshold.found_in(evaluation)) for threshold in thresholds]
    return [
        f"{threshold} is {'undefined' if math.isnan(value) else f'{value:.6g}'}, "
        f"at {'most' if threshold.over else 'least'} {threshold.limit:g} was asked for "
        f"(protocol {threshold.protocol_in(evaluation)})"
        for threshold, value in found
        if threshold.missed_by(value)
    ]


def _option(over: bool) -> str:  # noqa: FBT001 - says nothing else
    return "--fail-over" if over else "--fail-under"


def _check_known(score: str, *, of_class: bool, over: bool, said: str) -> None:
    known: tuple[str, ...]
    if over:
        known, hint = (() if of_class else _ERRORS), f"errors are {', '.join(_ERRORS)}"
    else:
        known = _OF_CLASSES if of_class else _SUMMARY
        hint = (
            f"scores are {', '.join(_SUMMARY)}; for one class {', '.join(f'{s}:CLASS' for s in _OF_CLASSES)}"
        )
        if score in _ERRORS:
            hint = f"it is better when it is lower: --fail-over {score}=0.05"
        elif score in _OF_CLASSES and not of_class:
            hint = f"it is one of each class: {score}:CLASS"
    if score not in known:
        raise OptionError(f"{said}: {score!r} is no score", hint=hint)
