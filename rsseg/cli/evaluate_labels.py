"""Which labels `rsseg evaluate` compares class maps with, and by which protocol: its options."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click


def _parse_values(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`house=building` as an entry; the last `=` divides, so values may hold others."""
    values = {}
    for text in texts:
        value, equals, name = text.rpartition("=")
        if not (equals and value and name):
            raise click.BadParameter(f"{text!r} is not of the form VALUE=CLASS, such as house=building")
        values[value] = name
    return values


class _Erosion(click.ParamType["int | str"]):
    """A radius in pixels, or `given`."""

    name = "erosion"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Read the number."""
        if value == "given":
            return "given"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of pixels nor given", param, ctx)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--labels",
        multiple=True,
        metavar="LABEL...",
        type=click.Path(path_type=Path),
        help="Label rasters or polygons, one per class map, or a folder of them.",
    ),
    click.option(
        "--pairs",
        "pairs_file",
        metavar="FILE|-",
        help="Lines of a class map, a tab and its labels, from a file or standard input.",
    ),
    click.option(
        "--labels-as",
        metavar="DATA SET",
        help="Label rasters hold the values or colours in which a data set hands them out: isprs, isprs-eroded, uavid,"
        " loveda, cityscapes, ade20k.  [default: class ids]",
    ),
    click.option(
        "--classes",
        "class_source",
        metavar="FILE|WEIGHTS",
        help="A classes.json, or weights with these classes.  [default: the names in the class map]",
    ),
    click.option(
        "--aoi",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Polygons outside which nothing is compared.",
    ),
    click.option("--class", "class_name", metavar="CLASS", help="The class of all of them."),
    click.option("--attribute", metavar="NAME", help="The attribute that says the class."),
    click.option(
        "--value",
        "values",
        multiple=True,
        metavar="VALUE=CLASS|ignore",
        callback=_parse_values,
        help="The class of an attribute's value; repeatable, later ones paint over earlier ones.",
    ),
    click.option(
        "--unlabelled",
        metavar="CLASS|ignore",
        help="What pixels under none are.  [default: the other class if --class is one of two, else ignore]",
    ),
    click.option("--layer", metavar="NAME", help="The layer of the label file."),
    click.option(
        "--protocol",
        default="plain",
        show_default=True,
        metavar="NAME",
        help="How scores are taken: plain, isprs, isprs-no-clutter, uavid, loveda, cityscapes, ade20k.",
    ),
    click.option(
        "--erode",
        type=_Erosion(),
        metavar="PX|given",
        help="Leave out labels so near to another label (ISPRS: 3); given: the labels came without these pixels.",
    ),
    click.option(
        "--map",
        "moves",
        multiple=True,
        metavar="FROM=TO|ignore",
        help="Count a class as another one, in labels and class maps; labels:FROM=TO, prediction:FROM=TO in one of"
        " them. An id is that of the class, with --labels-as, too, not the value in the file.",
    ),
)


def label_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options to a command."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
