"""Runs that tests make: a small recipe, a death half-way, and what is left behind."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from rsseg.data.options import AugmentOptions
from rsseg.training.engine import Machine, train
from rsseg.training.options import LossOptions, OptimizerOptions, TrainOptions
from rsseg.training.progress import Progress
from rsseg.training.recipe import changed
from rsseg.weights import load_weights

SPLIT = {"train": ["a", "b"], "val": ["c"]}
ONE = Machine(device="cpu", threads=1, readers=2)


def recipe(model: str = "linear", **changes: Any) -> TrainOptions:
    sizes = {"window": 32, "tile": 64, "halo": 0, "batch_size": 2, "precision": "fp32"}
    return options(**{"model": model, "epochs": 3, "steps_per_epoch": 4, "lr": 0.05, **sizes, **changes})


def options(**values: Any) -> TrainOptions:
    """Options by their bare names: those of the tables find their place; `loss` and `optimizer` are names of one."""
    row: dict[str, Any] = {}
    for name, value in values.items():
        row = changed(row, _place(name), value)
    return TrainOptions.from_dict(row)


def _place(name: str) -> str:
    if name in ("loss", "optimizer"):
        return f"{name}.name"
    for table, kind in (("loss", LossOptions), ("optimizer", OptimizerOptions), ("augment", AugmentOptions)):
        if name in {f.name for f in fields(kind)} - {"name"}:
            return f"{table}.{name}"
    return name


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_weights(str(path)).network.state_dict()


def same_weights(a: Path, b: Path) -> bool:
    left, right = tensors(a), tensors(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def last_state(run: Path) -> list[bytes]:
    network = torch.load(run / "last.ckpt", weights_only=True)["network"]
    return [tensor.numpy().tobytes() for tensor in network.values()]


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


class Killed(BaseException):
    """What a kill is to Python: nothing catches it."""


def train_until(step: int, folder: Path, run: Path, options: TrainOptions, machine: Machine = ONE) -> None:
    """Train, and die just after a step was learnt."""

    def die(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        train(folder, run, options=options, machine=machine, on_progress=die)
