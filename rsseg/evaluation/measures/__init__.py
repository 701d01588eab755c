"""What can be measured besides the confusion matrix, one module to a measure.

A measurement says what is counted in each pair, and makes of the counts of all pairs a `Section`: numbers with the name
of their protocol, tables, and what a person has to know to read them. The definitions are those of the modules that
count: `bootstrap`, `boundary_scores`, `objects`, `calibration`, `area`, `compare`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rsseg.errors import OptionError
from rsseg.evaluation.counters import Counter, PairFacts
from rsseg.evaluation.measures.areas import Areas
from rsseg.evaluation.measures.blocks import Blocks
from rsseg.evaluation.measures.boundaries import Boundaries
from rsseg.evaluation.measures.comparison import Comparison
from rsseg.evaluation.measures.confidences import Confidences
from rsseg.evaluation.measures.intervals import Intervals
from rsseg.evaluation.measures.objects import Objects
from rsseg.evaluation.options import MeasureOptions
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.result import Evaluation
from rsseg.evaluation.sections import Section


class Measurement(Protocol):
    """See the module."""

    def counters(self, facts: PairFacts) -> Mapping[str, Counter]:
        """What is counted in a pair, by name.

        Raises:
            OptionError: it cannot be measured on this map.
        """
        ...

    def section(self, evaluation: Evaluation) -> Section:
        """What was found in all pairs."""
        ...


def chosen_measures(options: MeasureOptions, pairs: Sequence[Pair]) -> tuple[Measurement, ...]:
    """The measurements that were asked for, in the order in which they are shown.

    Raises:
        OptionError: only some pairs have a confidence or a second map.
    """
    blocks = Blocks(options.intervals or "auto", options.replicates, options.seed)
    drawn = None if options.intervals is None else blocks
    found: list[Measurement] = []
    if drawn is not None:
        found.append(Intervals(drawn))
    if options.boundary is not None:
        found.append(Boundaries(options.boundary, drawn))
    if options.objects:
        found.append(Objects(options.objects, options.min_object, drawn))
    if _all_or_none([pair.confidence is not None for pair in pairs], "a confidence"):
        found.append(Confidences(drawn))
    if options.areas:
        found.append(Areas(drawn))
    if _all_or_none([pair.other is not None for pair in pairs], "a second map"):
        found.append(Comparison(blocks))
    return tuple(found)


def _all_or_none(has: Sequence[bool], what: str) -> bool:
    if any(has) and not all(has):
        raise OptionError(f"{sum(has)} of {len(has)} pairs have {what}; expected all of them or none")
    return any(has)
