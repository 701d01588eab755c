"""One step of learning."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.data.augment import Change
from rsseg.errors import InputError, OptionError, ResourceError
from rsseg.models.linear import Linear
from rsseg.models.maresunet import MAResUNet
from rsseg.models.network import Logits, Network
from rsseg.models.registry import build_network
from rsseg.prediction.prepare import COMPILERS
from rsseg.preprocess import Scaling
from rsseg.training import learner as learner_module
from rsseg.training.augmentation import make_changes
from rsseg.training.learner import Learner
from rsseg.training.loader import Batch
from rsseg.training.losses import dice_loss
from rsseg.training.world import World
from tests.training.runs import options

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


class Normed(Linear):
    """A linear network with a batch norm of its input."""

    def __init__(self) -> None:
        super().__init__(bands=3, classes=3)
        self.norm = nn.BatchNorm2d(3)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        return (self.norm(x),)


def learner(
    network: Network, *, precision: str = "fp32", world: World | None = None, **recipe: Any
) -> Learner:
    chosen = options(**{"epochs": 1, "steps_per_epoch": 50, "lr": 0.1, **recipe})
    others = {} if world is None else {"world": world}
    return Learner(network, SCALING, options=chosen, device=CPU, precision=precision, **others)


def batch(*, size: int = 2, side: int = 8, gain: float = 1.0, offset: float = 0.0) -> Batch:
    pixels = np.random.default_rng(0).integers(0, 255, (size, 3, side, side)).astype(np.uint8)
    valid = np.ones((size, side, side), bool)
    valid[0, :2] = False
    labels = np.where(valid, pixels.argmax(axis=1), 255).astype(np.uint8)
    return Batch(pixels=pixels, valid=valid, labels=labels, changes=(lit(gain, offset),) * size)


def lit(gain: float, offset: float) -> Change:
    return Change(
        zoom=1.0,
        angle=0.0,
        gain=gain,
        offset=np.full(3, offset, np.float32),
        blur=0.0,
        noise=0.0,
        quality=0,
        dropped=-1,
        seed=0,
    )


def gradients(network: Network) -> dict[str, Tensor]:
    """What the last step left."""
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def numbers(network: Network) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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


def test_the_network_sees_the_batch_with_its_changes() -> None:
    network, changed = seeded(), batch(gain=1.5, offset=0.25)

    learner(network).learn(changed, 0)

    expected, _ = make_changes(changed, SCALING, window=8, device=CPU)
    assert torch.equal(network.x, expected)
    plain, _ = make_changes(batch(), SCALING, window=8, device=CPU)
    assert not torch.allclose(expected, plain)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_a_batch_learnt_from_in_parts_has_the_gradient_and_the_loss_of_the_whole(
    parts: int, loss: str
) -> None:
    recipe = {"loss": loss, "dice": 0.0, "norm": "frozen", "clip": 0.0, "batch_size": 4}
    whole, in_parts = seeded(Normed), seeded(Normed)

    loss_of_whole = learner(whole, **recipe).learn(batch(size=4), 0)
    loss_of_parts = learner(in_parts, parts=parts, **recipe).learn(batch(size=4), 0)

    assert loss_of_parts == pytest.approx(loss_of_whole, rel=1e-6)
    expected, found = gradients(whole), gradients(in_parts)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert gradient.norm() > 1e-3, name
        assert (found[name] - gradient).norm() <= 1e-6, name


def test_dice_in_parts_is_the_mean_of_theirs_by_labelled_pixels() -> None:
    network, made = seeded(), batch(size=4)
    x, labels = make_changes(made, SCALING, window=8, device=CPU)
    with torch.no_grad():
        each = [dice_loss(network(x[part]).main, labels[part]) for part in (slice(0, 2), slice(2, 4))]
    recipe = {"dice": 1.0, "batch_size": 4, "parts": 2}

    with_dice = learner(seeded(), **recipe).learn(made, 0)
    without = learner(seeded(), **{**recipe, "dice": 0.0}).learn(made, 0)

    labelled = [4 * 64 - 2 * 64 - 16, 2 * 64]
    expected = sum(n * value.item() for n, value in zip(labelled, each, strict=True)) / sum(labelled)
    assert with_dice - without == pytest.approx(expected, rel=1e-5)


def test_frozen_norms_keep_what_they_have_seen_and_still_scale() -> None:
    for norm in ("batch", "frozen"):
        network = seeded(Normed)
        learner(network, norm=norm).learn(batch(), 0)
        moved = not torch.equal(network.norm.running_mean, torch.zeros(3))
        assert moved == (norm == "batch")
        assert not torch.equal(network.norm.weight, torch.ones(3))


def test_the_moving_average_is_its_definition_and_is_what_is_kept() -> None:
    made = learner(seeded(Normed), ema=0.3)
    assert made.kept is not made.network
    expected: dict[str, Tensor] = {}

    for step, share in enumerate((0, 2 / 11, 3 / 12, 0.3, 0.3)):  # 0.3 is less than 4 / 13
        made.learn(batch(), step)
        now = numbers(made.network)
        expected = {
            name: share * expected[name] + (1 - share) * tensor if step else tensor
            for name, tensor in now.items()
        }

    kept = numbers(made.kept)
    assert kept.keys() == expected.keys()
    for name in kept.keys() - {"norm.num_batches_tracked"}:
        assert torch.allclose(kept[name], expected[name], atol=1e-6), name
    assert not equal(kept, now)


def test_without_an_average_the_network_that_learns_is_kept() -> None:
    made = learner(seeded())

    assert made.kept is made.network


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch's own, of the compiler
def test_a_compiled_network_learns_the_same_under_the_same_names() -> None:
    plain, compiled = learner(seeded(Normed), ema=0.9), learner(seeded(Normed), ema=0.9, compile=True)

    for step in range(3):
        assert compiled.learn(batch(), step) == pytest.approx(plain.learn(batch(), step), rel=1e-4)
        compiled.kept.eval()
        compiled.network.eval()  # as validation leaves it

    for a, b in ((plain.network, compiled.network), (plain.kept, compiled.kept)):
        assert a.state_dict().keys() == b.state_dict().keys()
        assert all(torch.allclose(x, b.state_dict()[name], atol=1e-4) for name, x in a.state_dict().items())
    assert compiled.state()["network"].keys() == plain.state()["network"].keys()


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_a_compiler_that_does_not_work_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.exc import InvalidCxxCompiler  # which takes seconds to import

    def fail(*_: object, **__: object) -> None:
        raise InvalidCxxCompiler

    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", fail)

    with pytest.raises(ResourceError, match="torch cannot compile the network") as info:
        network.learn(batch(), 0)

    assert "leave compile out" in str(info.value.hint)


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")

    with pytest.raises(ResourceError, match=r"needs a C\+\+ compiler, found none \(no-such-compiler\)"):
        learner(seeded(), compile=True)


def test_a_gradient_longer_than_clip_is_shortened_and_0_leaves_it() -> None:
    long = seeded()
    learner(long, clip=0.0).learn(batch(), 0)
    length = total_norm(long)
    assert length > 0.1

    for clip in (0.5 * length, 2 * length):
        network = seeded()
        learner(network, clip=clip).learn(batch(), 0)
        assert total_norm(network) == pytest.approx(min(clip, length), rel=1e-4)


def total_norm(network: Network) -> float:
    return float(torch.stack([g.norm() for g in gradients(network).values()]).norm())


def test_two_steps_of_sgd_are_its_definition_group_by_group() -> None:
    network = seeded()
    made = learner(
        network,
        optimizer="sgd",
        momentum=0.5,
        weight_decay=0.1,
        lr=0.25,
        schedule="constant",
        warmup=0.0,
        clip=0.0,
    )
    velocity: dict[str, Tensor] = {}

    for step in range(2):
        before = numbers(network)
        made.learn(batch(), step)
        for name, gradient in gradients(network).items():
            decay = 0.1 if name == "head.weight" else 0.0
            pull = gradient + decay * before[name]
            velocity[name] = 0.5 * velocity[name] + pull if step else pull
            assert torch.allclose(network.state_dict()[name], before[name] - 0.25 * velocity[name], atol=1e-6)


def test_processes_that_cannot_share_a_batch_equally_are_refused() -> None:
    with pytest.raises(OptionError, match="batch size is 6; 4 processes cannot share it equally") as info:
        learner(seeded(), batch_size=6, world=World(0, 4))
    assert "multiple of 4" in str(info.value.hint)

    with pytest.raises(OptionError, match=r"batch size is 6; 2 processes .*, each in 2 parts"):
        learner(seeded(), batch_size=6, parts=2, world=World(0, 2))


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
    made = learner(network, ema=0.9)
    before, average = numbers(network), numbers(made.kept)

    with pytest.raises(InputError, match="the gradient of step 1 is"):
        made.learn(batch(), 0)

    assert equal(numbers(network), before)
    assert equal(numbers(made.kept), average)


def test_going_back_to_a_state_repeats_what_followed_it() -> None:
    first = learner(seeded(), ema=0.9)
    for step in range(3):
        first.learn(batch(), step)
    state = {name: clone(values) for name, values in first.state().items()}
    after = [first.learn(batch(), step) for step in range(3, 6)]

    second = learner(Seen(), ema=0.9)
    second.load_state(**state)

    assert [second.learn(batch(), step) for step in range(3, 6)] == after
    assert equal(numbers(second.kept), numbers(first.kept))


def clone(value: Any) -> Any:
    """A deep copy, as a checkpoint on disk is."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone(inner) for key, inner in value.items()}
    return [clone(inner) for inner in value] if isinstance(value, list) else value


