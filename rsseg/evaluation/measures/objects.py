"""How well objects are found; see `rsseg.evaluation.objects`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.objects import ObjectCounter, ObjectCounts, ObjectScores
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, number

OBJECTS = "objects"
"""The name of the counter, and the key in JSON."""


@dataclass(frozen=True)
class Objects:
    """See the module; `classes` are names or ids."""

    classes: tuple[str, ...]
    min_area: int

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        return {OBJECTS: ObjectCounter(classes=self._ids(facts.table), min_area=self.min_area)}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts: ObjectCounts = evaluation.counted(OBJECTS)
        found = {k: counts.scores.get(k, ObjectScores()) for k in self._ids(evaluation.classes)}
        rows = [
            (
                evaluation.classes.names[k],
                *(number(value) for value in (s.f1, s.precision, s.recall, s.mean_iou)),
                *(f"{count:,}" for count in (s.matched, s.missed, s.false_alarms)),
                f"{s.left_out_label + s.left_out_map:,}",
            )
            for k, s in found.items()
        ]
        head = (
            *("class", "object F1", "precision", "recall", "IoU of matched"),
            *("matched", "missed", "false alarms", "left out"),
        )
        smallest = f"; regions below {self.min_area:,} px are left out" if self.min_area > 1 else ""
        return Section(
            name=OBJECTS,
            title="Objects",
            protocol=f"{evaluation.measure.title}+objects{f'{self.min_area}px' if self.min_area > 1 else ''}",
            facts={
                "min_object_pixels": self.min_area,
                "connectivity": 4,
            },
            class_scores={
                name: {k: _numbers(s)[name] for k, s in found.items()} for name in _numbers(ObjectScores())
            },
            tables=(Table(head=head, rows=tuple(rows)),),
            text=(
                "an object is a region whose pixels share sides; one of the labels and one of the map match if their "
                f"IoU is above 0.5{smallest}; left out is also what lies mostly where labels or map have no class",
            ),
        )

    def _ids(self, classes: ClassTable) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_id_of(text, classes) for text in self.classes))


def _numbers(scores: ObjectScores) -> dict[str, float]:
    return {
        "object_f1": scores.f1,
        "object_precision": scores.precision,
        "object_recall": scores.recall,
        "object_iou": scores.mean_iou,
        "objects_matched": scores.matched,
        "objects_missed": scores.missed,
        "objects_false_alarms": scores.false_alarms,
        "objects_left_out_reference": scores.left_out_label,
        "objects_left_out_predicted": scores.left_out_map,
    }


def _id_of(text: str, classes: ClassTable) -> int:
    """The id of a class given by name or, failing that, by id."""
    if text in classes.names:
        return classes.names.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise OptionError(
        f"objects of class {text!r}: no such class", hint=f"classes are: {', '.join(classes.names)}"
    )
