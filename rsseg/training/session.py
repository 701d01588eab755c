"""A run in progress: batches, steps, validation after each epoch, checkpoints, and the best weights.

    samples -> loader threads -> learner (this thread) -> after each epoch: validate -> last.ckpt, best.safetensors

Everything random depends on (seed, step) or on (seed, number of the sample) alone, so a run that was killed and resumed
gives the weights of one that never stopped: bit for bit on one CPU with the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsseg.classes import IGNORE_INDEX
from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet
from rsseg.errors import LabelError
from rsseg.log import logger
from rsseg.models.network import Network
from rsseg.models.registry import network_entry
from rsseg.prediction.forward import Forward, resolve_device
from rsseg.prediction.precision import resolve_precision
from rsseg.prediction.prepare import prepare
from rsseg.training.checkpoint import Checkpoint, save_checkpoint
from rsseg.training.diary import Diary
from rsseg.training.history import Tally, best_row, describe, is_spent, named_scores, scores_in
from rsseg.training.learner import Learner
from rsseg.training.loader import Batch, iter_batches
from rsseg.training.options import TrainOptions
from rsseg.training.progress import Progress
from rsseg.training.provenance import describe_start
from rsseg.training.run_folder import RunFolder
from rsseg.training.schedule import learning_rate
from rsseg.training.validation import validate
from rsseg.training.world import ALONE, World
from rsseg.weights import WeightCard, build_unfilled


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

    `facts` are what `describe_data` says; `precision` is what `auto` stood for when the run began, if it is known. Of
    several processes, each has a session, and that of the first writes, logs and tells of progress.
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
        world: World = ALONE,
    ) -> None:
        if machine.threads is not None:
            torch.set_num_threads(machine.threads)
        self._folder = folder
        self._dataset = dataset
        self._sampler = sampler
        self._card = card
        self._config = config
        self._facts = facts
        self._options = options
        self._machine = machine
        self._world = world
        self._device = resolve_device(machine.device)
        if options.precision != "auto" or (precision == "fp16" and self._device.type == "cpu"):
            precision = ""  # a run that began on a GPU may go on without one
        self._precision = resolve_precision(precision or options.precision, self._device)
        self._learner = Learner(
            network,
            card.scaling,
            options=options,
            device=self._device,
            precision=self._precision,
            world=world,
        )
        self._diary = Diary(folder, dataset, card, options=options)
        self._step = 0
        self._tally = Tally()
        self._history: list[dict[str, Any]] = []

    def begin(self, origin: Mapping[str, str]) -> None:
        """Write what a run has before its first step, in the first process; `origin` is what `describe_origin` says."""
        self._diary.begin(self._config, origin=origin, start=self._start())
        self._save()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint; what an epoch that it ends has not left yet is written now."""
        self._learner.load_state(
            network=checkpoint.network,
            optimizer=checkpoint.optimizer,
            scaler=checkpoint.scaler,
            average=checkpoint.average,
        )
        self._step = checkpoint.step
        self._tally = Tally(**checkpoint.tally)
        self._history = list(checkpoint.history)
        if not self._world.is_first:
            return
        is_behind = self._folder.is_behind(self._history, step=self._step)
        if self._is_over() and not is_behind:
            return
        logger.info(f"going on after step {self._step} of {self._options.steps}")
        self._diary.go_on(self._start(), step=self._step - is_behind)
        if is_behind:
            self._write_epoch(self._forward())

    def run(self, on_progress: Callable[[Progress], None]) -> TrainSummary:
        """Learn what is left to learn."""
        started = saved = time.monotonic()
        with closing(self._batches()) as batches:
            while not self._is_over():
                self._learn_next(batches)
                if self._world.is_first:
                    on_progress(self._progress())
                if self._step % self._options.steps_per_epoch == 0:
                    self._finish_epoch()
                    saved = time.monotonic()
                elif self._world.is_first and time.monotonic() - saved > self._machine.checkpoint_s:
                    self._save()
                    saved = time.monotonic()
        return self._summary(seconds=time.monotonic() - started)

    def _start(self) -> dict[str, Any]:
        return describe_start(
            step=self._step,
            device=self._device,
            processes=self._world.size,
            readers=self._machine.readers,
            precision=self._precision,
        )

    def _is_over(self) -> bool:
        """Whether all is learnt, or early stopping says so; asked between epochs, it answers the same ever after."""
        options = self._options
        return self._step == options.steps or is_spent(self._history, patience=options.patience)

    def _batches(self) -> Generator[Batch]:
        return iter_batches(
            self._sampler,
            first=self._step,
            stop=self._options.steps,
            size=self._options.batch_size,
            threads=self._machine.readers,
            world=self._world,
        )

    def _learn_next(self, batches: Generator[Batch]) -> None:
        """Learn from the next batch, and take the time."""
        tally = self._tally
        started = time.monotonic()
        batch = next(batches)
        tally.waited += time.monotonic() - started
        torch.manual_seed(self._step_seed())  # dropout
        tally.loss_sum += self._learner.learn(batch, self._step)
        tally.saw_labels = tally.saw_labels or bool(np.any(batch.labels != IGNORE_INDEX))
        tally.steps += 1
        tally.seconds += time.monotonic() - started
        self._step += 1

    def _step_seed(self) -> int:
        """The processes of a step drop out differently."""
        words = [self._options.seed, self._step, self._world.rank]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])

    def _progress(self) -> Progress:
        options, tally = self._options, self._tally
        return Progress(
            step=self._step,
            steps=options.steps,
            epoch=len(self._history) + 1,
            epochs=options.epochs,
            loss=tally.loss_sum / tally.steps,
            mean_iou=self._history[-1]["mean_iou"] if self._history else None,
            images_per_s=tally.figures(options.batch_size)["images_per_s"],
        )

    def _finish_epoch(self) -> None:
        """Validate, and save how it went before anything tells of it: what has been told is never forgotten."""
        _check_labels(seen=self._world.agree(self._tally.saw_labels), what="the samples of this epoch")
        forward = self._forward()
        row = self._row(self._validate(forward))
        self._history.append(row)
        self._tally = Tally()
        if self._world.is_first:
            self._save()
            self._write_epoch(forward)

    def _write_epoch(self, forward: Forward) -> None:
        """Keep the weights if they are the best so far, and write down how the last epoch went."""
        row = self._history[-1]
        is_best = best_row(self._history) is row
        if is_best:
            self._diary.keep_best(self._learner.kept, row)
        self._diary.write_epoch(self._history, forward, is_last=self._is_over())
        logger.info(describe(row, epochs=self._options.epochs, is_best=is_best))
        if self._is_over() and self._step < self._options.steps:
            logger.info(f"stopped early: {self._options.patience} epochs brought no better mean IoU")

    def _forward(self) -> Forward:
        """What `rsseg predict` would run, if the weights were in a file now."""
        card, kept = self._card, self._learner.kept.state_dict()
        network = build_unfilled(card).eval()
        network.load_state_dict({n: t.cpu().contiguous() for n, t in kept.items()}, assign=True)
        prepared = prepare(
            network,
            device=self._device,
            precision=self._precision,
            channels=len(card.bands),
            side=network_entry(card.architecture).side,
        )
        return Forward(prepared, card.scaling, device=self._device, precision=self._precision)

    def _validate(self, forward: Forward) -> dict[str, float | None]:
        card = self._card
        measured = validate(
            forward,
            self._dataset.val,
            batch_size=1 if self._device.type == "cpu" else 8,
            classes=len(card.classes),
            tile=card.tile,
            halo=card.halo,
            stride=network_entry(card.architecture).stride,
            world=self._world,
        )
        _check_labels(seen=measured.pixels > 0, what="the val scenes")
        return named_scores(measured, card.classes.names)

    def _row(self, scores: Mapping[str, float | None]) -> dict[str, Any]:
        options, tally = self._options, self._tally
        return {
            "epoch": self._step // options.steps_per_epoch,
            "step": self._step,
            "lr": learning_rate(self._step - 1, steps=options.steps, options=options.optimizer),
            "loss": tally.loss_sum / tally.steps,
            **scores,
            **tally.figures(options.batch_size),
        }

    def _save(self) -> None:
        save_checkpoint(
            self._folder.checkpoint,
            Checkpoint(
                config=self._config,
                card=self._card.to_json(),
                step=self._step,
                history=self._history,
                tally=asdict(self._tally),
                data=self._facts,
                precision=self._precision,
                **self._learner.state(),
            ),
        )

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
