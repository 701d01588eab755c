"""The blocks of ground that the bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rsseg.errors import OptionError
from rsseg.evaluation.block_counts import BlockCounter, BlockCounts
from rsseg.evaluation.bootstrap import FEW_BLOCKS, Interval
from rsseg.evaluation.counters import PairFacts
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.sections import plain, plural

_FINEST = Length(64)
_LEAST_PX = 16
_ENOUGH = 50
"""With `auto`, sides are doubled from 64 px for as long as at least so many blocks with labels remain: errors should
hang together within a block, and not beyond."""


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

    def counter(self, facts: PairFacts) -> BlockCounter:
        """What is counted in a pair.

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
        return BlockCounter(classes=facts.classes, side=round(pixels), image=facts.image)

    def settled(self, counts: BlockCounts) -> BlockCounts:
        """The blocks that are drawn, of what was counted in all pairs."""
        return counts.widened(_ENOUGH) if self.side == "auto" else counts

    def side_of(self, counts: BlockCounts) -> Length:
        """How wide they have become."""
        side = _FINEST if self.side == "auto" else self.side
        return Length(side.value * 2**counts.doublings, side.unit)

    def facts(self, counts: BlockCounts) -> dict[str, Any]:
        """What is drawn, in plain JSON."""
        return {
            "block_side": str(self.side_of(counts)),
            "blocks": len(counts.blocks),
            "replicates": self.replicates,
            "seed": self.seed,
        }

    def text(self, counts: BlockCounts) -> tuple[str, ...]:
        """What a person has to know."""
        count = len(counts.blocks)
        lines = [
            f"95 % intervals and standard errors (SE): spatial block bootstrap, {count:,} labelled "
            f"{plural('block', count)} of {self.side_of(counts)}, {self.replicates:,} replicates, seed {self.seed}"
        ]
        if count < FEW_BLOCKS:
            lines.append(
                f"CAUTION: with fewer than {FEW_BLOCKS} blocks the intervals are too narrow; "
                "smaller blocks are only better if errors do not reach from one into the next"
            )
        if self.side != "auto" and counts.doublings:
            lines.append(f"blocks of {self.side} were too many to keep, so their sides were doubled")
        return tuple(lines)


def named_interval(name: str, interval: Interval) -> dict[str, float]:
    """Its ends and its standard error, by name."""
    return {f"{name}_low": interval.low, f"{name}_high": interval.high, f"{name}_se": interval.se}


def interval_cells(interval: Interval, *, signed: bool = False) -> tuple[str, str, str]:
    """Low, high and standard error as a person reads them."""
    form = "+.4f" if signed else ".4f"
    ends = ["-" if plain(end) is None else format(end, form) for end in (interval.low, interval.high)]
    return ends[0], ends[1], "-" if plain(interval.se) is None else f"{interval.se:.4f}"
