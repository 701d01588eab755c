"""What the processes of `tests.laws.test_distributed` do, as in `torchrun -m tests.laws.together laws FOLDER DATA`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rsseg.cli.main import main
from rsseg.data.augment import Change
from rsseg.data.samplers import Sample, Sampler
from rsseg.data.scenes import open_dataset, plan_dataset
from rsseg.errors import InputError, RasterError
from rsseg.evaluation.scores import Scores
from rsseg.models.linear import Linear
from rsseg.models.network import Network
from rsseg.prediction.forward import Forward
from rsseg.preprocess import Scaling
from rsseg.training.learner import Learner
from rsseg.training.loader import Batch
from rsseg.training.validation import validate
from rsseg.training.world import World, joined_world
from rsseg.weights import load_weights
from tests.training.runs import options

CPU = torch.device("cpu")
SCALING = Scaling(mean=(100.0, 100.0, 100.0), std=(50.0, 50.0, 50.0))

EXACT: dict[str, dict[str, Any]] = {
    "cross-entropy": {"dice": 0.0, "label_smoothing": 0.1},
    "Dice and auxiliary heads": {"dice": 1.0, "aux_weight": 0.4, "ema": 0.75},
    "focal, in parts": {"loss": "focal", "dice": 0.0, "parts": 2},
    "SGD, heads that do not count": {"optimizer": "sgd", "aux_weight": 0.0},
}
"""Recipes for which several processes learn what one learns from the whole batch."""

STEPS = 3


class Small(Linear):
    """A convolution, a batch norm and two heads."""

    def __init__(self) -> None:
        super().__init__(bands=4, classes=3)
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.auxiliary_heads.append(nn.Conv2d(4, 3, 1))

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        return (self.norm(self.convolution(x)).relu(),)

    def decode(self, features: Sequence[Tensor], contexts: Any = None) -> Sequence[Tensor]:
        return features[0], features[0]


def whole_batch() -> Batch:
    """Four samples, of which the first is labelled here and there, and the last not at all."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (4, 3, 8, 8)).astype(np.uint8)
    labels = pixels.argmax(axis=1).astype(np.uint8)
    labels[0][rng.random((8, 8)) < 0.6] = 255
    labels[3] = 255
    change = Change(
        zoom=1.0,
        angle=0.0,
        gain=1.0,
        offset=np.zeros(3, np.float32),
        blur=0.0,
        noise=0.0,
        quality=0,
        dropped=-1,
        seed=0,
    )
    return Batch(pixels=pixels, valid=np.ones((4, 8, 8), bool), labels=labels, changes=(change,) * 4)


def share_of(batch: Batch, world: World) -> Batch:
    size = len(batch.pixels) // world.size
    mine = slice(world.rank * size, (world.rank + 1) * size)
    return replace(
        batch,
        pixels=batch.pixels[mine],
        valid=batch.valid[mine],
        labels=batch.labels[mine],
        changes=batch.changes[mine],
    )


def learner(world: World, **recipe: Any) -> Learner:
    torch.manual_seed(world.rank)  # all begin with the parameters of the first
    chosen = options(
        epochs=1,
        steps_per_epoch=20,
        lr=0.05,
        window=8,
        batch_size=4,
        **{"norm": "frozen", "clip": 0.0, **recipe},
    )
    return Learner(Small(), SCALING, options=chosen, device=CPU, precision="fp32", world=world)


def learn(world: World, **recipe: Any) -> dict[str, Any]:
    """Learn a few steps; `gradient` is that of the first, and `seen` what the norm has seen in it."""
    made, batch = learner(world, **recipe), share_of(whole_batch(), world)
    losses = [made.learn(batch, 0)]
    gradient = {name: p.grad.clone() for name, p in made.network.named_parameters() if p.grad is not None}
    seen = made.network.norm.running_mean.clone()
    losses += [made.learn(batch, step) for step in range(1, STEPS)]
    return {"losses": losses, "gradient": gradient, "seen": seen, "kept": numbers(made.kept)}


def numbers(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def fail_in_the_last(world: World) -> dict[str, Any]:
    """Learn where the logits of the last process are not finite."""
    made = learner(world, ema=0.75)
    made.learn(share_of(whole_batch(), world), 0)
    before = numbers(made.network), numbers(made.kept)
    if world.rank == world.size - 1:
        made.network.head.register_forward_hook(lambda *args: args[-1] * float("nan"))
    try:
        made.learn(share_of(whole_batch(), world), 1)
    except InputError as err:
        return {"said": str(err), "before": before, "after": (numbers(made.network), numbers(made.kept))}
    raise AssertionError("it went on")


def scores(world: World, data: Path) -> Scores:
    """The scores of a network that knows something, over all tiles of the val scenes."""
    weights = load_weights(str(data / "argmax.safetensors"))
    forward = Forward(weights.network, weights.card.scaling, device=CPU)
    with open_dataset(plan_dataset(data)) as dataset:
        return validate(forward, dataset.val, classes=3, batch_size=2, tile=16, halo=4, stride=1, world=world)


def sums(world: World) -> dict[str, Any]:
    """What a world can do."""
    mine = torch.tensor([1.0, 2.0]) * (world.rank + 1)
    squared = mine.clone().requires_grad_()
    world.sum_with_gradient(squared).square().sum().backward()
    return {
        "sum": world.sum(mine),
        "kept": mine,
        "gradient": squared.grad,
        "any": world.agree(world.rank == 1),
        "none": world.agree(False),
    }


def laws(world: World, data: Path) -> dict[str, Any]:
    return {
        **{name: learn(world, **recipe) for name, recipe in EXACT.items()},
        "own norms": learn(world, norm="batch"),
        "ohem": learn(world, loss="ohem", dice=0.0, ohem_threshold=0.3),
        "failed": fail_in_the_last(world),
        "scores": scores(world, data),
        "sums": sums(world),
    }


def all_laws(folder: str, data: str) -> None:
    with joined_world("cpu") as world:
        assert world.size == 2
        torch.save(laws(world, Path(data)), Path(folder) / f"{world.rank}.pt")
    with joined_world("cpu") as again:  # which is left for good
        assert again.agree(again.is_first)


def fail_to_read(*command: str) -> None:
    """Run `rsseg` where the second process cannot read sample 11."""
    read = Sampler.sample

    def sample(self: Sampler, number: int) -> Sample:
        if number == 11:
            raise RasterError("images/b.tif: sample 11 is gone", hint="get it back")
        return read(self, number)

    Sampler.sample = sample  # type: ignore[method-assign]
    run(*command)


def die(*command: str) -> None:
    """Run `rsseg` where the second process is killed when it reads sample 11."""
    read = Sampler.sample

    def sample(self: Sampler, number: int) -> Sample:
        if number == 11:
            os._exit(77)
        return read(self, number)

    Sampler.sample = sample  # type: ignore[method-assign]
    run(*command)


def run(folder: str, *command: str) -> None:
    """Run `rsseg` and write down with which code it ends."""
    try:
        main(list(command), prog_name="rsseg")
    except SystemExit as end:
        (Path(folder) / f"code-{os.environ['RANK']}").write_text(str(end.code))
        raise


DEEDS: dict[str, Callable[..., None]] = {
    "laws": all_laws,
    "run": run,
    "fail": fail_to_read,
    "die": die,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    DEEDS[sys.argv[1]](*sys.argv[2:])
