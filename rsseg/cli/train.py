"""`rsseg train`: labelled imagery to weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rsseg.cli.console import emit_json, say, set_up_log, training_bar
from rsseg.cli.train_check import run_check
from rsseg.cli.train_options import PLACES, TrainCommand, train_options
from rsseg.errors import OptionError
from rsseg.training.options import TrainOptions
from rsseg.training.recipe import changed, parse_setting, read_recipe

if TYPE_CHECKING:
    from rsseg.training.engine import TrainSummary


@click.command(cls=TrainCommand, short_help="Train a network on labelled imagery.")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@train_options
def train(
    data: Path | None,
    *,
    run: Path | None,
    resume: Path | None,
    check: bool,
    device: str,
    threads: int | None,
    readers: int,
    config: Path | None,
    settings: tuple[str, ...],
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
      rsseg train tiles/ -o runs/lite --model manet --encoder efficientnet-lite0 --pretrained imagenet
      rsseg train tiles/ -o runs/roofs --weights buildings --lr 0.0003
      rsseg train --resume runs/town
      rsseg train --check tiles/
      rsseg train Vaihingen/ -o runs/manet --config docs/recipes/manet-vaihingen.toml
      rsseg train tiles/ -o runs/again --config runs/first/config.toml --set augment.zoom=1.5

    A recipe's value gives way to a flag's, and both to that of --set.
    """
    if not check:
        _check_usage(data, run, resume, ("config", "settings", *recipe))
    options = _options(config, settings, recipe)
    if check:
        run_check(
            data,
            preset=options.preset,
            window=options.window,
            readers=readers,
            as_json=as_json,
            quiet=quiet,
        )
        return

    from rsseg.machine import keep_freed_memory
    from rsseg.prediction.forward import resolve_device
    from rsseg.training.engine import Machine
    from rsseg.training.engine import resume as resume_run
    from rsseg.training.engine import train as train_run
    from rsseg.training.world import is_first_process

    if not is_first_process():  # of those that torchrun started, one talks
        quiet = True
        set_up_log(quiet=True, verbose=False)
    if resolve_device(device).type == "cpu":
        keep_freed_memory()  # of the whole process, so not the engine's to decide
    machine = Machine(device=device, threads=threads, readers=readers)
    folder = resume or run
    earlier = None if resume else _checkpoint_time(folder)
    try:
        with training_bar(quiet=quiet) as on_progress:
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
    if is_first_process():
        _report(summary, as_json=as_json, quiet=quiet)


def _options(config: Path | None, settings: Iterable[str], flags: Mapping[str, Any]) -> TrainOptions:
    """The recipe: the file's values, over them those of the flags, over them those of `--set`."""
    recipe = read_recipe(config) if config else {}
    for flag, value in flags.items():
        if value is not None:
            recipe = changed(recipe, PLACES.get(flag, flag), value)
    for setting in settings:
        recipe = changed(recipe, *parse_setting(setting))
    return TrainOptions.from_dict(recipe)


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
            option = {"data": "DATA", "run": "-o", "settings": "--set"}.get(
                name, f"--{name.replace('_', '-')}"
            )
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
