"""Checks of the values that a user can choose; every message names the option and what it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rsseg.errors import OptionError


def check_range(name: str, value: float, *, low: float, high: float = math.inf) -> None:
    """Refuse a number outside `low` to `high`, both included, and any that is not finite.

    Raises:
        OptionError: it is.
    """
    if not low <= value <= high or value == math.inf:
        upper = f" and at most {high}" if high < math.inf else "" if isinstance(value, int) else " and finite"
        raise OptionError(f"{spoken(name)} is {value}; it must be at least {low}{upper}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        OptionError: it is not.
    """
    if value not in choices:
        raise OptionError(f"{spoken(name)} is {value!r}; expected one of {', '.join(choices)}")


def spoken(name: str) -> str:
    """A name of the code as a person reads it; a place in a recipe, such as optimizer.weight_decay, as it is typed."""
    return name if "." in name else name.replace("_", " ")
