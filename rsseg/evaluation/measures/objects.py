"""How well objects are found; see `rsseg.evaluation.objects`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.evaluation.block_counts import Counts
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks
from rsseg.evaluation.objects import ObjectCounter, ObjectCounts, ObjectScores
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, number
from rsseg.evaluation.values import Values

OBJECTS = "objects"
"""The name of the counter, and the key in JSON."""


_SHOWN = {
    "object_f1": "object F1",
    "object_precision": "object precision",
    "object_recall": "object recall",
    "object_iou": "IoU of matched",
}
"""How a person calls the scores that have intervals."""


@dataclass(frozen=True)
class Objects:
    """See the module; `classes` are names or ids; with `blocks` scores have intervals."""

    classes: tuple[str, ...]
    min_area: int
    blocks: Blocks | None = None

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        return {
            OBJECTS: ObjectCounter(
                classes=self._ids(facts.table),
                min_area=self.min_area,
                blocks=None if self.blocks is None else self.blocks.grid(facts),
            )
        }

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts: ObjectCounts = evaluation.counted(OBJECTS)
        section = self._section(evaluation, counts)
        if self.blocks is None or counts.blocks is None:
            return section
        return self.blocks.with_intervals(
            section,
            counts.blocks,
            partial(_values_of, ids=self._ids(evaluation.classes)),
            titles=_SHOWN,
            classes=evaluation.classes,
        )

    def _section(self, evaluation: Evaluation, counts: ObjectCounts) -> Section:
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
                **_values(found).classes,
                **{
                    name: {k: _numbers(s)[name] for k, s in found.items()}
                    for name in _numbers(ObjectScores())
                },
            },
            tables=(Table(head=head, rows=tuple(rows)),),
            text=(
                "an object is a region whose pixels share sides; one of the labels and one of the map match if their "
                f"IoU is above 0.5{smallest}; left out is also what lies mostly where labels or map have no class",
            ),
        )

    def _ids(self, classes: ClassTable) -> tuple[int, ...]:
        return tuple(dict.fromkeys(_id_of(text, classes) for text in self.classes))


def _values(found: Mapping[int, ObjectScores]) -> Values:
    """The scores under the names that they have in JSON."""
    return Values(
        classes={
            "object_f1": {k: s.f1 for k, s in found.items()},
            "object_precision": {k: s.precision for k, s in found.items()},
            "object_recall": {k: s.recall for k, s in found.items()},
            "object_iou": {k: s.mean_iou for k, s in found.items()},
        }
    )


def _values_of(counts: Counts, ids: Sequence[int]) -> Values:
    """The same of counts of blocks (4, C), a column to each class."""
    return _values({k: ObjectScores.of(column) for k, column in zip(ids, counts.T, strict=True)})


def _numbers(scores: ObjectScores) -> dict[str, float]:
    """What was counted, under the names that it has in JSON."""
    return {
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
