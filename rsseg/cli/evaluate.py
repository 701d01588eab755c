"""`rsseg evaluate`: scores of class maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say
from rsseg.errors import OptionError, ThresholdError

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.evaluation import Evaluation


class _LabelListCommand(click.Command):
    """Lets `--labels` take several files, as a shell's `labels/*.tif` gives them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat `--labels` before each of the files that follow it."""
        return super().parse_args(ctx, _repeat_option(args, "--labels"))


def _repeat_option(args: Sequence[str], option: str) -> list[str]:
    """`a --option x y -q` as `a --option x --option y -q`."""
    repeated: list[str] = []
    files: int | None = None  # how many the option has had so far; None after another option
    for arg in args:
        if arg.startswith("-"):
            files = {option: 0, f"{option}=": 1}.get(arg[: len(option) + 1])
        elif files is not None:
            repeated += [option] * (files > 0)
            files += 1
        repeated.append(arg)
    return repeated


def _parse_values(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """`house=building` as an entry; the last `=` divides, so values may hold others."""
    values = {}
    for text in texts:
        value, equals, name = text.rpartition("=")
        if not (equals and value and name):
            raise click.BadParameter(f"{text!r} is not of the form VALUE=CLASS, such as house=building")
        values[value] = name
    return values


@click.command(cls=_LabelListCommand, short_help="Compare class maps with labels.")
@click.argument("predictions", metavar="PREDICTION...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--labels",
    multiple=True,
    required=True,
    metavar="LABEL...",
    type=click.Path(path_type=Path),
    help="Label rasters or polygons, one per class map, or a folder of them.",
)
@click.option(
    "--classes",
    "class_source",
    metavar="FILE|WEIGHTS",
    help="A classes.json, or weights with these classes. [default: the names in the class map]",
)
@click.option("--class", "class_name", metavar="CLASS", help="Polygons: the class of all of them.")
@click.option("--attribute", metavar="NAME", help="Polygons: the attribute that says the class.")
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar="VALUE=CLASS|ignore",
    callback=_parse_values,
    help="Polygons: the class of an attribute's value; repeatable, later ones paint over earlier ones.",
)
@click.option(
    "--unlabelled",
    metavar="CLASS|ignore",
    help="Polygons: what pixels under none are. [default: the other class if --class is one of two, else ignore]",
)
@click.option("--layer", metavar="NAME", help="Polygons: the layer of the label file.")
@click.option(
    "--aoi",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Polygons outside which nothing is compared.",
)
@click.option(
    "--fail-under", multiple=True, metavar="SCORE=V", help="Exit with 7 if a score is lower; can be repeated."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the confusion matrix."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print the numbers as lines score,class,value.")
@opt.as_json
@opt.overwrite
@opt.quiet
@opt.verbose
def evaluate(
    predictions: tuple[Path, ...],
    *,
    labels: tuple[Path, ...],
    class_source: str | None,
    fail_under: tuple[str, ...],
    plot: Path | None,
    as_csv: bool,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
    **rules: Any,
) -> None:
    """Compare class maps with labels: confusion matrix, IoU, F1, accuracy, kappa.

    All pixels of all pairs are added up before scores are computed (protocol plain: means over all classes present).
    Pixels without a label are left out; labelled pixels that are nodata in the class map are not compared, and
    shown. Label rasters lie on the class map's grid or are a part of it; polygons are drawn on it.

    \b
    Examples:
      rsseg evaluate town_classes.tif --labels town_labels.tif
      rsseg evaluate maps/ --labels labels/                  town_classes.tif with town.tif
      rsseg evaluate town_classes.tif --labels footprints.geojson --class building --aoi val.geojson
      rsseg evaluate town_classes.tif --labels lots.gpkg --attribute kind --value house=building
      rsseg evaluate town_classes.tif --labels town_labels.tif --fail-under iou:building=0.7
    """
    from rsseg.evaluation import LabelRules, Threshold, evaluate_maps, missed_thresholds, pair_up

    if as_csv and as_json:
        raise OptionError("--csv and --json exclude each other")
    _check_given(predictions, labels)
    _check_plot(plot, overwrite=overwrite)
    thresholds = [Threshold.parse(text) for text in fail_under]
    pairs = pair_up(predictions, labels)
    with progress_bar("evaluate", quiet=quiet) as on_progress:
        evaluation = evaluate_maps(
            pairs, _load_classes(class_source), rules=LabelRules(**rules), on_progress=on_progress
        )
    _show(evaluation, as_csv=as_csv, as_json=as_json, quiet=quiet)
    _draw(evaluation, plot, quiet=quiet)
    missed = missed_thresholds(evaluation, thresholds)
    if missed:
        raise ThresholdError("; ".join(missed))


def _check_given(predictions: Sequence[Path], labels: Sequence[Path]) -> None:
    if not predictions:
        raise OptionError(
            f"no class map is given, only labels: {', '.join(map(str, labels))}",
            hint="class maps come first: rsseg evaluate MAP... --labels LABEL...",
        )


def _check_plot(plot: Path | None, *, overwrite: bool) -> None:
    from rsseg.raster.staging import check_output

    if plot is None:
        return
    if plot.suffix.lower() != ".png":
        raise OptionError(
            f"{plot}: the picture is a PNG file", hint=f"name it {plot.with_suffix('.png').name}"
        )
    check_output(plot, overwrite=overwrite)


def _load_classes(source: str | None) -> ClassTable | None:
    """Classes from a JSON file or from the card of weights."""
    if source is None:
        return None
    if source.endswith(".json"):
        from rsseg.classes import load_classes

        return load_classes(Path(source))
    # Weights need torch, which takes seconds to import.
    from rsseg.weights import load_card

    return load_card(source).classes


def _show(evaluation: Evaluation, *, as_csv: bool, as_json: bool, quiet: bool) -> None:
    from rsseg.evaluation import csv_text, table_text

    notes = [note for pair in evaluation.pairs for note in pair.notes]
    for note in dict.fromkeys((*evaluation.notes, *notes)):
        say(f"Note: {note}", quiet=quiet)
    if as_json:
        emit_json(evaluation.to_dict())
    else:
        click.echo(csv_text(evaluation) if as_csv else table_text(evaluation))


def _draw(evaluation: Evaluation, plot: Path | None, *, quiet: bool) -> None:
    if plot is None:
        return
    from rsseg.evaluation.plot import write_confusion_plot

    write_confusion_plot(plot, evaluation)
    say(f"{plot}: confusion matrix", quiet=quiet)
