"""`rsseg train`: labelled imagery to weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say
from rsseg.cli.train_check import run_check
from rsseg.errors import OptionError
from rsseg.training.options import LOSSES, TrainOptions

if TYPE_CHECKING:
    from rsseg.training.engine import TrainSummary


@click.command(short_help="Train a network on labelled imagery.")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "run", type=click.Path(path_type=Path), metavar="RUN", help="Folder of the run."
)
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was stopped."
)
@click.option(
    "--preset",
    metavar="NAME",
    help="DATA is a published data set as it was handed out; `rsseg data presets` lists them.",
)
@click.option(
    "--check", is_flag=True, help="Only report what training would see; exit code 3 where it would fail."
)
@click.option("--model", metavar="NAME", help="Network. [default: maresunet]")
@click.option("--encoder", metavar="NAME", help="Its encoder. [default: resnet18 for maresunet]")
@click.option(
    "--weights", metavar="NAME|PATH", help="Start from existing weights with the same classes and bands."
)
@click.option(
    "--pretrained",
    metavar="FILE|imagenet",
    help="Start from a trained encoder: a file with torchvision's names, rsseg weights, or imagenet to fetch one.",
)
@click.option("--epochs", type=int, metavar="N", help="Epochs; each ends with a validation. [default: 30]")
@click.option("--steps-per-epoch", type=int, metavar="N", help="Batches in an epoch. [default: 100]")
@click.option("--batch-size", type=int, metavar="N", help="Samples in a batch. [default: 8]")
@click.option("--window", type=int, metavar="N", help="Side of a sample, in pixels. [default: 256]")
@click.option("--tile", type=int, metavar="N", help="Side of the tiles of validation. [default: 512]")
@click.option("--halo", type=int, metavar="N", help="Margin around what a tile decides. [default: 64]")
@click.option("--lr", type=float, metavar="F", help="Highest learning rate. [default: 0.001]")
@click.option("--weight-decay", type=float, metavar="F", help="Of AdamW, for kernels. [default: 0.01]")
@click.option(
    "--loss", type=click.Choice(LOSSES), help="Loss beside Dice, of every head. [default: cross-entropy]"
)
@click.option("--label-smoothing", type=float, metavar="F", help="Of cross-entropy, 0 to 0.99. [default: 0]")
@click.option("--dice", type=float, metavar="F", help="Weight of the Dice loss. [default: 1]")
@click.option(
    "--aux-weight",
    type=float,
    metavar="F",
    help="Weight of each auxiliary head's loss, for abcnet, attanet and attanet-light. [default: 1]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Number format of the network while it learns. [default: auto]",
)
@click.option("--seed", type=int, metavar="N", help="Makes random choices repeatable. [default: 0]")
@opt.device
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads that compute, on a CPU.")
@click.option(
    "--readers", type=click.IntRange(1), default=2, show_default=True, help="Threads that read samples."
)
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def train(
    data: Path | None,
    *,
    run: Path | None,
    resume: Path | None,
    check: bool,
    device: str,
    threads: int | None,
    readers: int,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **recipe: Any,
) -> None:
    """Train a network on DATA and leave its best weights in RUN/best.safetensors, ready for `rsseg predict`.

    DATA is a folder of labelled tiles (images/, labels/, classes.json, optional split.json), a manifest.toml
    of rasters with label rasters or label vectors, or with --preset a published data set. The path of the weights is
    printed on standard output.

    \b
    Examples:
      rsseg train tiles/ -o runs/first
      rsseg train town.toml -o runs/town --encoder resnet34 --epochs 50
      rsseg train tiles/ -o runs/abcnet --model abcnet --pretrained imagenet --loss ohem
      rsseg train --resume runs/town
      rsseg train --check tiles/
      rsseg train --preset vaihingen Vaihingen/ -o runs/vaihingen
    """
    if check:
        chosen = {"preset": recipe["preset"], "window": recipe["window"]}
        run_check(data, **chosen, readers=readers, as_json=as_json, quiet=quiet)
        return
    _check_usage(data, run, resume, recipe)
    options = TrainOptions(**{name: value for name, value in recipe.items() if value is not None})

    from rsseg.training.engine import Machine
    from rsseg.training.engine import resume as resume_run
    from rsseg.training.engine import train as train_run

    machine = Machine(device=device, threads=threads, readers=readers)
    folder = resume or run
    earlier = None if resume else _checkpoint_time(folder)
    try:
        with progress_bar("train", quiet=quiet) as on_progress:
            if resume is not None:
                summary = resume_run(resume, machine=machine, on_progress=on_progress)
            else:
                assert data is not None
                assert run is not None
                summary = train_run(
                    data,
                    run,
                    options=options,
                    machine=machine,
                    overwrite=overwrite,
                    on_progress=on_progress,
                )
    except KeyboardInterrupt:
        if _checkpoint_time(folder) not in (None, earlier):  # else the run there is not yet ours
            say(f"Stopped; go on with: rsseg train --resume {folder}", quiet=quiet)
        raise
    _report(summary, as_json=as_json, quiet=quiet)


def _checkpoint_time(folder: Path | None) -> int | None:
    """When the checkpoint of a run was written; None without one that can be seen."""
    if folder is None:
        return None
    try:
        return (folder / "last.ckpt").stat().st_mtime_ns
    except OSError:
        return None


def _check_usage(data: Path | None, run: Path | None, resume: Path | None, recipe: Iterable[str]) -> None:
    if resume is None:
        if data is None or run is None:
            raise OptionError("train needs DATA and -o RUN, or --resume RUN", hint="see rsseg train --help")
        return
    source = click.get_current_context().get_parameter_source
    for name in ("data", "run", "overwrite", *recipe):
        if source(name) is ParameterSource.COMMANDLINE:  # a variable stands for all runs, and is no request
            option = {"data": "DATA", "run": "-o"}.get(name, f"--{name.replace('_', '-')}")
            raise OptionError(
                f"--resume takes the recipe of the run; {option} does not go with it",
                hint="only --device, --threads and --readers may change",
            )


def _report(summary: TrainSummary, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        emit_json({**asdict(summary), "best": str(summary.best), "seconds": round(summary.seconds, 1)})
    else:
        click.echo(summary.best)
    scores = ", ".join(f"{k} {'-' if v is None else f'{v:.3f}'}" for k, v in summary.scores.items())
    say(f"{summary.best}: epoch {summary.epoch} of {summary.epochs}; {scores}", quiet=quiet)
