"""How an evaluation is taken, as a user says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rsseg.errors import OptionError
from rsseg.evaluation.lengths import Length
from rsseg.evaluation.protocols import Erosion, Protocol, find_protocol
from rsseg.evaluation.recoding import Move
from rsseg.evaluation.thresholds import Threshold
from rsseg.ranges import check_range

_LARGEST_RADIUS = 64
"""In pixels. Nothing larger is an edge, and the work grows with the square."""


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What is measured besides the confusion matrix; calibration and comparison follow from what pairs have.

    Attributes:
        boundary: within what distance boundaries are judged; None: they are not.
        objects: names or ids of the classes whose regions are matched one to one.
        min_object: smaller regions are left out, in pixels.
        intervals: the side of the blocks that the bootstrap draws; `auto` (see `measures.intervals`); None: no
            intervals.
        replicates: how many times blocks are drawn.
        seed: of the random numbers.
        areas: whether the ground that classes cover is estimated.

    Raises:
        OptionError: a number is out of range.
    """

    boundary: Length | None = None
    objects: tuple[str, ...] = ()
    min_object: int = 1
    intervals: Length | Literal["auto"] | None = None
    replicates: int = 1000
    seed: int = 0
    areas: bool = False

    def __post_init__(self) -> None:
        check_range("min_object", self.min_object, low=1)
        check_range("replicates", self.replicates, low=2)
        check_range("seed", self.seed, low=0)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Protocol, and what is done to labels and class maps before they are compared.

    Attributes:
        protocol: a name of `protocols.PROTOCOLS`.
        erode: labels lose what is so near to another label, in pixels; `given`: they came without it; None: neither.
        moves: classes that count as other ones, in labels, class maps or both.
        threads: how many read and count; None: one to a core.
        measures: what is measured besides the confusion matrix.
        limits: what scores are to reach; nothing is read where one of them never can (see `missed_thresholds`).
        focus: the class whose errors a page tells apart; nothing is read where there is none of that name.

    Raises:
        OptionError: an unknown protocol, erosion where it has none, a radius outside 1 to 64, no thread, or a limit of
            a score that the protocol does not have.
    """

    protocol: str = "plain"
    erode: Erosion = None
    moves: tuple[Move, ...] = ()
    threads: int | None = None
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    limits: tuple[Threshold, ...] = ()
    focus: str | None = None

    def __post_init__(self) -> None:
        find_protocol(self.protocol).check_erosion(self.erode)
        if isinstance(self.erode, int) and not 1 <= self.erode <= _LARGEST_RADIUS:
            raise OptionError(f"--erode {self.erode}: expected 1 to {_LARGEST_RADIUS} px")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"--threads {self.threads}: expected at least 1")
        for limit in self.limits:
            limit.check_protocol(self.protocol_used())

    @property
    def radius(self) -> int:
        """By how much labels are eroded here, in pixels."""
        return self.erode if isinstance(self.erode, int) else 0

    def protocol_used(self) -> Protocol:
        """The row of the table."""
        return find_protocol(self.protocol)
