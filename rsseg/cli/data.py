"""`rsseg data`: published data sets that can be trained on as they are, and splits that do not leak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say

if TYPE_CHECKING:
    from rsseg.data.presets.registry import Preset
    from rsseg.data.split import SplitSummary


@click.group()
def data() -> None:
    """List published data sets, and part data of your own.

    \b
    Examples:
      rsseg data presets
      rsseg data split tiles/ -o tiles/split.json
      rsseg data split town.toml -o town_split.toml --val 0.25
    """


@data.command(short_help="List the published data sets that `rsseg train --preset` reads.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@opt.as_json
@opt.verbose
@opt.quiet
def presets(names: tuple[str, ...], *, as_json: bool, quiet: bool) -> None:  # noqa: ARG001 - quiet sets up the log
    """List the published data sets that `rsseg train --preset` reads; with NAME, how their folders must look.

    \b
    Example:
      rsseg data presets vaihingen
    """
    from rsseg.data.presets.registry import PRESETS, find_preset

    for preset in [find_preset(name) for name in names] or PRESETS.values():
        if as_json:
            emit_json(_row(preset))
        elif names:
            for line in _described(preset):
                click.echo(line)
        else:
            click.echo(f"{preset.name:<22} {len(preset.classes):>3} classes  {preset.images}")


def _row(preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "images": preset.images,
        "files": list(preset.files),
        "split": preset.split,
        "protocol": preset.protocol,
        "left_out_of_means": list(preset.left_out_of_means),
        "classes": preset.classes.to_list(),
    }


def _described(preset: Preset) -> list[str]:
    return [
        f"{preset.name}: {preset.images}",
        f"  split     {preset.split}",
        f"  protocol  {preset.protocol}",
        f"  classes   {', '.join(preset.classes.names)}",
        *(f"  {'files' if n == 0 else '':<8}  {name}" for n, name in enumerate(preset.files)),
    ]


@data.command(short_help="Propose a split into train and val that share no ground.")
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="split.json for a folder of tiles, a new manifest .toml for a manifest.",
)
@click.option(
    "--val",
    "val_share",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of the labels for validation.",
)
@click.option(
    "--window",
    type=int,
    default=256,
    show_default=True,
    metavar="N",
    help="Side of a training sample, in pixels: the margin between the parts.",
)
@click.option(
    "--block",
    type=int,
    metavar="N",
    help="Side of the blocks that rasters are cut into, in pixels.  [default: 4 windows]",
)
@click.option(
    "--readers", type=click.IntRange(1), default=2, show_default=True, help="Threads that read labels."
)
@opt.seed
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def split(
    source: Path,
    *,
    output: Path,
    readers: int,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Propose which ground of DATA to learn from and which to validate on.

    Whole blocks of neighbouring ground are for validation; what is nearer to them than a training sample is for
    neither. Blocks are chosen so that both parts hold all classes in like shares. DATA is a folder of georeferenced
    tiles, or a manifest.toml; for that, areas of interest are written as GeoJSON beside the new manifest.

    \b
    Examples:
      rsseg data split tiles/ -o tiles/split.json
      rsseg data split town.toml -o town_split.toml --val 0.25 --seed 3
    """
    from rsseg.data.blocks import SplitOptions
    from rsseg.data.split import propose_split

    options = SplitOptions(**settings)
    with progress_bar("split", quiet=quiet) as on_progress:
        summary = propose_split(
            source, output, options=options, overwrite=overwrite, threads=readers, on_progress=on_progress
        )
    if as_json:
        emit_json(_summary_row(summary))
    else:
        click.echo(summary.output)
    for line in _summary_lines(summary):
        say(line, quiet=quiet)


def _summary_row(summary: SplitSummary) -> dict[str, Any]:
    names = summary.classes.names
    return {
        "output": str(summary.output),
        "files": [str(path) for path in summary.files],
        "pieces": summary.pieces,
        "class_pixels": {
            part: dict(zip(names, counts, strict=True)) for part, counts in summary.class_pixels.items()
        },
    }


def _summary_lines(summary: SplitSummary) -> list[str]:
    lines = []
    for part, counts in summary.class_pixels.items():
        total = sum(counts)
        shares = [
            f"{name} {count / max(1, total):.1%}"
            for name, count in zip(summary.classes.names, counts, strict=True)
        ]
        lines.append(f"{part}: {summary.pieces[part]} pieces, {total / 1e6:.2f} Mpx ({', '.join(shares)})")
    lines += [
        f"Warning: {part} has no pixel of {', '.join(names)}"
        for part, names in summary.missing().items()
        if names
    ]
    return lines
