"""The loop: batches, steps, validation after each epoch, checkpoints, and the best weights.

    samples -> loader threads -> learner (this thread) -> after each epoch: validate -> best.safetensors, last.ckpt

Everything random depends on (seed, step) or on (seed, epoch, index) alone, so a run that was killed and resumed gives
the weights of one that never stopped: bit for bit on one CPU with the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet
from rsseg.errors import WeightsError
from rsseg.evaluation.scores import Scores
from rsseg.log import logger
from rsseg.models.registry import network_entry
from rsseg.prediction.forward import Forward, resolve_device
from rsseg.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rsseg.training.history import best_row, describe, named_scores, scores_in
from rsseg.training.learner import Learner, resolve_training_precision
from rsseg.training.loader import iter_batches
from rsseg.training.options import TrainOptions
from rsseg.training.run_folder import RunFolder
from rsseg.training.schedule import learning_rate
from rsseg.training.start import open_training_data, plan_card, start_network
from rsseg.training.validation import validate
from rsseg.weights import WeightCard, build_from_card, save_weights, with_scores


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a run computes; none of it is part of the recipe.

    `device` as in `resolve_device`; `threads` of torch, None for torch's own choice; `readers` are the threads that
    read samples; a checkpoint is written after each epoch and every `checkpoint_s` seconds.
    """

    device: str = "auto"
    threads: int | None = None
    readers: int = 2
    checkpoint_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """What came of a run: the best weights with the epoch (from 1) and scores they were chosen by."""

    best: Path
    epoch: int
    scores: dict[str, float | None]
    epochs: int
    seconds: float


