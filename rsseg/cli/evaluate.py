"""`rsseg evaluate`: scores of class maps, or of weights on a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say
from rsseg.cli.evaluate_data import Found, evaluate_part
from rsseg.cli.evaluate_labels import label_options
from rsseg.cli.evaluate_measures import Asked, measure_options, take_measures
from rsseg.cli.evaluate_options import data_options, take_part
from rsseg.cli.evaluate_pairs import EvaluateCommand, find_pairs
from rsseg.errors import OptionError, ThresholdError

if TYPE_CHECKING:
    from rsseg.classes import ClassTable
    from rsseg.evaluation import EvaluateOptions, Evaluation, LabelRules, Pair

_COMPARING = 0.7
"""What share of the work it is, where the differences of two maps are written afterwards."""


@click.command(cls=EvaluateCommand, short_help="Compare class maps with labels.")
@click.argument("predictions", metavar="PREDICTION...", nargs=-1, type=click.Path(path_type=Path))
@label_options
@data_options
@measure_options
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the confusion matrix."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print the numbers as lines protocol,score,class,value.")
@opt.as_json
@click.option(
    "--fail-under",
    multiple=True,
    metavar="SCORE=V",
    help="Exit with 7 if a score is lower, such as mean_iou=0.7 or object_f1:building=0.8; repeatable.",
)
@click.option(
    "--fail-over",
    multiple=True,
    metavar="SCORE=V",
    help="Exit with 7 if an error is higher: ece, mce or brier; repeatable.",
)
@opt.overwrite
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Threads that read and count, and with --data predict.  [default: cores]",
)
@opt.quiet
@opt.verbose
def evaluate(
    predictions: tuple[Path, ...],
    *,
    labels: tuple[Path, ...],
    labels_as: str | None,
    pairs_file: str | None,
    protocol: str,
    erode: Any,
    moves: tuple[str, ...],
    threads: int | None,
    class_source: str | None,
    fail_under: tuple[str, ...],
    fail_over: tuple[str, ...],
    plot: Path | None,
    as_csv: bool,
    as_json: bool,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Compare class maps with labels: confusion matrix, IoU, F1, accuracy, kappa.

    All pixels of all pairs are added up before scores are computed, by the protocol that every number names. Pixels
    without a label are left out; labelled pixels that are nodata in the class map are not compared, and shown.
    Label rasters on another grid or in another CRS are brought to the class map's pixels (nearest neighbour);
    polygons are drawn on them. Label rasters hold class ids, 255 for no label; those of a published data set are read
    as they were handed out with --labels-as. PREDICTION `-` reads class maps from standard input, one per line.

    With --data the images of a data set are predicted first, as `rsseg predict` would, where they are labelled.

    A score without an interval says little: neighbouring pixels are right or wrong together, so a million of them are
    not a million observations. --intervals says how far scores can be trusted, --against which of two maps is better.

    \b
    Examples:
      rsseg evaluate town_classes.tif --labels town_labels.tif
      rsseg evaluate maps/ --labels labels/                  town_classes.tif with town.tif
      rsseg evaluate town_classes.tif --labels footprints.geojson --class building --aoi val.geojson
      rsseg evaluate town_classes.tif --labels lots.gpkg --attribute kind --value house=building
      rsseg evaluate town_classes.tif --labels town_labels.tif --fail-under iou:building=0.7
      rsseg evaluate maps/ --labels references/ --protocol isprs --erode 3
      rsseg evaluate maps/ --labels masks_png/ --labels-as loveda --protocol loveda
      rsseg evaluate town_classes.tif --labels town_labels.tif --map tree=vegetation --map lawn=vegetation
      rsseg predict sheets/*.tif --output-dir maps/ | rsseg evaluate - --labels labels/ --json
      rsseg evaluate town_classes.tif --labels town_labels.tif --intervals --boundary 0.5m --objects building
      rsseg evaluate town_classes.tif --labels town_labels.tif --confidence town_confidence.tif --areas --intervals
      rsseg evaluate new/ --labels labels/ --against old/ --report new.html --image images/ --focus building
      rsseg evaluate --data tiles/ --weights runs/first/best.safetensors --calibration
      rsseg evaluate --data tiles/ --weights runs/new/best.safetensors --against runs/old/best.safetensors
      rsseg evaluate --data Potsdam/ --preset potsdam --split test --weights manet.safetensors --protocol isprs --tta d4
    """
    from rsseg.evaluation import (
        EvaluateOptions,
        LabelRules,
        Move,
        Threshold,
        find_coding,
        missed_thresholds,
        read_as,
    )

    if as_csv and as_json:
        raise OptionError("--csv and --json exclude each other")
    _check_plot(plot, overwrite=overwrite)
    thresholds = [Threshold.parse(text) for text in fail_under]
    thresholds += [Threshold.parse(text, over=True) for text in fail_over]
    part = take_part(given, threads=threads, overwrite=overwrite)
    asked = take_measures(given, data=part is not None, overwrite=overwrite)
    for threshold in thresholds:
        threshold.check_measured(asked.sections)
    options = EvaluateOptions(
        protocol=protocol,
        erode=erode,
        moves=tuple(Move.parse(text) for text in moves),
        threads=threads,
        measures=asked.measures,
        limits=tuple(thresholds),
        focus=asked.focus,
    )
    rules, classes = LabelRules(**given), _load_classes(class_source)
    if labels_as is not None:
        find_coding(labels_as, erode=erode)
    # What names the pairs may be standard input, which ends when the work before it does: all else is checked by now.
    pairs = find_pairs(predictions, labels, pairs_file) if part is None else []
    if labels_as is not None:
        pairs = read_as(pairs, labels_as, erode=erode)
    with progress_bar("evaluate", quiet=quiet) as on_progress:
        if part is not None:
            found = evaluate_part(
                part,
                options=options,
                counters=asked.page_counters(),
                calibration=asked.calibration,
                against=asked.against[0] if asked.against else None,
                on_progress=on_progress,
            )
        else:
            found = _evaluate_maps(
                asked,
                pairs,
                classes,
                rules=rules,
                options=options,
                overwrite=overwrite,
                on_progress=on_progress,
            )
    evaluation = found.evaluation
    _show(evaluation, as_csv=as_csv, as_json=as_json, quiet=quiet)
    _draw(evaluation, plot, quiet=quiet)
    if asked.differences is not None:
        say(f"{asked.differences}: where the two maps are right", quiet=quiet)
    if asked.report is not None:
        _write_page(asked.report, found, focus=asked.focus)
        say(f"{asked.report}: the page", quiet=quiet)
    missed = missed_thresholds(evaluation, thresholds)
    if missed:
        raise ThresholdError("; ".join(missed))


