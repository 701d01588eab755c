"""The options of `rsseg train`, in the order and under the headings in which `--help` shows them.

The usual options of a recipe are here; `--set` reaches all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options as opt
from rsseg.cli.headings import HeadedCommand
from rsseg.data.options import SAMPLINGS
from rsseg.training.options import LOSSES, OPTIMIZERS, PRECISIONS, SCHEDULES

_PATH = click.Path(path_type=Path)

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-o", "--output", "run", type=_PATH, metavar="RUN", help="Folder of the run."),
    click.option("--resume", type=_PATH, metavar="RUN", help="Go on with a run that was stopped."),
    opt.overwrite,
    click.option(
        "--check", is_flag=True, help="Only report what training would see; exit code 3 where it would fail."
    ),
    click.option(
        "--preset",
        metavar="NAME",
        help="DATA is a published data set as it was handed out; `rsseg data presets` lists them.",
    ),
    click.option(
        "--config",
        type=_PATH,
        metavar="FILE",
        help="A TOML file with a table [train], such as one of docs/recipes or the config.toml of a run. The options"
        " below change it.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any option of a recipe, such as optimizer.momentum=0.95 or augment.zoom=1.5; comes last, may be"
        " repeated. docs/recipes/README.md lists them.",
    ),
    click.option("--model", metavar="NAME", help="Network. [default: maresunet]"),
    click.option("--encoder", metavar="NAME", help="Its encoder. [default: resnet18 for maresunet]"),
    click.option(
        "--weights",
        metavar="NAME|PATH",
        help="Start from existing weights with the same bands; classes of other names begin anew.",
    ),
    click.option(
        "--pretrained",
        metavar="FILE|imagenet",
        help="Start from a trained encoder: a file (torchvision's, EfficientNet-Lite's), rsseg weights, or imagenet.",
    ),
    click.option(
        "--epochs", type=int, metavar="N", help="Epochs; each ends with a validation. [default: 30]"
    ),
    click.option("--steps-per-epoch", type=int, metavar="N", help="Batches in an epoch. [default: 100]"),
    click.option("--batch-size", type=int, metavar="N", help="Samples in a batch. [default: 8]"),
    click.option("--window", type=int, metavar="N", help="Side of a sample, in pixels. [default: 256]"),
    click.option(
        "--sampling",
        type=click.Choice(SAMPLINGS),
        help="Windows around labelled pixels that are all as likely, or classes that are; or side by side."
        " [default: area]",
    ),
    click.option("--seed", type=int, metavar="N", help="Makes random choices repeatable. [default: 0]"),
    click.option(
        "--patience",
        type=int,
        metavar="N",
        help="Stop after so many epochs that brought nothing better; 0: never. [default: 0]",
    ),
    click.option("--tile", type=int, metavar="N", help="Side of the tiles of validation. [default: 512]"),
    click.option("--halo", type=int, metavar="N", help="Margin around what a tile decides. [default: 64]"),
    click.option(
        "--optimizer", type=click.Choice(OPTIMIZERS), help="What moves the weights. [default: adamw]"
    ),
    click.option("--lr", type=float, metavar="F", help="Highest learning rate. [default: 0.001]"),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        help="How the rate falls after the warm-up; restarts: as several cosines. [default: cosine]",
    ),
    click.option(
        "--weight-decay",
        type=float,
        metavar="F",
        help="Of kernels, not of norms, biases and attention scales. [default: 0.01]",
    ),
    click.option(
        "--loss", type=click.Choice(LOSSES), help="Loss beside Dice, of every head. [default: cross-entropy]"
    ),
    click.option(
        "--label-smoothing", type=float, metavar="F", help="Of cross-entropy, 0 to 0.99. [default: 0]"
    ),
    click.option("--dice", type=float, metavar="F", help="Weight of the Dice loss. [default: 1]"),
    click.option(
        "--aux-weight",
        type=float,
        metavar="F",
        help="Weight of each auxiliary head's loss, for abcnet, attanet and attanet-light. [default: 1]",
    ),
    click.option(
        "--ema",
        type=float,
        metavar="F",
        help="Keep a moving average of the weights that forgets 1 - F in a step, such as 0.999; 0: none. [default: 0]",
    ),
    opt.device,
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Number format of the network while it learns. [default: auto]",
    ),
    click.option(
        "--compile/--no-compile",
        default=None,
        help="Let torch compile the network first. [default: no-compile]",
    ),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads that compute, on a CPU."),
    click.option(
        "--readers",
        type=click.IntRange(1),
        default=2,
        show_default=True,
        metavar="N",
        help="Threads that read samples.",
    ),
    opt.as_json,
    opt.verbose,
    opt.quiet,
)

_HEADINGS = {
    "run": "Run and data",
    "config": "Recipe",
    "model": "Network",
    "epochs": "Samples and epochs",
    "tile": "Validation",
    "optimizer": "Learning",
    "device": "Machine",
    "as_json": "Output",
}
"""The first option under each heading."""

PLACES = {
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "schedule": "optimizer.schedule",
    "weight_decay": "optimizer.weight_decay",
    "loss": "loss.name",
    "label_smoothing": "loss.label_smoothing",
    "dice": "loss.dice",
    "aux_weight": "loss.aux_weight",
}
"""Where in a recipe the value of a flag belongs, unless at its top."""


class TrainCommand(HeadedCommand):
    """A command whose help shows the options under these headings."""

    headings = _HEADINGS


def train_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options to a command."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
