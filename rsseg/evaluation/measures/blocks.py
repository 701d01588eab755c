"""The blocks of ground that the bootstrap draws, and the intervals that sections get by them.

Every measure counts blocks of its own and settles on its own side, which it says. All begin with the same blocks, those
in which a pixel is compared, so sides differ only where one measure has so many numbers to a block that fewer are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from rsseg.classes import ClassTable
from rsseg.errors import OptionError
from rsseg.evaluation.block_counter import BlockCounter, BlockGrid, PixelCounter
from rsseg.evaluation.block_counts import BlockCounts
from rsseg.evaluation.bootstrap import (
    FEW_BLOCKS,
    LEVEL,
    Interval,
    ScoreIntervals,
    score_intervals,
)
from rsseg.evaluation.counters import PairFacts
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.sections import Section, Table, number, plain, plural
from rsseg.evaluation.values import ScoreFunction

_FINEST = Length(64)
_LEAST_PX = 16
_ENOUGH = 50
"""With `auto`, sides are doubled from 64 px for as long as at least so many blocks with labels remain: errors should
hang together within a block, and not beyond."""

_NAMED = 5
"""So many of the classes that few blocks have are named, the rarest first."""


@dataclass(frozen=True)
class Blocks:
    """Their side, and how they are drawn.

    Attributes:
        side: pixels, metres or `auto`.
        replicates: how many times blocks are drawn.
        seed: of the random numbers.
    """

    side: Length | Literal["auto"]
    replicates: int
    seed: int

    def counter(self, counter: PixelCounter, facts: PairFacts) -> BlockCounter:
        """What counts in the blocks of a pair; raises what `grid` does."""
        return BlockCounter(counter=counter, grid=self.grid(facts))

    def grid(self, facts: PairFacts) -> BlockGrid:
        """The blocks of a pair's class map.

        Raises:
            OptionError: blocks are smaller than 16 pixels, or metres are unknown.
        """
        side = _FINEST if self.side == "auto" else self.side
        pixels = side.pixels(facts.grid, facts.path)
        if round(pixels) < _LEAST_PX:
            raise OptionError(
                f"blocks of {side} are {pixels:.3g} px of {facts.path}; expected at least {_LEAST_PX} px",
                hint="blocks have to be wider than errors hang together: a field, a building with its shadow",
            )
        return BlockGrid(side=round(pixels), image=facts.image)

    def settled(self, counts: BlockCounts) -> BlockCounts:
        """The blocks that are drawn, of what was counted in all pairs."""
        return counts.widened(_ENOUGH) if self.side == "auto" else counts

    def side_of(self, counts: BlockCounts) -> Length:
        """How wide they have become."""
        side = _FINEST if self.side == "auto" else self.side
        return Length(side.value * 2**counts.doublings, side.unit)

    def facts(self, counts: BlockCounts, found: ScoreIntervals) -> dict[str, Any]:
        """What is drawn, in plain JSON."""
        return {
            "level": LEVEL,
            "block_side": str(self.side_of(counts)),
            "blocks": len(counts.blocks),
            "replicates": self.replicates,
            "replicates_left_out": found.left_out,
            "seed": self.seed,
        }

    def text(self, counts: BlockCounts, found: ScoreIntervals, classes: ClassTable) -> tuple[str, ...]:
        """What a person has to know."""
        count = len(counts.blocks)
        lines = [
            f"95 % intervals and standard errors (SE): spatial block bootstrap, {count:,} labelled "
            f"{plural('block', count)} of {self.side_of(counts)}, {self.replicates:,} replicates, seed {self.seed}"
        ]
        if self.side != "auto" and counts.doublings:
            lines.append(f"blocks of {self.side} were too many to keep, so their sides were doubled")
        return (*lines, *cautions(found, classes))

    def with_intervals(
        self,
        section: Section,
        counts: BlockCounts,
        scores: ScoreFunction,
        *,
        titles: Mapping[str, str],
        classes: ClassTable,
    ) -> Section:
        """A section with intervals of its scores: numbers, a table, and how they were taken.

        The table takes the place of those that have names and numbers only, which it repeats.

        Args:
            section: what was measured.
            counts: of the blocks of all pairs, as they were counted.
            scores: takes the scores of their sum.
            titles: how a person calls the scores that the table shows; JSON and spreadsheets have all.
            classes: those that are compared.
        """
        counts = self.settled(counts)
        found = score_intervals(counts, scores, replicates=self.replicates, seed=self.seed)
        return replace(
            section,
            protocol=f"{section.protocol}+blocks{self.side_of(counts).word}",
            scores={**section.scores, **_of_all(found)},
            class_scores={**section.class_scores, **_of_classes(found)},
            facts={**section.facts, **self.facts(counts, found)},
            tables=(
                *(table for table in section.tables if table.head is not None),
                _interval_table(found, titles, classes),
            ),
            text=(*section.text, *self.text(counts, found, classes)),
        )


def cautions(found: ScoreIntervals, classes: ClassTable) -> Iterator[str]:
    """What rests on few of the blocks, and what some replicates do not say."""
    least = FEW_BLOCKS
    if found.blocks < FEW_BLOCKS:
        yield (
            f"CAUTION: with fewer than {FEW_BLOCKS} blocks the intervals are too narrow; "
            "smaller blocks are only better if errors do not reach from one into the next"
        )
        least = 2  # more need not be said of single classes
    few = sorted((int(n), k) for k, n in blocks_of_classes(found).items() if n < least)
    if few:
        named = ", ".join(f"{classes.names[k]} ({n})" for n, k in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        yield (
            f"CAUTION: few blocks have something of {named}{more}: with fewer than {FEW_BLOCKS} the intervals of their "
            "scores, and of means over them, are too narrow, and with one there are none"
        )
    if found.left_out:
        yield (
            f"up to {found.left_out:,} of {found.replicates:,} replicates drew no block with some class: they are left "
            "out of the intervals of its scores and of means over it"
        )


def blocks_of_classes(found: ScoreIntervals) -> dict[int, float]:
    """On how many blocks the scores of each class rest: that with the fewest of those that are defined."""
    fewest: dict[int, float] = {}
    for name, of_classes in found.classes.items():
        for k, interval in of_classes.items():
            if not math.isnan(found.values.classes[name][k]):
                fewest[k] = min(interval.blocks, fewest.get(k, interval.blocks))
    return fewest


def named_interval(name: str, interval: Interval) -> dict[str, float]:
    """Its ends and its standard error, by name."""
    return {f"{name}_low": interval.low, f"{name}_high": interval.high, f"{name}_se": interval.se}


def interval_cells(interval: Interval, *, signed: bool = False) -> tuple[str, str, str]:
    """Low, high and standard error as a person reads them."""
    form = "+.4f" if signed else ".4f"
    ends = ["-" if plain(end) is None else format(end, form) for end in (interval.low, interval.high)]
    return ends[0], ends[1], "-" if plain(interval.se) is None else f"{interval.se:.4f}"


def _of_all(found: ScoreIntervals) -> dict[str, float]:
    """The ends and standard errors of scores that are one number, by name."""
    named = [named_interval(name, interval) for name, interval in found.summary.items()]
    return {key: value for of in named for key, value in of.items()}


def _of_classes(found: ScoreIntervals) -> dict[str, dict[int, float]]:
    """The ends and standard errors of the scores of classes, by name and id."""
    numbers: dict[str, dict[int, float]] = {}
    for name, of_classes in found.classes.items():
        for k, interval in of_classes.items():
            for key, value in named_interval(name, interval).items():
                numbers.setdefault(key, {})[k] = value
    if numbers:
        numbers["blocks"] = blocks_of_classes(found)
    return numbers


def _interval_table(found: ScoreIntervals, titles: Mapping[str, str], classes: ClassTable) -> Table:
    rows = [
        (titles[name], number(found.values.summary[name]), *interval_cells(interval))
        for name, interval in found.summary.items()
        if name in titles
    ]
    rows += [
        (
            f"{titles[name]} {classes.names[k]}",
            number(found.values.classes[name][k]),
            *interval_cells(interval),
        )
        for name, of_classes in found.classes.items()
        if name in titles
        for k, interval in of_classes.items()
    ]
    return Table(head=("score", "value", f"{100 * found.level:g} % from", "to", "SE"), rows=tuple(rows))
