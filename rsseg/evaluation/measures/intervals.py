"""How far the scores of the confusion matrix can be trusted; see `bootstrap`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from rsseg.evaluation.block_counter import MatrixCounter
from rsseg.evaluation.block_counts import Counts
from rsseg.evaluation.confusion import Confusion
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks
from rsseg.evaluation.report import TITLES
from rsseg.evaluation.result import BENCHMARK_SCORE, Evaluation, Measure
from rsseg.evaluation.sections import Section
from rsseg.evaluation.values import Values, values_of

BLOCKS = "blocks"
"""The name of the counter."""

_SHOWN = {**TITLES, "iou": "IoU", "f1": "F1"}
"""What fits a terminal; JSON and spreadsheets have all."""


@dataclass(frozen=True)
class Intervals:
    """See the module."""

    blocks: Blocks

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        return {BLOCKS: self.blocks.counter(MatrixCounter(facts.classes), facts)}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        section = Section(
            name="intervals",
            title="Intervals of the scores above",
            protocol=evaluation.measure.title,
            text=(
                "intervals hold for this map on ground like the labelled; not for other ground or another training run",
            ),
        )
        return self.blocks.with_intervals(
            section,
            evaluation.counted(BLOCKS),
            partial(_values_of, measure=evaluation.measure),
            titles=_SHOWN,
            classes=evaluation.classes,
        )


def _values_of(matrix: Counts, measure: Measure) -> Values:
    """All scores of a confusion matrix (K, K), that of the benchmark, too, where the protocol has one."""
    scores = measure.scores(Confusion(matrix))
    found = values_of(scores)
    return replace(
        found,
        summary=measure.summary(scores),
        rests_on={**found.rests_on, BENCHMARK_SCORE: ("iou", scores.mean_over)},
    )
