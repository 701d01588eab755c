"""`rsseg predict`: rasters to class maps."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from rsseg.cli.console import progress_bar
from rsseg.cli.predict_options import predict_options
from rsseg.cli.predict_plan import report_plan
from rsseg.cli.predict_report import report_failure, report_map
from rsseg.errors import OptionError, PartialFailureError, RssegError

if TYPE_CHECKING:
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import WeightCard


@click.command(short_help="Segment rasters into class maps.")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@predict_options
def predict(
    images: tuple[str, ...],
    *,
    output: Path | None,
    output_dir: Path | None,
    null_separated: bool,
    weights: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Segment each IMAGE and write its class map, on exactly the same pixel grid.

    IMAGE is anything GDAL opens; `-` reads paths from standard input, one per line. The path of each
    finished map is printed on standard output.

    \b
    Examples:
      rsseg predict ortho.tif -o classes.tif
      rsseg predict ortho.tif -o classes.tif --weights landcover --preview classes.png
      rsseg predict sheets/*.tif --output-dir maps/
      rsseg predict ortho.tif -o classes.tif --context raster --confidence sure.tif --min-area 50
      rsseg predict ortho.tif -o classes.tif --dry-run --max-memory 2GB
      find sheets -name '*.tif' -print0 | rsseg predict -0 - --output-dir maps/ --json
    """
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import default_weights, find_weights, load_card

    jobs = _jobs(_paths(images, null_separated=null_separated), output, output_dir)
    options = PredictOptions(**settings)
    if options.side_files and len(jobs) > 1:
        raise OptionError(f"{next(iter(options.side_files))} goes with one IMAGE")
    weights = weights or default_weights()
    card = load_card(weights)
    _check_door(jobs, card, options, weights_file=find_weights(weights))

    from rsseg.machine import keep_freed_memory
    from rsseg.prediction.engine import Predictor
    from rsseg.weights import load_weights

    predictor = Predictor(load_weights(weights), options)
    if predictor.device_type == "cpu":
        keep_freed_memory()  # of the whole process, so not the engine's to decide; what loading freed is not needed
    failed = 0
    for image, target in jobs:
        try:
            if dry_run:
                report_plan(image, target, predictor.plan(image, target), as_json=as_json)
            else:
                with progress_bar(_stem(image), quiet=quiet) as on_progress:
                    summary = predictor.predict(image, target, on_progress=on_progress)
                report_map(image, summary, names=card.classes.names, as_json=as_json, quiet=quiet)
        except RssegError as err:
            if len(jobs) == 1:
                raise
            failed += 1
            report_failure(image, err, as_json=as_json)
    if failed:
        hint = "the other maps are complete" if failed < len(jobs) else None
        raise PartialFailureError(f"{failed} of {len(jobs)} inputs failed", hint=hint)


def _paths(images: Sequence[str], *, null_separated: bool) -> list[str]:
    """The inputs, with `-` replaced by what standard input lists."""
    if null_separated and "-" not in images:
        raise OptionError("-0 is about paths on standard input, but no IMAGE is `-`")
    paths: list[str] = []
    for image in images:
        if image == "-":
            content = sys.stdin.buffer.read() if sys.stdin else b""
            lines = content.split(b"\0") if null_separated else content.replace(b"\r\n", b"\n").split(b"\n")
            paths += [os.fsdecode(line) for line in lines if line]
        else:
            paths.append(image)
    if not paths:
        raise OptionError(
            "no IMAGE given", hint="name rasters, or `-` to read their paths from standard input"
        )
    return paths


def _jobs(images: Sequence[str], output: Path | None, output_dir: Path | None) -> list[tuple[str, Path]]:
    """Each input with the map it becomes."""
    if (output is None) == (output_dir is None):
        raise OptionError("say where to write: either -o FILE or --output-dir DIR")
    if output is not None:
        if len(images) > 1:
            raise OptionError(
                f"-o names one map, but there are {len(images)} inputs", hint="use --output-dir DIR"
            )
        return [(images[0], output)]
    assert output_dir is not None
    if not output_dir.is_dir():
        raise OptionError(f"{output_dir}: no such folder", hint=f"make it first: mkdir -p {output_dir}")
    jobs = [(image, output_dir / f"{_stem(image)}_classes.tif") for image in images]
    taken: dict[Path, str] = {}
    for image, target in jobs:
        if target in taken:
            raise OptionError(f"{image} and {taken[target]} would both become {target}")
        taken[target] = image
    return jobs


def _stem(image: str) -> str:
    """The name of an input without folders and ending; of an address also without what is asked of the server."""
    address = image.removeprefix("/vsicurl/")
    return Path(urlsplit(address).path if "://" in address else image).stem


def _check_door(
    jobs: Sequence[tuple[str, Path]], card: WeightCard, options: PredictOptions, *, weights_file: Path
) -> None:
    """Refuse what can be seen at once, before torch is imported; of several inputs each is opened in its turn."""
    from rsseg.prediction.context_file import check_context_file, describe_weights
    from rsseg.prediction.door import check_options, check_outputs, identify_files
    from rsseg.prediction.inputs import open_imagery
    from rsseg.weights import read_limits
    from rsseg.weights.files import file_sha256

    check_options(card, read_limits(weights_file), options)
    if options.use_context is not None:
        known = describe_weights(card, options, weights_sha256=file_sha256(weights_file))
        check_context_file(options.use_context, known)
    inputs = identify_files([*(image for image, _ in jobs), weights_file])
    for _, target in jobs:
        check_outputs(target, options, inputs=inputs)
    if len(jobs) == 1:
        open_imagery(jobs[0][0], card, options).close()