def _evaluate_maps(
    asked: Asked,
    pairs: Sequence[Pair],
    classes: ClassTable | None,
    *,
    rules: LabelRules,
    options: EvaluateOptions,
    overwrite: bool,
    on_progress: Callable[[float], None],
) -> Found:
    """Compare class maps that are there; the images of the page are named, too."""
    from rsseg.evaluation import evaluate_maps

    pairs = asked.with_files(pairs)
    images = asked.image_of_pairs(pairs)
    counters = asked.page_counters()
    share = 1.0 if asked.differences is None else _COMPARING
    evaluation = evaluate_maps(
        pairs,
        classes,
        rules=rules,
        options=options,
        counters=None if counters is None else counters(len(pairs)),
        on_progress=lambda done: on_progress(share * done),
    )
    if asked.differences is not None:
        from rsseg.evaluation.differences import write_differences

        write_differences(
            asked.differences,
            pairs[0],
            classes,
            rules=rules,
            options=options,
            overwrite=overwrite,
            on_progress=lambda done: on_progress(share + (1 - share) * done),
        )
    return Found(evaluation=evaluation, images=images, made_with={})


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


def _write_page(path: Path, found: Found, *, focus: str | None) -> None:
    from rsseg.evaluation.page import write_report

    write_report(path, found.evaluation, images=found.images, made_with=found.made_with, focus=focus)
