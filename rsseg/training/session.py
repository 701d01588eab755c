"""A run in progress: batches, steps, validation after each epoch, checkpoints, and the best weights.

    samples -> loader threads -> learner (this thread) -> after each epoch: validate -> best.safetensors, last.ckpt

Everything random depends on (seed, step) or on (seed, epoch, index) alone, so a run that was killed and resumed gives
the weights of one that never stopped: bit for bit on one CPU with the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsseg.classes import IGNORE_INDEX
from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet
from rsseg.errors import LabelError
from rsseg.evaluation.scores import Scores
from rsseg.log import logger
from rsseg.models.network import Network
from rsseg.models.registry import network_entry
from rsseg.prediction.forward import Forward, resolve_device
from rsseg.training.checkpoint import Checkpoint, save_checkpoint
from rsseg.training.history import best_row, describe, named_scores, scores_in
from rsseg.training.learner import Learner, resolve_training_precision
from rsseg.training.loader import iter_batches
from rsseg.training.options import TrainOptions
from rsseg.training.run_folder import RunFolder
from rsseg.training.schedule import learning_rate
from rsseg.training.validation import validate
from rsseg.weights import WeightCard, save_weights, with_scores


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


class Session:
    """A run in progress: all that can fail before the first step fails here, before anything is written.

    `facts` are what `describe_data` says; `precision` is what `auto` stood for when the run began, if it is known.
    """

    def __init__(
        self,
        folder: RunFolder,
        dataset: DataSet,
        sampler: Sampler,
        card: WeightCard,
        *,
        network: Network,
        config: dict[str, Any],
        facts: Mapping[str, str],
        options: TrainOptions,
        machine: Machine,
        precision: str = "",
    ) -> None:
        if machine.threads is not None:
            torch.set_num_threads(machine.threads)
        self._folder = folder
        self._dataset = dataset
        self._sampler = sampler
        self._card = card
        self._card_json = card.to_json()
        self._config = config
        self._facts = facts
        self._options = options
        self._machine = machine
        self._device = resolve_device(machine.device)
        if options.precision != "auto" or (precision == "fp16" and self._device.type == "cpu"):
            precision = ""  # a run that began on a GPU may go on without one
        self._precision = resolve_training_precision(precision or options.precision, self._device)
        self._learner = Learner(
            network,
            card.scaling,
            options=options,
            device=self._device,
            precision=self._precision,
        )
        self._step = 0
        self._loss_sum = 0.0
        self._saw_labels = False  # in this epoch
        self._history: list[dict[str, Any]] = []

    def save(self) -> None:
        """Write the checkpoint."""
        save_checkpoint(
            self._folder.checkpoint,
            Checkpoint(
                config=self._config,
                card=self._card_json,
                step=self._step,
                history=self._history,
                loss_sum=self._loss_sum,
                data=self._facts,
                precision=self._precision,
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
        self._saw_labels = checkpoint.step % self._options.steps_per_epoch != 0  # nobody knows: taken as true
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
                self._saw_labels = self._saw_labels or bool(np.any(batch.labels != IGNORE_INDEX))
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
        _check_labels(seen=self._saw_labels, what="the samples of this epoch")
        measured = self._validate()
        _check_labels(seen=measured.pixels > 0, what="the val scenes")
        scores = named_scores(measured, self._card.classes.names)
        row = self._row(scores, seconds)
        self._history.append(row)
        is_best = best_row(self._history) is row
        if is_best:
            known = {name: value for name, value in scores.items() if value is not None}
            save_weights(self._folder.best, self._learner.network, with_scores(self._card, known))
        self._loss_sum, self._saw_labels = 0.0, False
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


def _check_labels(*, seen: bool, what: str) -> None:
    if not seen:
        raise LabelError(
            f"{what} hold no pixel that is both labelled and valid; nothing can be learnt or scored",
            hint="labels lie only where the images have no data: check their nodata value, masks and georeference",
        )


def _step_seed(seed: int, step: int) -> int:
    return seed * 1_000_003 + step
