"""One step of learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import InputError, OptionError, ResourceError
from rsseg.models.linear import Linear
from rsseg.models.maresunet import MAResUNet
from rsseg.models.network import Logits, Network
from rsseg.preprocess import Scaling
from rsseg.training.learner import Learner, resolve_training_precision
from rsseg.training.loader import Batch
from rsseg.training.losses import dice_loss
from rsseg.training.options import TrainOptions

Made = TypeVar("Made", bound=Network)

CPU = torch.device("cpu")
SCALING = Scaling(mean=(100.0, 100.0, 100.0), std=(50.0, 50.0, 50.0))


class Seen(Linear):
    """A linear network that keeps its last input."""

    def __init__(self) -> None:
        super().__init__(bands=3, classes=3)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        self.x = x.detach().clone()
        return super().encode(x)


class Aided(Linear):
    """A linear network with an auxiliary head."""

    def __init__(self) -> None:
        super().__init__(bands=3, classes=3)
        self.auxiliary_heads.append(nn.Conv2d(3, 3, 1))

    def decode(self, features: Sequence[Tensor], contexts: Any = None) -> Sequence[Tensor]:
        (x,) = super().decode(features, contexts)
        return x, x


def learner(network: Network, *, precision: str = "fp32", **options: Any) -> Learner:
    recipe = TrainOptions(**{"epochs": 1, "steps_per_epoch": 50, "lr": 0.1, **options})
    return Learner(network, SCALING, options=recipe, device=CPU, precision=precision)


def batch(*, side: int = 8, gain: float = 1.0, offset: float = 0.0) -> Batch:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, side, side)).astype(np.uint8)
    valid = np.ones((2, side, side), bool)
    valid[0, :2] = False
    labels = np.where(valid, pixels.argmax(axis=1), 255).astype(np.uint8)
    return Batch(
        pixels=pixels,
        valid=valid,
        labels=labels,
        gain=np.full(2, gain, np.float32),
        offset=np.full((2, 3), offset, np.float32),
    )


def seeded(make: Callable[[], Made] = Seen) -> Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loss_falls_on_what_can_be_learnt(precision: str) -> None:
    network = learner(seeded(), precision=precision)

    losses = [network.learn(batch(), step) for step in range(50)]

    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_auxiliary_heads_learn_as_far_as_they_count(weight: float) -> None:
    network = seeded(Aided)
    main, auxiliary = network.head.weight.clone(), network.auxiliary_heads[0].weight.clone()

    learner(network, aux_weight=weight).learn(batch(), 0)

    assert not torch.equal(network.head.weight, main)
    assert torch.equal(network.auxiliary_heads[0].weight, auxiliary) == (weight == 0)


def test_the_loss_is_that_of_all_heads() -> None:
    with_weight = {
        weight: learner(seeded(Aided), aux_weight=weight, dice=0.0).learn(batch(), 0)
        for weight in (0.0, 1.0, 0.4)
    }

    auxiliary = with_weight[1.0] - with_weight[0.0]
    assert auxiliary > 0.1
    assert with_weight[0.4] == pytest.approx(with_weight[0.0] + 0.4 * auxiliary)


def test_the_plain_recipe_learns_as_before_there_was_a_choice_of_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def before(logits: Logits, labels: Tensor, **_: object) -> Tensor:
        main = logits.main.float()
        total = functional.cross_entropy(main, labels, ignore_index=255, reduction="sum")
        return total / (labels != 255).sum() + 1.0 * dice_loss(main, labels)

    def first_losses() -> list[float]:
        made = learner(seeded(lambda: MAResUNet(encoder="resnet18", bands=3, classes=3)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # dropout
            return [made.learn(batch(side=64), step) for step in range(3)]

    now = first_losses()
    monkeypatch.setattr("rsseg.training.learner.segmentation_loss", before)

    assert now == first_losses()


def test_light_changes_scaled_pixels_and_leaves_invalid_ones_at_zero() -> None:
    network, lit = seeded(), batch(gain=1.5, offset=0.25)

    learner(network).learn(lit, 0)

    expected = 1.5 * (lit.pixels.astype(np.float32) - 100) / 50 + 0.25
    expected = np.where(lit.valid[:, None], expected, 0)
    assert np.allclose(network.x.numpy(), expected, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_before_anything_changes() -> None:
    network = seeded()
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    before = network.head.weight.clone()

    with pytest.raises(InputError, match="the loss of step 4 is nan") as info:
        learner(network).learn(batch(), 3)

    assert torch.equal(network.head.weight, before)
    assert "--lr" in str(info.value.hint)


def test_a_gradient_that_is_not_finite_stops_before_anything_changes() -> None:
    network = seeded()
    network.head.bias.register_hook(lambda gradient: gradient * float("inf"))
    before = network.head.weight.clone()

    with pytest.raises(InputError, match="the gradient of step 1 is"):
        learner(network).learn(batch(), 0)

    assert torch.equal(network.head.weight, before)


def test_going_back_to_a_state_repeats_what_followed_it() -> None:
    first = learner(seeded())
    for step in range(3):
        first.learn(batch(), step)
    state = {name: clone(values) for name, values in first.state().items()}
    after = [first.learn(batch(), step) for step in range(3, 6)]

    second = learner(Seen())
    second.load_state(**state)

    assert [second.learn(batch(), step) for step in range(3, 6)] == after


def clone(value: Any) -> Any:
    """A deep copy, as a checkpoint on disk is."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone(inner) for key, inner in value.items()}
    return [clone(inner) for inner in value] if isinstance(value, list) else value


def test_auto_is_bf16_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert resolve_training_precision("auto", CPU) == "bf16"

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert resolve_training_precision("auto", CPU) == "fp32"

    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert resolve_training_precision("auto", CPU) == "fp32"


def test_a_precision_that_was_asked_for_is_used() -> None:
    assert resolve_training_precision("bf16", CPU) == "bf16"
    with pytest.raises(OptionError, match="fp16 needs a GPU"):
        resolve_training_precision("fp16", CPU)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
    ],
)
def test_memory_that_does_not_suffice_is_no_bug(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", fail)

    with pytest.raises(
        ResourceError, match="not enough memory for learning from a batch of 2 x 3 x 8 x 8"
    ) as info:
        network.learn(batch(), 0)

    assert "--batch-size" in str(info.value.hint)


def test_other_errors_of_torch_are_bugs_and_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", fail)

    with pytest.raises(RuntimeError, match="shapes differ"):
        network.learn(batch(), 0)


def test_what_torch_says_when_memory_ends_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", lambda _x: torch.empty(2**58, dtype=torch.uint8))

    with pytest.raises(ResourceError, match="not enough memory"):
        network.learn(batch(), 0)
