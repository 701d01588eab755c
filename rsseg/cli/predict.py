"""`rsseg predict`: rasters to class maps."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say
from rsseg.errors import OptionError, PartialFailureError, RssegError

if TYPE_CHECKING:
    from rsseg.prediction.engine import Predictor, PredictSummary
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import WeightCard


@click.command(short_help="Segment rasters into class maps.")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Class map to write, for one IMAGE.",
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the maps of several images, DIR/<stem>_classes.tif.",
)
@click.option("-0", "null_separated", is_flag=True, help="Paths on standard input are separated by NUL.")
@opt.weights
@opt.tile
@opt.halo
@opt.batch_size
@click.option(
    "--context",
    type=click.Choice(["raster", "tile"]),
    help="What attention attends to: the whole raster, or each tile for itself.  [default: tile]",
)
@click.option(
    "--context-sample",
    type=float,
    metavar="F",
    help="Take the raster's context from this share of its tiles, above 0 and up to 1.",
)
@click.option(
    "--save-context",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the raster's context, too.",
)
@click.option(
    "--use-context",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Use a saved context, such as that of a neighbouring sheet.",
)
@click.option(
    "--seam-check",
    is_flag=True,
    help="Predict a sample of the places where tiles meet with shifted tiles, and say how many pixels change.",
)
@opt.device
@opt.precision
@opt.bands
@opt.nodata
@opt.scale
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw a picture of the result, too.",
)
@opt.overwrite
@click.option(
    "--no-resume",
    "resume",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Start anew instead of going on with what an unfinished run left.",
)
@opt.as_json
@opt.verbose
@opt.quiet
def predict(
    images: tuple[str, ...],
    *,
    output: Path | None,
    output_dir: Path | None,
    null_separated: bool,
    weights: str | None,
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
      find sheets -name '*.tif' -print0 | rsseg predict -0 - --output-dir maps/ --json
    """
    from rsseg.prediction.options import PredictOptions
    from rsseg.weights import default_weights, find_weights, load_card

    jobs = _jobs(_paths(images, null_separated=null_separated), output, output_dir)
    options = PredictOptions(**settings)
    for name, file in {"--preview": options.preview, "--save-context": options.save_context}.items():
        if file is not None and len(jobs) > 1:
            raise OptionError(f"{name} goes with one IMAGE")
    weights = weights or default_weights()
    card = load_card(weights)
    _check_door(jobs, card, options, weights_file=find_weights(weights))

    from rsseg.prediction.engine import Predictor
    from rsseg.weights import load_weights

    predictor = Predictor(load_weights(weights), options)
    failed = 0
    for image, target in jobs:
        try:
            _predict_one(predictor, image, target, card=card, options=options, as_json=as_json, quiet=quiet)
        except RssegError as err:
            if len(jobs) == 1:
                raise
            failed += 1
            _report_failure(image, err, as_json=as_json)
    if failed:
        hint = "the other maps are complete" if failed < len(jobs) else None
        raise PartialFailureError(f"{failed} of {len(jobs)} inputs failed", hint=hint)


def _paths(images: Sequence[str], *, null_separated: bool) -> list[str]:
    """The inputs, with `-` replaced by what standard input lists."""
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
    jobs = [(image, output_dir / f"{Path(image).stem}_classes.tif") for image in images]
    taken: dict[Path, str] = {}
    for image, target in jobs:
        if target in taken:
            raise OptionError(f"{image} and {taken[target]} would both become {target}")
        taken[target] = image
    return jobs


def _check_door(
    jobs: Sequence[tuple[str, Path]], card: WeightCard, options: PredictOptions, *, weights_file: Path
) -> None:
    """Refuse what can be seen at once, before torch is imported; of several inputs each is opened in its turn."""
    from rsseg.prediction.context_file import check_context_file, describe_weights
    from rsseg.prediction.door import (
        check_limits,
        check_outputs,
        open_input,
        resolve_context,
        resolve_sizes,
    )
    from rsseg.weights import read_limits
    from rsseg.weights.files import file_sha256

    sizes, context = resolve_sizes(card, options), resolve_context(card, options)
    check_limits(read_limits(weights_file), options, tile=sizes.tile, context=context)
    if options.use_context is not None:
        known = describe_weights(card, options, weights_sha256=file_sha256(weights_file))
        check_context_file(options.use_context, known)
    inputs = [image for image, _ in jobs]
    for _, target in jobs:
        check_outputs(target, options, inputs=[*inputs, weights_file])
    if len(jobs) == 1:
        open_input(inputs[0], card, options).close()


def _predict_one(
    predictor: Predictor,
    image: str,
    target: Path,
    *,
    card: WeightCard,
    options: PredictOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    from rsseg.prediction.door import open_input

    with open_input(image, card, options) as source:
        megapixels = source.grid.width * source.grid.height / 1e6
    with progress_bar(Path(image).name, quiet=quiet, unit="Mpx", total=megapixels) as on_progress:
        summary = predictor.predict(image, target, on_progress=on_progress)
    _report(image, summary, card=card, as_json=as_json, quiet=quiet)
    if options.preview is not None:
        say(f"drawing {options.preview}", quiet=quiet)
        predictor.draw_preview(image, target, options.preview)


def _report(image: str, summary: PredictSummary, *, card: WeightCard, as_json: bool, quiet: bool) -> None:
    pixels = summary.width * summary.height
    if as_json:
        emit_json(
            {
                "image": image,
                "output": str(summary.output),
                "width": summary.width,
                "height": summary.height,
                "classes": dict(zip(card.classes.names, summary.class_pixels, strict=True)),
                "nodata": summary.nodata_pixels,
                "tiles": summary.tiles,
                "skipped_tiles": summary.skipped_tiles,
                "context": summary.context,
                "seam_change": summary.seam_change,
                "resumed_blocks": summary.resumed_blocks,
                "seconds": round(summary.seconds, 3),
            }
        )
    else:
        click.echo(summary.output)
    shares = [f"{n} {p / pixels:.1%}" for n, p in zip(card.classes.names, summary.class_pixels, strict=True)]
    shares.append(f"no data {summary.nodata_pixels / pixels:.1%}")
    if summary.seam_change is not None:
        shares.append(f"seams change {summary.seam_change:.3%}")
    rate = pixels / 1e6 / summary.seconds
    say(
        f"{summary.output}: {pixels / 1e6:.1f} Mpx in {summary.seconds:.1f} s ({rate:.1f} Mpx/s); {', '.join(shares)}",
        quiet=quiet,
    )


def _report_failure(image: str, err: RssegError, *, as_json: bool) -> None:
    click.echo(f"Error: {err}" + (f"\nHint: {err.hint}" if err.hint else ""), err=True)
    if as_json:
        emit_json({"image": image, "error": str(err), "hint": err.hint, "exit_code": err.exit_code})