def test_fp16_goes_on_while_its_scale_falls_and_ends_where_no_scale_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def flat(logits: Logits, *_: Any, **__: Any) -> Tensor:
        return (logits.main * 0).sum().abs().sqrt()  # 0, with a gradient that is no number

    monkeypatch.setattr(learner_module, "segmentation_loss", flat)
    network = learner(seeded(), precision="fp16")
    before = clone(network.network.state_dict())

    for step in range(20):
        network.learn(batch(), step)
    with pytest.raises(InputError, match="the gradient of step"):
        for step in range(20, 60):
            network.learn(batch(), step)

    after = network.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, []), (1, [0, 1, 2, 3, 4, 5]), (0.5, [1, 3, 5]), (0.34, [2, 5])]
)
def test_contexts_are_merged_in_a_share_of_the_steps(share: float, expected: list[int]) -> None:
    seen: list[bool] = []

    class Spied(Seen):
        def forward(self, x: Tensor, contexts: Any = None, *, merge: bool = False) -> Any:
            seen.append(merge)
            return super().forward(x, contexts, merge=merge)

    network = learner(seeded(Spied), merge_contexts=share)

    for step in range(6):
        network.learn(batch(), step)

    assert [step for step, merged in enumerate(seen) if merged] == expected


def test_several_processes_do_not_merge_contexts() -> None:
    with pytest.raises(OptionError, match=r"merge contexts is 0\.5; 2 processes do not"):
        learner(seeded(), world=World(0, 2), merge_contexts=0.5)


