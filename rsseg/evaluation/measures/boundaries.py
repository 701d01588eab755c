"""How well boundaries are found; see `boundary_scores`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsseg.errors import OptionError
from rsseg.evaluation.boundary_scores import (
    BoundaryCounter,
    BoundaryCounts,
    boundary_scores_of,
    tolerance_in_pixels,
)
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, by_class, number

BOUNDARY = "boundary"
"""The name of the counter, and the key in JSON."""

_LARGEST_PX = 64
"""Nothing further away is at a boundary, and the work grows with the distance."""


@dataclass(frozen=True)
class Boundaries:
    """See the module."""

    tolerance: Length

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        return {BOUNDARY: BoundaryCounter(classes=facts.classes, tolerance=self._pixels(facts))}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts: BoundaryCounts = evaluation.counted(BOUNDARY)
        scores = boundary_scores_of(counts, mean_over=evaluation.scores.mean_over)
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
            scores={"mean_boundary_iou": scores.mean_iou, "mean_boundary_f1": scores.mean_f1},
            class_scores={
                "boundary_iou": by_class(scores.iou),
                "boundary_f1": by_class(scores.f1),
                "boundary_precision": by_class(scores.precision),
                "boundary_recall": by_class(scores.recall),
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
