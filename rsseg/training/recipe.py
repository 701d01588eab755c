"""Recipes: training options from a TOML file, changed by what the command line says.

A recipe looks like the config.toml of a run, so that of a run is one: the table `train`, and `data` if it likes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg.errors import OptionError

LARGEST_BYTES = 2**20
"""What exceeds this is no recipe, and not read to its end."""

_TABLES = ("data", "train")
_FORM = "a recipe is TOML with a table [train], like a run's config.toml; docs/recipes has some"


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the table `train` of a recipe; its `data` are the business of the run that it was written by.

    Raises:
        OptionError: the file is missing, no TOML, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as err:
        raise OptionError(f"{path}: cannot be read ({err.strerror})", hint=_FORM) from err
    if len(content) > LARGEST_BYTES:
        raise OptionError(f"{path}: is no recipe (larger than {LARGEST_BYTES} bytes)", hint=_FORM)
    try:
        recipe = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        raise OptionError(f"{path}: is no recipe (not text in UTF-8)", hint=_FORM) from err
    except (
        ValueError,
        RecursionError,
    ) as err:  # TOML that is none, numbers of thousands of digits, deep nesting
        raise OptionError(f"{path}: is no recipe ({err})", hint=_FORM) from err
    unknown = [name for name in recipe if name not in _TABLES]
    if unknown or not isinstance(recipe.get("train"), dict):
        found = f"holds {', '.join(map(repr, unknown))}" if unknown else "has no table [train]"
        raise OptionError(f"{path}: {found}", hint=_FORM)
    return dict(recipe["train"])


def changed(recipe: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """The recipe with another value of an option, such as `lr` of the table `optimizer`: "optimizer.lr".

    Raises:
        OptionError: what should be a table is none.
    """
    first, _, rest = name.partition(".")
    if not rest:
        return {**recipe, name: value}
    table = recipe.get(first, {})
    if not isinstance(table, Mapping):
        raise OptionError(f"training option {first} is {table!r}; expected a table")
    return {**recipe, first: changed(table, rest, value)}


def parse_setting(text: str) -> tuple[str, Any]:
    """Read `name=value`: the value as TOML spells it, or else a bare word, which may be empty.

    Raises:
        OptionError: there is no name or no equals sign.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not name or not equals:
        raise OptionError(
            f"--set {text!r}: expected NAME=VALUE", hint="such as --set optimizer.momentum=0.95"
        )
    return name, _read_value(value)


def _read_value(text: str) -> Any:
    """A number, true or false, a list or a quoted text; anything else is text."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text
