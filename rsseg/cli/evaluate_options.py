"""Which part of which data set `rsseg evaluate --data` predicts, and how: its options, and what they do not go with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rsseg.cli import options as opt
from rsseg.errors import OptionError

if TYPE_CHECKING:
    from rsseg.prediction.options import PredictOptions

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DATA",
        help="A data set as `rsseg train` takes it: predict a part of it, then compare. The options up to --maps go"
        " with it.",
    ),
    click.option(
        "--preset",
        default="",
        metavar="NAME",
        help="DATA is a published data set as it was handed out; `rsseg data presets` lists them.",
    ),
    click.option(
        "--split",
        type=click.Choice(["train", "val", "test"]),
        default="val",
        show_default=True,
        help="The part of it.",
    ),
    opt.weights,
    opt.tile,
    opt.halo,
    opt.context,
    opt.tta,
    opt.gsd,
    opt.device,
    opt.precision,
    opt.max_memory,
    click.option(
        "--maps",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Keep the class maps there.  [default: a temporary folder, in $TMPDIR]",
    ),
)
_PREDICTION = ("tile", "halo", "context", "tta", "gsd", "device", "precision", "max_memory")
_FILES = (
    *("predictions", "labels", "pairs_file", "labels_as", "class_source"),
    *("class_name", "attribute", "values", "unlabelled", "layer", "aoi"),
)
"""What says which files are compared, and what polygons in them mean."""


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """What is predicted, with which weights and how; `maps` is None where nobody wants to keep the class maps."""

    data: Path
    preset: str
    split: str
    weights: str | None
    maps: Path | None
    how: PredictOptions


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options to a command."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def take_part(given: dict[str, Any], *, threads: int | None, overwrite: bool) -> DataPart | None:
    """Take these options out of those given; None where no data set is.

    Raises:
        OptionError: options of the two ways to evaluate are mixed, or one is out of range.
    """
    own = {name: given.pop(name) for name in ("data", "preset", "split", "weights", "maps")}
    prediction = {name: given.pop(name) for name in _PREDICTION}
    if own["data"] is None:
        if mixed := _on_command_line((*own, *prediction)):
            raise OptionError(
                f"{mixed} goes with --data",
                hint="see rsseg evaluate --help; class maps are compared as they are",
            )
        return None
    if mixed := _on_command_line(_FILES):
        raise OptionError(
            f"{mixed} does not go with --data, which names the images and what their labels mean",
            hint="give class maps and --labels, or --data and --weights",
        )
    from rsseg.prediction.options import PredictOptions

    return DataPart(**own, how=PredictOptions(**prediction, threads=threads, overwrite=overwrite))


def _on_command_line(names: Sequence[str]) -> str | None:
    """The first of some options that somebody typed; a variable stands for all runs, and is no request."""
    context = click.get_current_context()
    for param in context.command.params:
        if param.name in names and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            return param.opts[0] if isinstance(param, click.Option) else "a class map"
    return None