@pytest.mark.parametrize(
    ("changes", "device", "refused"),
    [
        ({"batch_size": 2}, "cpu", True),
        ({"batch_size": 4}, "cpu", False),
        ({"batch_size": 4, "parts": 2}, "cpu", True),
        ({"batch_size": 2, "norm": "frozen"}, "cpu", False),
        ({"batch_size": 2}, "cuda", False),
    ],
)
def test_shares_too_small_for_norms_are_refused_before_the_first_step(
    changes: dict[str, Any], device: str, *, refused: bool
) -> None:
    network = build_network("abcnet", encoder="resnet18", classes=2)
    args = (network, options(window=64, **changes), World(0, 2), torch.device(device))

    if not refused:
        learner_module._check_norms(*args)
        return
    with pytest.raises(OptionError, match="leaves each of 2 processes 1 at a time") as info:
        learner_module._check_norms(*args)
    assert "--batch-size" in str(info.value.hint)


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
    def fail(*_: object, **__: object) -> None:
        raise error

    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", fail)

    with pytest.raises(
        ResourceError, match="not enough memory for learning from a batch of 2 x 3 x 8 x 8"
    ) as info:
        network.learn(batch(), 0)

    assert "--batch-size" in str(info.value.hint)


def test_other_errors_of_torch_are_bugs_and_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes differ")

    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", fail)

    with pytest.raises(RuntimeError, match="shapes differ"):
        network.learn(batch(), 0)


def test_what_torch_says_when_memory_ends_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    network = learner(seeded())
    monkeypatch.setattr(network.network, "forward", lambda _x, **_: torch.empty(2**58, dtype=torch.uint8))

    with pytest.raises(ResourceError, match="not enough memory"):
        network.learn(batch(), 0)
