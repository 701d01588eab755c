"""`rsseg info`: what rsseg sees in a raster, in weights, in a run, in a data set, in polygons."""

from __future__ import annotations

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, say
from rsseg.cli.info_files import Report, report_on
from rsseg.errors import PartialFailureError, RssegError


@click.command(short_help="Tell what rsseg sees in a raster, weights, run or data set.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--weights",
    metavar="NAME|PATH",
    help="Compare images with these weights: bands, pixel type, ground size.",
)
@opt.as_json
@opt.verbose
@opt.quiet
def info(paths: tuple[str, ...], *, weights: str | None, as_json: bool, quiet: bool) -> None:  # noqa: ARG001
    """Tell what rsseg sees in each PATH, and what may be wrong with it.

    PATH is an image, a class map or labels (pixels or polygons), weights (a file, or bundled ones by name), the folder
    of a run, or a data set (a folder of labelled tiles, or a manifest.toml). Of rasters only a few places are looked
    at, so that large ones take no longer. Nothing is computed and nothing is written.

    \b
    Examples:
      rsseg info ortho.tif
      rsseg info ortho.tif --weights buildings
      rsseg info sheets/*.tif --json
      rsseg info runs/first
    """
    from rsseg.raster import gdal_env
    from rsseg.weights import load_card

    card = None if weights is None else load_card(weights)
    failed = 0
    with gdal_env():
        for number, path in enumerate(paths):
            try:
                report = report_on(path, card)
            except RssegError as err:
                if len(paths) == 1:
                    raise
                failed += 1
                say(f"Error: {err}" + (f"\nHint: {err.hint}" if err.hint else ""))
                if as_json:
                    emit_json({"path": path, "error": str(err), "hint": err.hint, "exit_code": err.exit_code})
                continue
            if as_json:
                emit_json(report.document)
            else:
                click.echo("\n" * (number > 0) + _text(report))
    if failed:
        raise PartialFailureError(f"{failed} of {len(paths)} inputs failed")


def _text(report: Report) -> str:
    lines = [f"{report.path}: {report.title}"]
    lines += [f"  {name:<12}  {text}" for name, text in report.rows if text]
    lines += [f"Note: {text}" for text in report.notes]
    for text, hint in report.warnings:
        lines += [f"Warning: {text}", *([f"Hint: {hint}"] if hint else [])]
    return "\n".join(lines)
