"""Runs that tests make: a small recipe, a death half-way, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rsseg.training.engine import Machine, train
from rsseg.training.options import TrainOptions
from rsseg.weights import load_weights

SPLIT = {"train": ["a", "b"], "val": ["c"]}
ONE = Machine(device="cpu", threads=1, readers=2)


def recipe(model: str = "linear", **changes: Any) -> TrainOptions:
    sizes = {"window": 32, "tile": 64, "halo": 0, "batch_size": 2, "precision": "fp32"}
    return TrainOptions(**{"model": model, "epochs": 3, "steps_per_epoch": 4, "lr": 0.05, **sizes, **changes})


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
    steps = options.steps

    def die(share: float) -> None:
        if round(share * steps) == step:
            raise Killed

    with pytest.raises(Killed):
        train(folder, run, options=options, machine=machine, on_progress=die)
