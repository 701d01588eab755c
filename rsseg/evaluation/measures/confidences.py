"""Whether the confidence of a map can be believed; see `calibration`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rsseg.evaluation.calibration import (
    Calibration,
    ConfidenceCounter,
    ConfidenceCounts,
    ReliabilityBin,
    calibration_of,
)
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, number, plain
from rsseg.evaluation.values import Values

CALIBRATION = "calibration"
"""The name of the counter, and the key in JSON."""

_BINS = 15
"""As many as Guo et al. have."""

_TITLES = {
    "ece": "expected calibration error (ECE)",
    "mce": "maximum calibration error (MCE)",
    "brier": "Brier score of the decided class",
    "mean_confidence": "mean confidence",
    "accuracy": "accuracy",
}


_UPWARDS = (
    "ECE and MCE add up gaps of either sign, so what is drawn is more often above them than below: where they are "
    "small against their SE, the interval lies too high"
)


@dataclass(frozen=True)
class Confidences:
    """See the module; with `blocks` scores have intervals."""

    blocks: Blocks | None = None

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        counter = ConfidenceCounter()
        return {CALIBRATION: counter if self.blocks is None else self.blocks.counter(counter, facts)}

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts = evaluation.counted(CALIBRATION)
        if self.blocks is None:
            return _section(evaluation, counts)
        section = self.blocks.with_intervals(
            _section(evaluation, ConfidenceCounts.of(counts.total())),
            counts,
            lambda sums: _values(calibration_of(ConfidenceCounts.of(sums), bins=_BINS)),
            titles=_TITLES,
            classes=evaluation.classes,
        )
        return replace(section, text=(*section.text, _UPWARDS))


def _section(evaluation: Evaluation, counts: ConfidenceCounts) -> Section:
    found = calibration_of(counts, bins=_BINS)
    values = _values(found)
    summary = tuple((_TITLES[name], number(value)) for name, value in values.summary.items())
    curve = tuple(
        (_span(b), f"{b.pixels:,}", number(b.confidence), number(b.accuracy)) for b in found.curve if b.pixels
    )
    head = ("confidence", "pixels", "mean confidence", "accuracy")
    return Section(
        name=CALIBRATION,
        title="Calibration of the confidence",
        protocol=f"{evaluation.measure.title}+{_BINS}bins",
        scores={
            **values.summary,
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


def _values(found: Calibration) -> Values:
    """The scores under the names that they have in JSON."""
    return Values(
        summary={
            "ece": found.ece,
            "mce": found.mce,
            "brier": found.brier,
            "mean_confidence": found.confidence,
            "accuracy": found.accuracy,
        }
    )


def _span(of: ReliabilityBin) -> str:
    return f"{of.low:.2f}-{of.high:.2f}"


def _verdict(gap: float) -> str:
    if plain(gap) is None:
        return "nothing could be compared"
    if abs(gap) < 0.005:
        return "on the whole the map is as sure as it is right"
    return f"the map is {'too sure' if gap > 0 else 'less sure than right'}, by {abs(gap):.3f} on the whole"
