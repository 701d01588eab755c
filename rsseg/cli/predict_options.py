"""The options of `rsseg predict`, in the order in which `--help` shows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options as opt

_FILE = click.Path(path_type=Path)

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-o", "--output", type=_FILE, metavar="FILE", help="Class map to write, for one IMAGE."),
    click.option(
        "--output-dir",
        type=_FILE,
        metavar="DIR",
        help="Folder for the maps of several images, DIR/<stem>_classes.tif.",
    ),
    click.option("-0", "null_separated", is_flag=True, help="Paths on standard input are separated by NUL."),
    opt.weights,
    opt.bands,
    opt.nodata,
    opt.scale,
    opt.gsd,
    click.option(
        "--collar",
        type=click.Choice(["white", "black"]),
        help="Leave out what has this colour and hangs together with the raster's edge.",
    ),
    click.option(
        "--aoi",
        metavar="FILE",
        help="Vector file: decide nothing outside its polygons; an IMAGE that they miss gets a map without data.",
    ),
    click.option(
        "--extra",
        metavar="FILE",
        help="A second raster on the same grid whose bands follow IMAGE's, such as heights or infrared.",
    ),
    opt.tile,
    opt.halo,
    opt.batch_size,
    opt.context,
    click.option(
        "--context-sample",
        type=float,
        metavar="F",
        help="Take the raster's context from this share of its tiles, above 0 and up to 1.",
    ),
    click.option("--save-context", type=_FILE, metavar="FILE", help="Write the raster's context, too."),
    click.option(
        "--use-context",
        type=_FILE,
        metavar="FILE",
        help="Use a saved context, such as that of a neighbouring sheet.",
    ),
    click.option(
        "--feature-cache",
        type=opt.ByteSize(),
        metavar="SIZE",
        help="With --context raster, on a processor: disk beside the output for features of tiles, so that none is "
        "encoded twice; 0 for none.  [default: a quarter of what is free]",
    ),
    click.option(
        "--blend",
        type=click.Choice(["crop", "average"]),
        default="crop",
        show_default=True,
        help="What decides a pixel: the tile it is nearest to the middle of, or the average of all that see it.",
    ),
    click.option(
        "--seam-check",
        is_flag=True,
        help="Predict a sample of the places where tiles meet with shifted tiles, and say how many pixels change.",
    ),
    opt.tta,
    opt.device,
    opt.precision,
    click.option(
        "--runtime",
        type=click.Choice(["torch", "openvino", "onnxruntime"]),
        default="torch",
        show_default=True,
        help="What runs the network.",
    ),
    click.option(
        "--compile/--no-compile",
        default=False,
        show_default=True,
        help="Let torch compile the network first.",
    ),
    click.option(
        "--threads", type=int, metavar="N", help="Threads of the processor.  [default: one to a core]"
    ),
    opt.max_memory,
    click.option(
        "--threshold",
        type=opt.ClassThreshold(),
        metavar="CLASS=P",
        help="Of two classes take this one where its probability is at least P.",
    ),
    click.option(
        "--min-area",
        type=int,
        default=0,
        show_default=True,
        metavar="N",
        help="Smallest region kept, in pixels; smaller ones take the class of their largest neighbour.",
    ),
    click.option(
        "--probabilities",
        type=_FILE,
        metavar="FILE",
        help="Write the probabilities, too: a band to each class, 0 to 254 for 0 to 1, 255 where there is no data.",
    ),
    click.option(
        "--confidence",
        type=_FILE,
        metavar="FILE",
        help="Write the probability of the decided class, too, in the same form.",
    ),
    click.option("--preview", type=_FILE, metavar="FILE.png", help="Draw a picture of the result, too."),
    click.option(
        "--dry-run", is_flag=True, help="Say what would be done, and what memory, disk and time it takes."
    ),
    opt.overwrite,
    click.option(
        "--no-resume",
        "resume",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Start anew instead of going on with what an unfinished run left.",
    ),
    opt.as_json,
    opt.verbose,
    opt.quiet,
)


def predict_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options to a command."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
