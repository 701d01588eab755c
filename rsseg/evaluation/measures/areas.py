"""How much ground classes cover, errors of the map allowed for; see `area`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import OptionError
from rsseg.evaluation.agreement import Agreement
from rsseg.evaluation.area import AreaEstimates, estimate_areas, with_block_errors
from rsseg.evaluation.block_counter import MatrixCounter
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.blocks import Blocks, cautions
from rsseg.evaluation.measures.intervals import BLOCKS
from rsseg.evaluation.protocols import Erosion
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section, Table, by_class, number, plain, plural

AREAS = "areas"
"""The key in JSON."""

_M2_PER_HA = 10_000


@dataclass(frozen=True)
class Areas:
    """See the module; with `blocks` the standard errors are those of the bootstrap."""

    blocks: Blocks | None

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """See `Measurement`; whole class maps are counted by the engine."""
        return (
            {} if self.blocks is None else {BLOCKS: self.blocks.counter(MatrixCounter(facts.classes), facts)}
        )

    def section(self, evaluation: Evaluation) -> Section:
        """See `Measurement`."""
        mapped, unit = _mapped(evaluation)
        found, drawn = self._estimate(evaluation, mapped)
        low, high = found.interval.T
        missing = [
            c.name
            for c in evaluation.classes
            if mapped[c.id] > 0 and not evaluation.confusion.matrix[:, c.id].any()
        ]
        unseen = [
            c.name
            for c in evaluation.classes
            if mapped[c.id] > 0 and c.name not in missing and not evaluation.confusion.matrix[c.id].any()
        ]
        return Section(
            name=AREAS,
            title="Area of each class, stratified estimate",
            protocol=f"{evaluation.measure.title}+stratified{self._drawn(evaluation)}",
            scores={
                "stratified_overall_accuracy": found.overall,
                "stratified_overall_accuracy_se": found.overall_se,
                f"total_area_{unit}": float(mapped.sum()),
            },
            class_scores={
                name: by_class(values.tolist())
                for name, values in {
                    f"mapped_area_{unit}": found.mapped,
                    f"area_{unit}": found.area,
                    f"area_{unit}_se": found.area_se,
                    f"area_{unit}_low": low,
                    f"area_{unit}_high": high,
                    "users_accuracy": found.users,
                    "users_accuracy_se": found.users_se,
                    "producers_accuracy": found.producers,
                    "producers_accuracy_se": found.producers_se,
                }.items()
            },
            facts={
                "unit": unit,
                "standard_errors": "independent pixels" if self.blocks is None else "blocks",
            },
            tables=_tables(evaluation, found, unit),
            text=(*self._text(evaluation, found, unit), *drawn, *_missing(missing), *_unseen(unseen)),
        )

    def _estimate(
        self, evaluation: Evaluation, mapped: NDArray[np.float64]
    ) -> tuple[AreaEstimates, tuple[str, ...]]:
        """The estimates, and what has to be known of the blocks that were drawn."""
        if self.blocks is None:
            return estimate_areas(evaluation.confusion.matrix, mapped), ()
        counts = self.blocks.settled(evaluation.counted(BLOCKS))
        found, drawn = with_block_errors(
            counts, mapped, replicates=self.blocks.replicates, seed=self.blocks.seed
        )
        return found, tuple(cautions(drawn, evaluation.classes))

    def _drawn(self, evaluation: Evaluation) -> str:
        """What tells these standard errors from those of independent pixels."""
        if self.blocks is None:
            return ""
        counts = self.blocks.settled(evaluation.counted(BLOCKS))
        return f"+blocks{self.blocks.side_of(counts).word}"

    def _text(self, evaluation: Evaluation, found: AreaEstimates, unit: str) -> tuple[str, ...]:
        maps = sum(pair.mapped is not None for pair in evaluation.pairs)
        total, compared = found.mapped.sum(), evaluation.confusion.scored
        lines = [
            f"all of {maps} class {plural('map', maps)}, {_area(total, total)} {unit}: its classes are the strata, the "
            f"{compared:,} px compared the sample; that has to be drawn at random in each stratum, or be like the rest "
            "of the map, or the estimate is off"
        ]
        if unit == "px":
            lines.append("areas are in pixels, as nothing says how large they are on the ground")
        if self.blocks is None:
            lines.append(
                "CAUTION: SE and 95 % intervals (1.96 SE) take pixels for independent; where labels cover ground they "
                "are far too small: add --intervals for those of blocks"
            )
        else:
            lines.append("SE by the block bootstrap of --intervals, 95 % intervals are 1.96 SE to each side")
        return tuple(lines)


def check_every_class(agreed: Agreement, erode: Erosion) -> None:
    """Refuse labels of which some classes, or the edges of objects, are left out: others would be given their ground.

    Raises:
        OptionError: see above.
    """
    out = agreed.not_in_labels
    names = [f"id {k}" if agreed.classes is None else agreed.classes.names[k] for k in out]
    if erode is not None:
        names.append("the edges of objects (--erode)")
    if names:
        raise OptionError(
            f"--areas needs labels of every class on the map; left out of them: {', '.join(names)}",
            hint="take --protocol isprs or plain, and leave --map CLASS=ignore and --erode out"
            + (
                "; if no map holds it, name the maps' classes with --classes"
                if agreed.classes is None and out
                else ""
            ),
        )


def _mapped(evaluation: Evaluation) -> tuple[NDArray[np.float64], str]:
    """What each class covers on all maps, in hectares or, where a map lies nowhere, in pixels; and the unit."""
    counts = [pair.mapped for pair in evaluation.pairs if pair.mapped is not None]
    areas_m2 = [of.areas_m2 for of in counts if of.areas_m2 is not None]
    if len(areas_m2) < len(counts):
        return np.sum([of.pixels for of in counts], axis=0).astype(np.float64), "px"
    return np.sum(areas_m2, axis=0) / _M2_PER_HA, "ha"


def _tables(evaluation: Evaluation, found: AreaEstimates, unit: str) -> tuple[Table, ...]:
    head = (
        *("class", f"mapped {unit}", f"estimated {unit}", "SE", "95 % from", "to"),
        *("user's acc.", "SE", "producer's acc.", "SE"),
    )
    rows = [
        (
            c.name,
            *(
                _area(value, found.mapped.sum())
                for value in (
                    found.mapped[c.id],
                    found.area[c.id],
                    found.area_se[c.id],
                    *found.interval[c.id].tolist(),
                )
            ),
            *(
                number(values[c.id])
                for values in (found.users, found.users_se, found.producers, found.producers_se)
            ),
        )
        for c in evaluation.classes
    ]
    overall = (
        ("overall accuracy, stratified", number(found.overall)),
        ("its SE", number(found.overall_se)),
    )
    return Table(head=head, rows=tuple(rows)), Table(rows=overall)


def _missing(names: list[str]) -> tuple[str, ...]:
    """Why there is no estimate."""
    if not names:
        return ()
    return (f"NO estimate: on the map but nowhere among the pixels compared: {', '.join(names)}",)


def _unseen(names: list[str]) -> tuple[str, ...]:
    """What is estimated to cover nothing."""
    if not names:
        return ()
    return (
        f"CAUTION: on the map but in no label: {', '.join(names)}; where labels leave such a class out, its ground is "
        "given to the others",
    )


def _area(value: float, total: float) -> str:
    """An area with as many decimals as give five digits of the whole."""
    decimals = min(max(4 - math.floor(math.log10(total)), 0), 4)
    return "-" if plain(value) is None else f"{value:,.{decimals}f}"
