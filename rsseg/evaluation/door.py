"""What is refused before a pixel is read, or with `--data` before anything is predicted."""

from __future__ import annotations

from collections.abc import Sequence

from rsseg.evaluation.agreement import Agreement
from rsseg.evaluation.counters import PairFacts
from rsseg.evaluation.measures import chosen_measures
from rsseg.evaluation.measures.areas import check_every_class
from rsseg.evaluation.options import EvaluateOptions
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.rules import id_of_class


def check_agreed(agreed: Agreement, options: EvaluateOptions) -> None:
    """Refuse what cannot be found for the classes that are compared, before anything is read.

    Raises:
        OptionError: areas are wanted but classes left out of the labels, or a limit or the focus is about a class that
            is not there, or has no such score.
    """
    if options.measures.areas:
        check_every_class(agreed, options.erode)
    for limit in options.limits:
        limit.check_class(agreed, options.measures.objects)
    if options.focus is not None and agreed.classes is not None:
        id_of_class(options.focus, agreed.classes)


def check_measured(pairs: Sequence[Pair], facts: Sequence[PairFacts], options: EvaluateOptions) -> None:
    """Refuse what cannot be measured on class maps that are still to be made.

    Args:
        pairs: the class maps to be, with their confidences and second maps.
        facts: what will be known of each pair; its path is what messages name.
        options: what is measured.

    Raises:
        OptionError: objects of a class that is not there, or a distance that is too small or large for the pixels, or
            in metres where nothing says how large pixels are.
    """
    for measure in chosen_measures(options.measures, pairs):
        for of in facts:
            measure.counters(of)
