"""Which of two class maps is better; see `compare` and `bootstrap.difference_intervals`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from rsseg.evaluation.block_counter import MatrixCounter
from rsseg.evaluation.bootstrap import Interval, ScoreIntervals, difference_intervals
from rsseg.evaluation.compare import (
    ComparisonCounter,
    ComparisonCounts,
    KappaTest,
    McNemar,
    WhereBothHaveData,
    kappa_test,
    mcnemar,
)
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks, blocks_of_classes, interval_cells, named_interval
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.scores import CLASS_SCORES, SUMMARY_SCORES, Scores
from rsseg.evaluation.sections import SCORE_TITLES, Section, Table, by_class, number, percent, plain
from rsseg.evaluation.values import matrix_values

COMPARISON = "comparison"
"""The name of the counter, and the key in JSON."""

_OUTCOMES = ("both_right", "only_a_right", "only_b_right", "neither_right")
_FEW = 25
"""With fewer pixels that only one map has right, McNemar's chi^2 is not to be believed, and the exact test is shown."""


@dataclass(frozen=True)
class Comparison:
    """See the module."""

    blocks: Blocks

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`."""
        blocks = self.blocks.counter(MatrixCounter(facts.classes), facts)
        return {
            COMPARISON: ComparisonCounter(classes=facts.classes),
            "blocks_a": WhereBothHaveData(counter=blocks, second=False),
            "blocks_b": WhereBothHaveData(counter=blocks, second=True),
        }

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        counts: ComparisonCounts = evaluation.counted(COMPARISON)
        a, b = (evaluation.measure.scores(confusion) for confusion in (counts.a, counts.b))
        blocks = tuple(self.blocks.settled(evaluation.counted(name)) for name in ("blocks_a", "blocks_b"))
        found = difference_intervals(
            blocks[0],
            blocks[1],
            partial(matrix_values, mean_over=a.mean_over),
            replicates=self.blocks.replicates,
            seed=self.blocks.seed,
        )
        test, kappas = mcnemar(counts), kappa_test(counts.a.matrix, counts.b.matrix)
        return Section(
            name=COMPARISON,
            title="Comparison of A, the class maps, with B, those of --against",
            protocol=f"{evaluation.measure.title}+both-maps+blocks{self.blocks.side_of(blocks[0]).word}",
            scores=_summary_numbers(a, b, found),
            class_scores=_class_numbers(a, b, found, counts),
            facts={
                "maps_a": [str(pair.prediction) for pair in evaluation.pairs],
                "maps_b": [str(pair.other) for pair in evaluation.pairs],
                "pixels": counts.a.scored,
                "pixels_without_class_in_one": counts.a.nodata,
                "mcnemar": _plain_values(test),
                "kappa_test": _plain_values(kappas),
                **self.blocks.facts(blocks[0], found),
            },
            tables=(_scores_table(evaluation, a, b, found), _outcomes_table(evaluation, counts)),
            text=(
                _verdict(a.mean_iou - b.mean_iou, found.summary["mean_iou"]),
                f"compared {counts.a.scored:,} px that have a label and a class in both maps"
                + (f"; {counts.a.nodata:,} labelled px without" if counts.a.nodata else ""),
                *self.blocks.text(blocks[0], found, evaluation.classes),
                _mcnemar_text(test),
                _kappa_text(kappas),
                "CAUTION: both tests take pixels for independent; where labels cover ground any difference is "
                "significant to them: believe the intervals",
            ),
        )


def _summary_numbers(a: Scores, b: Scores, found: ScoreIntervals) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name in SUMMARY_SCORES:
        one, other = getattr(a, name), getattr(b, name)
        numbers |= {f"{name}_a": one, f"{name}_b": other, f"{name}_difference": one - other}
        numbers |= named_interval(f"{name}_difference", found.summary[name])
    return numbers


def _class_numbers(
    a: Scores, b: Scores, found: ScoreIntervals, counts: ComparisonCounts
) -> dict[str, dict[int, float]]:
    numbers: dict[str, dict[int, float]] = {}
    for name in CLASS_SCORES:
        one, other = getattr(a, name), getattr(b, name)
        numbers[f"{name}_a"], numbers[f"{name}_b"] = by_class(one), by_class(other)
        numbers[f"{name}_difference"] = by_class(x - y for x, y in zip(one, other, strict=True))
        for k, interval in found.classes[name].items():
            for key, value in named_interval(f"{name}_difference", interval).items():
                numbers.setdefault(key, {})[k] = value
    for name, pixels in zip(_OUTCOMES, counts.outcomes.T.tolist(), strict=True):
        numbers[f"{name}_pixels"] = by_class(pixels)
    return numbers | {"blocks": blocks_of_classes(found)}


def _scores_table(evaluation: Evaluation, a: Scores, b: Scores, found: ScoreIntervals) -> Table:
    rows = [
        _score_row(SCORE_TITLES[name], getattr(a, name), getattr(b, name), found.summary[name])
        for name in SUMMARY_SCORES
    ]
    rows += [
        _score_row(f"IoU {c.name}", a.iou[c.id], b.iou[c.id], found.classes["iou"][c.id])
        for c in evaluation.classes
    ]
    return Table(head=("score", "A", "B", "A - B", "95 % from", "to", "SE", "better"), rows=tuple(rows))


def _score_row(title: str, a: float, b: float, interval: Interval) -> tuple[str, ...]:
    gap = a - b
    better = ("A" if gap > 0 else "B") if interval.excludes(0) else "?"
    return (
        title,
        number(a),
        number(b),
        "-" if plain(gap) is None else f"{gap:+.4f}",
        *interval_cells(interval, signed=True),
        better,
    )


def _outcomes_table(evaluation: Evaluation, counts: ComparisonCounts) -> Table:
    rows = [
        (c.name, f"{sum(pixels):,}", *(percent(count, sum(pixels)) for count in pixels))
        for c, pixels in zip(evaluation.classes, counts.outcomes.tolist(), strict=True)
    ]
    head = ("reference class", "pixels", "both right", "only A", "only B", "neither")
    return Table(head=head, rows=tuple(rows))


def _verdict(gap: float, interval: Interval) -> str:
    if plain(interval.low) is None:
        return "which is better cannot be said: a single block, or a class that only one or none has, gives no interval"
    span = f"A - B is {gap:+.4f} in mean IoU, 95 % interval {interval.low:+.4f} to {interval.high:+.4f}"
    if interval.excludes(0):
        return f"{'A' if gap > 0 else 'B'} is better: {span}"
    return f"neither is shown to be better: {span}, which holds 0"


def _mcnemar_text(test: McNemar) -> str:
    head = f"McNemar's test: {test.a_only:,} px only A has right, {test.b_only:,} px only B"
    if test.a_only + test.b_only < _FEW:
        return f"{head}; exact binomial {_p(test.p_exact)}"
    return f"{head}; chi^2 with continuity correction {test.chi2_corrected:,.1f}, {_p(test.p_corrected)}"


def _kappa_text(test: KappaTest) -> str:
    return (
        f"kappa z-test: {number(test.kappa_a)} against {number(test.kappa_b)}, "
        f"z = {'-' if plain(test.z) is None else f'{test.z:.2f}'}, {_p(test.p)}"
    )


def _p(value: float) -> str:
    if plain(value) is None:
        return "p undefined"
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def _plain_values(test: McNemar | KappaTest) -> dict[str, Any]:
    return {name: plain(value) for name, value in asdict(test).items()}