def train(
    data: Path,
    run: Path,
    *,
    options: TrainOptions,
    machine: Machine | None = None,
    overwrite: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> TrainSummary:
    """Train a network on a folder of labelled tiles or a manifest.toml.

    Args:
        data: see `rsseg.data.scenes.plan_dataset`.
        run: the folder to write; see `rsseg.training.run_folder`.
        options: the recipe.
        machine: where to compute.
        overwrite: replace an earlier run in that folder.
        on_progress: is told the share done, from 0 to 1.

    Raises:
        OptionError: the run exists, options do not fit, or the loss is no longer finite.
        LabelError: labels are missing, outside the classes or on another grid.
        RasterError: an image cannot be read.
        WeightsError: the weights to start from do not fit.
    """
    config: dict[str, Any] = {"data": str(data.resolve()), "train": options.to_dict()}
    folder = RunFolder(run)
    folder.check_free(overwrite=overwrite)
    with open_training_data(data, options) as (dataset, sampler):
        card = plan_card(dataset, sampler, options)
        network = start_network(card, options)
        folder.create()
        folder.write_config(config)
        session = _Session(
            folder,
            dataset,
            sampler,
            card,
            network=network,
            config=config,
            options=options,
            machine=machine or Machine(),
        )
        session.save()
        return session.run(on_progress or _ignore)


def resume(
    run: Path, *, machine: Machine | None = None, on_progress: Callable[[float], None] | None = None
) -> TrainSummary:
    """Go on with a run from its last checkpoint; see `train`.

    Raises:
        WeightsError: there is no run, or its checkpoint is damaged or of another configuration.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    checkpoint = load_checkpoint(folder.checkpoint)
    _check_same_config(folder, config, checkpoint.config)
    options = TrainOptions.from_dict(config["train"])
    card = WeightCard.from_json(checkpoint.card)
    with open_training_data(Path(config["data"]), options) as (dataset, sampler):
        network = build_from_card(card)
        session = _Session(
            folder,
            dataset,
            sampler,
            card,
            network=network,
            config=config,
            options=options,
            machine=machine or Machine(),
        )
        session.restore(checkpoint)
        return session.run(on_progress or _ignore)


def _check_same_config(folder: RunFolder, config: dict[str, Any], saved: Any) -> None:
    if config == saved:
        return
    old, new = saved.get("train", {}), config.get("train", {})
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key)) or ["data"]
    raise WeightsError(
        f"{folder.config}: {', '.join(changed)} changed since the checkpoint was written",
        hint="a run keeps its recipe; undo the change, or start a new run (with --weights if you like)",
    )


class _Session:
    """A run in progress."""

    def __init__(
        self,
        folder: RunFolder,
        dataset: DataSet,
        sampler: Sampler,
        card: WeightCard,
        *,
        network: torch.nn.Module,
        config: dict[str, Any],
        options: TrainOptions,
        machine: Machine,
    ) -> None:
        if machine.threads is not None:
            torch.set_num_threads(machine.threads)
        self._folder = folder
        self._dataset = dataset
        self._sampler = sampler
        self._card = card
        self._config = config
        self._options = options
        self._machine = machine
        self._device = resolve_device(machine.device)
        self._precision = resolve_training_precision(options.precision, self._device)
        self._learner = Learner(
            network,
            card.scaling,
            options=options,
            device=self._device,
            precision=self._precision,
        )
        self._step = 0
        self._loss_sum = 0.0
        self._history: list[dict[str, Any]] = []

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            self._folder.checkpoint,
            Checkpoint(
                config=self._config,
                card=self._card.to_json(),
                step=self._step,
                history=self._history,
                loss_sum=self._loss_sum,
                **self._learner.state(),
            ),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint."""
        self._learner.load_state(
            network=checkpoint.network, optimizer=checkpoint.optimizer, scaler=checkpoint.scaler
        )
        self._step = checkpoint.step
        self._loss_sum = checkpoint.loss_sum
        self._history = list(checkpoint.history)
        logger.info(f"going on after step {self._step} of {self._options.steps}")

    def run(self, on_progress: Callable[[float], None]) -> TrainSummary:
        """Learn what is left to learn."""
        options = self._options
        started = saved = epoch_started = time.monotonic()
        loader = iter_batches(
            self._sampler,
            first=self._step,
            stop=options.steps,
            per_epoch=options.steps_per_epoch,
            size=options.batch_size,
            threads=self._machine.readers,
        )
        with closing(loader):
            for batch in loader:
                torch.manual_seed(_step_seed(options.seed, self._step))  # dropout
                self._loss_sum += self._learner.learn(batch, self._step)
                self._step += 1
                on_progress(self._step / options.steps)
                now = time.monotonic()
                if self._step % options.steps_per_epoch == 0:
                    self._finish_epoch(seconds=now - epoch_started)
                    saved = epoch_started = time.monotonic()
                elif now - saved > self._machine.checkpoint_s:
                    self.save()
                    saved = time.monotonic()
        return self._summary(seconds=time.monotonic() - started)

    def _finish_epoch(self, *, seconds: float) -> None:
        """Validate, keep the weights if they are the best so far, and write down how it went."""
        scores = named_scores(self._validate(), self._card.classes.names)
        row = self._row(scores, seconds)
        self._history.append(row)
        is_best = best_row(self._history) is row
        if is_best:
            known = {name: value for name, value in scores.items() if value is not None}
            save_weights(self._folder.best, self._learner.network, with_scores(self._card, known))
        self._loss_sum = 0.0
        self._folder.write_history(self._history)
        self.save()
        logger.info(describe(row, epochs=self._options.epochs, is_best=is_best))

    def _validate(self) -> Scores:
        card = self._card
        forward = Forward(self._learner.network, card.scaling, device=self._device, precision=self._precision)
        return validate(
            forward,
            self._dataset.val,
            batch_size=1 if self._device.type == "cpu" else 8,
            classes=len(card.classes),
            tile=card.tile,
            halo=card.halo,
            stride=network_entry(card.architecture).stride,
        )

    def _row(self, scores: dict[str, float | None], seconds: float) -> dict[str, Any]:
        options = self._options
        return {
            "epoch": self._step // options.steps_per_epoch,
            "step": self._step,
            "lr": learning_rate(self._step - 1, steps=options.steps, peak=options.lr, warmup=options.warmup),
            "loss": self._loss_sum / options.steps_per_epoch,
            **scores,
            "seconds": round(seconds, 2),
        }

    def _summary(self, *, seconds: float) -> TrainSummary:
        best = best_row(self._history)
        return TrainSummary(
            best=self._folder.best,
            epoch=best["epoch"],
            scores=scores_in(best),
            epochs=len(self._history),
            seconds=seconds,
        )


def _step_seed(seed: int, step: int) -> int:
    return seed * 1_000_003 + step


def _ignore(_share: float) -> None:
    """Progress that nobody watches."""
