"""Whether the confidence of a map can be believed; see `calibration`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsseg.evaluation.calibration import ConfidenceCounter, ReliabilityBin, calibration_of
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, number, plain

CALIBRATION = "calibration"
"""The name of the counter, and the key in JSON."""

_BINS = 15
"""As many as Guo et al. have."""


@dataclass(frozen=True)
class Confidences:
    """See the module."""

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:  # noqa: ARG002 - the same for all
        """See `Measurement`."""
        return {CALIBRATION: ConfidenceCounter()}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        found = calibration_of(evaluation.counted(CALIBRATION), bins=_BINS)
        scores = {
            "ece": found.ece,
            "mce": found.mce,
            "brier": found.brier,
            "mean_confidence": found.confidence,
            "accuracy": found.accuracy,
        }
        summary = (
            ("expected calibration error (ECE)", number(found.ece)),
            ("maximum calibration error (MCE)", number(found.mce)),
            ("Brier score of the decided class", number(found.brier)),
            ("mean confidence", number(found.confidence)),
            ("accuracy", number(found.accuracy)),
        )
        curve = tuple(
            (_span(b), f"{b.pixels:,}", number(b.confidence), number(b.accuracy))
            for b in found.curve
            if b.pixels
        )
        head = ("confidence", "pixels", "mean confidence", "accuracy")
        return Section(
            name=CALIBRATION,
            title="Calibration of the confidence",
            protocol=f"{evaluation.measure.title}+{_BINS}bins",
            scores={
                **scores,
                **{f"accuracy_at_confidence_{_span(b)}": b.accuracy for b in found.curve if b.pixels},
            },
            facts={
                "pixels": found.pixels,
                "bins": _BINS,
                "curve": [
                    {
                        "from": b.low,
                        "to": b.high,
                        "pixels": b.pixels,
                        "confidence": plain(b.confidence),
                        "accuracy": plain(b.accuracy),
                    }
                    for b in found.curve
                ],
            },
            tables=(Table(rows=summary), Table(head=head, rows=curve)),
            text=(
                f"{found.pixels:,} px with label, class and confidence, in {_BINS} bins of equal width; all three "
                f"errors are best at 0; {_verdict(found.confidence - found.accuracy)}",
            ),
        )


def _span(of: ReliabilityBin) -> str:
    return f"{of.low:.2f}-{of.high:.2f}"


def _verdict(gap: float) -> str:
    if plain(gap) is None:
        return "nothing could be compared"
    if abs(gap) < 0.005:
        return "on the whole the map is as sure as it is right"
    return f"the map is {'too sure' if gap > 0 else 'less sure than right'}, by {abs(gap):.3f} on the whole"
