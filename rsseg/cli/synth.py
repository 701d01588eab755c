"""`rsseg synth`: a synthetic orthophoto with exact labels."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say

if TYPE_CHECKING:
    from rsseg.data.synthetic import SceneFiles


def _parse_size(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, int]:
    """`4096` or `4096x2048` as columns and rows; the scene checks their range."""
    match = re.fullmatch(r"(-?\d+)(?:[xX](-?\d+))?", value.strip())
    if match is None:
        raise click.BadParameter(f"{value!r} is neither a number nor of the form WIDTHxHEIGHT")
    width = int(match[1])
    return width, width if match[2] is None else int(match[2])


@click.command(short_help="Make a synthetic orthophoto with exact labels.")
@click.argument("out_dir", type=click.Path(path_type=Path))
@click.option(
    "--size",
    callback=_parse_size,
    default="4096",
    show_default=True,
    metavar="N|WxH",
    help="Columns and rows, in pixels; with --tiles those of each tile.",
)
@opt.seed
@click.option(
    "--gsd", "gsd_m", type=float, default=0.15, show_default=True, metavar="M", help="Pixel size in metres."
)
@click.option(
    "--tiles",
    type=int,
    metavar="N",
    help="Make a data set to train on instead: N tiles, each from a town of its own.",
)
@click.option(
    "--labels",
    type=click.Choice(["buildings", "landcover"]),
    default="buildings",
    show_default=True,
    help="The classes of such a data set.",
)
@opt.overwrite
@opt.as_json
@opt.quiet
@opt.verbose
def synth(
    out_dir: Path,
    *,
    size: tuple[int, int],
    seed: int,
    gsd_m: float,
    tiles: int | None,
    labels: Literal["buildings", "landcover"],
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a town seen from the air, with exact labels, in the folder OUT_DIR.

    It holds image.tif, an orthophoto with a corner without data; labels.tif with its land cover, named in
    classes.json; and buildings.tif, which only knows buildings. The same seed gives the same town.

    \b
    Examples:
      rsseg synth town                              4096 x 4096 px at 0.15 m
      rsseg synth big --size 40000x20000 --seed 7
      rsseg synth tiles --tiles 40 --size 1024      images/ and labels/ for rsseg train
    """
    # Importing rasterio takes a while; `rsseg synth --help` must not pay for it.
    from rsseg.data.synthetic import Scene, write_dataset, write_scene

    scene = Scene(width=size[0], height=size[1], seed=seed, gsd_m=gsd_m)
    area = scene.width * scene.height * (tiles or 1) / 1e6
    with progress_bar("synth", quiet=quiet, unit="Mpx", total=area) as on_progress:
        if tiles is not None:
            data = write_dataset(
                out_dir, scene, tiles=tiles, labels=labels, overwrite=overwrite, on_progress=on_progress
            )
        else:
            files = write_scene(out_dir, scene, overwrite=overwrite, on_progress=on_progress)
    if tiles is None:
        _report_scene(files, as_json=as_json, quiet=quiet)
    elif as_json:
        emit_json({"folder": str(data.folder), "train": data.train, "val": data.val})
    else:
        click.echo(str(data.folder))


def _report_scene(files: SceneFiles, *, as_json: bool, quiet: bool) -> None:
    """Paths to standard output, shares of the classes to standard error."""
    from rsseg.data.synthetic import LANDCOVER

    total = max(sum(files.pixels), 1)
    shares = {name: count / total for name, count in zip(LANDCOVER.names, files.pixels, strict=True)}
    if as_json:
        paths = {k: str(v) for k, v in asdict(files).items() if k != "pixels"}
        emit_json({**paths, "share": {name: round(share, 6) for name, share in shares.items()}})
        return
    for path in (files.image, files.labels, files.buildings, files.classes):
        click.echo(str(path))
    say(", ".join(f"{name} {share:.1%}" for name, share in shares.items()), quiet=quiet)
