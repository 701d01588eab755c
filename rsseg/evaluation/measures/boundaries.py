"""How well boundaries are found; see `boundary_scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rsseg.errors import OptionError
from rsseg.evaluation.block_counts import Counts
from rsseg.evaluation.boundary_scores import (
    BoundaryCounter,
    BoundaryCounts,
    BoundaryScores,
    boundary_scores_of,
    tolerance_in_pixels,
)
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.measures.blocks import Blocks
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, by_class, number
from rsseg.evaluation.values import Values

BOUNDARY = "boundary"
"""The name of the counter, and the key in JSON."""

_SHOWN = {
    "mean_boundary_iou": "mean boundary IoU",
    "mean_boundary_f1": "mean boundary F1",
    "boundary_iou": "boundary IoU",
    "boundary_f1": "boundary F1",
}
"""The scores whose intervals fit a terminal; JSON and spreadsheets have all."""

_LARGEST_PX = 64
"""Nothing further away is at a boundary, and the work grows with the distance."""


@dataclass(frozen=True)
class Boundaries:
    """See the module; with `blocks` scores have intervals."""

    tolerance: Length
    blocks: Blocks | None = None

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        counter = BoundaryCounter(classes=facts.classes, tolerance=self._pixels(facts))
        return {BOUNDARY: counter if self.blocks is None else self.blocks.counter(counter, facts)}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts = evaluation.counted(BOUNDARY)
        if self.blocks is None:
            return self._section(evaluation, counts)
        return self.blocks.with_intervals(
            self._section(evaluation, BoundaryCounts.of(counts.total())),
            counts,
            partial(_values_of, mean_over=evaluation.scores.mean_over),
            titles=_SHOWN,
            classes=evaluation.classes,
        )

    def _section(self, evaluation: Evaluation, counts: BoundaryCounts) -> Section:
        scores = boundary_scores_of(counts, mean_over=evaluation.scores.mean_over)
        values = _values(scores)
        lengths = counts.contour_label, counts.contour_map
        rows = [
            (
                c.name,
                *(number(score[c.id]) for score in (scores.iou, scores.f1, scores.precision, scores.recall)),
                *(f"{length[c.id]:,}" for length in lengths),
            )
            for c in evaluation.classes
        ]
        head = (
            "class",
            "boundary IoU",
            "boundary F1",
            "contour precision",
            "contour recall",
            "reference contour px",
            "predicted contour px",
        )
        means = (
            ("mean boundary IoU", number(scores.mean_iou)),
            ("mean boundary F1", number(scores.mean_f1)),
        )
        return Section(
            name=BOUNDARY,
            title=f"Boundaries, tolerance {self.tolerance}",
            protocol=f"{evaluation.measure.title}+boundary{self.tolerance.word}",
            scores=values.summary,
            class_scores={
                **values.classes,
                "reference_contour_pixels": by_class(lengths[0].tolist()),
                "predicted_contour_pixels": by_class(lengths[1].tolist()),
            },
            facts={"tolerance": str(self.tolerance)},
            tables=(Table(head=head, rows=tuple(rows)), Table(rows=means)),
            text=(
                f"boundary IoU: of the pixels within {self.tolerance} of another class; boundary F1: of contour "
                f"pixels, right if the other map has a contour of the same class within {self.tolerance}",
            ),
        )

    def _pixels(self, facts: PairFacts) -> float:
        pixels = self.tolerance.pixels(facts.grid, facts.path)
        if self.tolerance.unit == "m":
            pixels = tolerance_in_pixels(self.tolerance.value, self.tolerance.value / pixels)
        if not 1 <= pixels + 1e-6 <= _LARGEST_PX + 1e-6:
            raise OptionError(
                f"a boundary tolerance of {self.tolerance} is {pixels:.3g} px of {facts.path}; "
                f"expected 1 to {_LARGEST_PX} px"
            )
        return pixels


def _values(scores: BoundaryScores) -> Values:
    """The scores under the names that they have in JSON."""
    return Values(
        summary={"mean_boundary_iou": scores.mean_iou, "mean_boundary_f1": scores.mean_f1},
        classes={
            "boundary_iou": by_class(scores.iou),
            "boundary_f1": by_class(scores.f1),
            "boundary_precision": by_class(scores.precision),
            "boundary_recall": by_class(scores.recall),
        },
    )


def _values_of(counts: Counts, mean_over: Sequence[int]) -> Values:
    """The same of counts of blocks (7, K), with the classes that the means are over."""
    return replace(
        _values(boundary_scores_of(BoundaryCounts.of(counts), mean_over=mean_over)),
        rests_on={
            "mean_boundary_iou": ("boundary_iou", mean_over),
            "mean_boundary_f1": ("boundary_f1", mean_over),
        },
    )
