"""Runs: begun with `train`, gone on with by `resume`. What happens in between is in `rsseg.training.session`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rsseg.errors import LabelError, WeightsError
from rsseg.training.checkpoint import Checkpoint, load_checkpoint
from rsseg.training.fingerprint import check_same_data, describe_data
from rsseg.training.history import best_row, known_scores
from rsseg.training.options import TrainOptions
from rsseg.training.progress import Progress
from rsseg.training.provenance import describe_origin
from rsseg.training.run_folder import RunFolder
from rsseg.training.session import Machine, Session, TrainSummary
from rsseg.training.start import check_recipe, open_training_data, plan_card, start_network
from rsseg.training.world import joined_world
from rsseg.weights import WeightCard, build_from_card, read_card

__all__ = ["Machine", "TrainSummary", "resume", "train"]


def train(
    data: Path,
    run: Path,
    *,
    options: TrainOptions,
    machine: Machine | None = None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainSummary:
    """Train a network on a folder of labelled tiles or a manifest.toml.

    Of the processes that `torchrun` starts, all call this alike; the first writes the run.

    Args:
        data: see `rsseg.data.scenes.plan_dataset`.
        run: the folder to write; see `rsseg.training.run_folder`.
        options: the recipe.
        machine: where to compute.
        overwrite: replace an earlier run in that folder.
        on_progress: is told after every step, in the first process.

    Raises:
        OptionError: the run exists, or options do not fit.
        LabelError: labels are missing, outside the classes or on another grid, or in both train and val.
        InputError: the loss is no longer finite.
        ResourceError: no such device, memory or disk is used up, or another process writes this run.
        RasterError: an image cannot be read, or is too small for the network.
        WeightsError: the weights to start from do not fit.
    """
    config: dict[str, Any] = {"data": os.path.realpath(data), "train": options.to_dict()}
    folder = RunFolder(run)
    machine = machine or Machine()
    with ExitStack() as stack:
        world = stack.enter_context(joined_world(machine.device))
        if world.is_first:
            folder.check_free(overwrite=overwrite)
        check_recipe(options)
        dataset, sampler = stack.enter_context(open_training_data(data, options))
        card = plan_card(dataset, sampler, options)
        network, card = start_network(card, options)
        session = Session(
            folder,
            dataset,
            sampler,
            card,
            network=network,
            config=config,
            facts=describe_data(dataset, data),
            options=options,
            machine=machine,
            world=world,
        )
        if world.is_first:
            stack.enter_context(folder.locked())
            origin = describe_origin(options)  # the weights to start from may be those of the earlier run
            folder.create()  # which is gone from here on
            session.begin(origin)
        return session.run(on_progress or _ignore)


def resume(
    run: Path, *, machine: Machine | None = None, on_progress: Callable[[Progress], None] | None = None
) -> TrainSummary:
    """Go on with a run from its last checkpoint; see `train`.

    Raises:
        WeightsError: there is no run, its checkpoint is damaged, or its recipe or data changed, or its best weights
            are gone or those of another epoch.
        ResourceError: another process writes this run.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    machine = machine or Machine()
    with ExitStack() as stack:
        world = stack.enter_context(joined_world(machine.device))
        if world.is_first:
            stack.enter_context(folder.locked())
        checkpoint = load_checkpoint(folder.checkpoint)
        _check_same_config(folder, config, checkpoint)
        _check_best(folder, checkpoint)
        options = TrainOptions.from_dict(config["train"])
        card = WeightCard.from_json(checkpoint.card)
        data = _existing(folder, Path(config["data"]))
        dataset, sampler = stack.enter_context(open_training_data(data, options))
        facts = describe_data(dataset, data)
        check_same_data(facts, checkpoint.data, run=run)
        session = Session(
            folder,
            dataset,
            sampler,
            card,
            network=build_from_card(card),
            config=config,
            facts=facts,
            options=options,
            machine=machine,
            precision=checkpoint.precision,
            world=world,
        )
        session.restore(checkpoint)
        return session.run(on_progress or _ignore)


def _check_same_config(folder: RunFolder, config: dict[str, Any], checkpoint: Checkpoint) -> None:
    """The recipe must be the same; the data may lie elsewhere."""
    old, new = _flat(checkpoint.config["train"]), _flat(config["train"])
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if changed:
        raise WeightsError(
            f"{folder.config}: {', '.join(changed)} changed since the checkpoint was written",
            hint="a run keeps its recipe; undo the change, or start a new run (with --weights if you like)",
        )


def _flat(table: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Options by their full names, such as optimizer.lr."""
    values: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            values |= _flat(value, f"{place}{name}.")
        else:
            values[place + name] = list(value) if isinstance(value, tuple) else value  # TOML has lists
    return values


def _check_best(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """The best weights must be those of the best epoch, unless they are still to be written; see `Session.restore`."""
    history = checkpoint.history
    if not history:
        return
    row = best_row(history)
    if row is history[-1] and folder.is_behind(history, step=checkpoint.step):
        return
    hint = "put it back, or start the run again with --overwrite"
    if not folder.best.is_file():
        raise WeightsError(f"{folder.best}: is gone; the run had written it", hint=hint)
    if read_card(folder.best).scores != known_scores(row):
        raise WeightsError(
            f"{folder.best}: changed; its scores are not those of epoch {row['epoch']}", hint=hint
        )


def _existing(folder: RunFolder, data: Path) -> Path:
    try:
        data.stat()
    except OSError as err:
        raise LabelError(
            f"{data}: the data of this run are gone ({err.strerror})",
            hint=f"if they moved, write their new place into {folder.config}",
        ) from err
    return data


def _ignore(_progress: Progress) -> None:
    """Progress that nobody watches."""
