"""How far the scores of the confusion matrix can be trusted; see `bootstrap`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsseg.evaluation.bootstrap import Interval, score_intervals
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks, interval_cells, named_interval
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES
from rsseg.evaluation.sections import SCORE_TITLES, Section, Table, by_class, number

BLOCKS = "blocks"
"""The name of the counter."""

_SHOWN = {"iou": "IoU", "f1": "F1"}
"""The scores of classes that fit a terminal; JSON and spreadsheets have all."""


@dataclass(frozen=True)
class Intervals:
    """See the module."""

    blocks: Blocks

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        return {BLOCKS: self.blocks.counter(facts)}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts = self.blocks.settled(evaluation.counted(BLOCKS))
        scores = evaluation.scores
        found = score_intervals(
            counts, replicates=self.blocks.replicates, seed=self.blocks.seed, mean_over=scores.mean_over
        )
        rows = [
            (SCORE_TITLES[name], number(getattr(scores, name)), *interval_cells(found.summary[name]))
            for name in SUMMARY_SCORES
        ]
        rows += [
            (f"{title} {c.name}", number(getattr(scores, name)[c.id]), *interval_cells(of_classes[c.id]))
            for name, title in _SHOWN.items()
            for of_classes in (found.classes[name],)
            for c in evaluation.classes
        ]
        return Section(
            name="intervals",
            title="Intervals of the scores above",
            protocol=f"{evaluation.measure.title}+blocks{self.blocks.side_of(counts).word}",
            scores={
                key: value
                for name in SUMMARY_SCORES
                for key, value in named_interval(name, found.summary[name]).items()
            },
            class_scores={
                key: values
                for name in CLASS_SCORES
                for key, values in _by_end(name, found.classes[name]).items()
            },
            facts={"level": found.level, **self.blocks.facts(counts)},
            tables=(Table(head=("score", "value", "95 % from", "to", "SE"), rows=tuple(rows)),),
            text=(
                *self.blocks.text(counts),
                "they hold for this map on ground like the labelled; not for other ground or another training run",
            ),
        )


def _by_end(name: str, intervals: tuple[Interval, ...]) -> dict[str, dict[int, float]]:
    """The ends and standard errors of all classes, by name."""
    of_classes = [named_interval(name, interval) for interval in intervals]
    return {key: by_class(found[key] for found in of_classes) for key in of_classes[0]}
