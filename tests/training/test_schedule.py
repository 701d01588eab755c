"""The learning rate over a run, and which parameters decay."""

from __future__ import annotations

import io
import math
from itertools import chain, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from rsseg.training.options import SCHEDULES, OptimizerOptions
from rsseg.training.schedule import build_optimizer, learning_rate, set_learning_rate


def rates(steps: int, **options: object) -> list[float]:
    chosen = OptimizerOptions(**options)  # type: ignore[arg-type]
    return [learning_rate(step, steps=steps, options=chosen) for step in range(steps)]


shares = st.floats(0, 0.99)


@given(st.integers(1, 500), shares, st.sampled_from(["cosine", "polynomial"]))
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(steps: int, warmup: float, schedule: str) -> None:
    found = rates(steps, lr=1, warmup=warmup, schedule=schedule)

    rising = round(warmup * steps)
    assert all(0 < rate <= 1 for rate in found)
    assert all(a < b for a, b in pairwise(found[:rising]))
    assert all(a > b for a, b in pairwise(found[rising:]))
    assert found[rising : rising + 1] in ([], [1.0])
    if steps - rising > 1:
        assert found[-1] == pytest.approx(0.01)


@given(st.sampled_from(SCHEDULES), st.floats(0, 1), st.floats(1, 2), st.floats(0.5, 3))
def test_the_rate_has_no_jump_but_where_a_cosine_starts_again(
    schedule: str, final: float, power: float, growth: float
) -> None:
    steps, cycles = 2000, 3
    extra = {"polynomial": {"power": power}, "restarts": {"cycles": cycles, "cycle_growth": growth}}
    found = rates(steps, lr=1, warmup=0, final_lr=final, schedule=schedule, **extra.get(schedule, {}))

    shortest = steps * min(1, growth**2) / (1 + growth + growth**2)
    steepest = max(math.pi / 2, power) / (shortest - 2)
    jumps = [step for step, (a, b) in enumerate(pairwise(found), start=1) if abs(b - a) > steepest]
    assert len(jumps) <= (cycles - 1 if schedule == "restarts" else 0)
    assert all(found[step] == 1 for step in jumps)


def test_the_line_up_meets_the_peak() -> None:
    assert rates(10, lr=0.4, warmup=0.3, schedule="constant") == pytest.approx([0.1, 0.2, 0.3, *7 * [0.4]])


def test_a_cosine_in_numbers_a_person_can_check() -> None:
    found = rates(7, lr=0.4, warmup=2 / 7, final_lr=0.1)

    assert found[:2] == pytest.approx([0.4 / 3, 0.8 / 3])
    assert (found[2], found[4], found[6]) == pytest.approx((0.4, 0.4 * 0.55, 0.04))


@given(st.integers(2, 300), st.floats(0, 1))
def test_a_cosine_is_its_formula(steps: int, final: float) -> None:
    expected = [
        final + (1 - final) * (1 + math.cos(math.pi * step / (steps - 1))) / 2 for step in range(steps)
    ]

    assert rates(steps, lr=1, warmup=0, final_lr=final) == pytest.approx(expected)


@given(st.integers(2, 300), st.floats(0, 3))
def test_a_polynomial_is_its_formula(steps: int, power: float) -> None:
    found = rates(steps, lr=2, warmup=0, final_lr=0, schedule="polynomial", power=power)

    assert found == pytest.approx([2 * (1 - step / (steps - 1)) ** power for step in range(steps)])


def test_the_power_is_that_of_the_papers_unless_another_is_chosen() -> None:
    (_, middle, _) = rates(3, lr=1, warmup=0, final_lr=0, schedule="polynomial")

    assert middle == pytest.approx(0.5**0.9)


@given(st.integers(2, 40), st.integers(1, 6), st.floats(0, 1))
def test_equal_cycles_are_each_a_run_of_its_own(length: int, cycles: int, final: float) -> None:
    one = rates(length, lr=1, warmup=0, final_lr=final)

    found = rates(length * cycles, lr=1, warmup=0, final_lr=final, schedule="restarts", cycles=cycles)

    assert found == pytest.approx(one * cycles)


def test_cycles_that_double_take_15_30_and_60_of_105_epochs() -> None:
    per_epoch = 7

    found = rates(105 * per_epoch, lr=1, warmup=0, final_lr=0, schedule="restarts", cycles=3, cycle_growth=2)

    expected = [rates(epochs * per_epoch, lr=1, warmup=0, final_lr=0) for epochs in (15, 30, 60)]
    assert found == pytest.approx([*chain.from_iterable(expected)])


@given(st.integers(1, 30), st.integers(1, 100), st.floats(0.1, 10), shares)
def test_any_number_of_cycles_fits_any_number_of_steps(
    steps: int, cycles: int, growth: float, warmup: float
) -> None:
    found = rates(steps, lr=1, warmup=warmup, schedule="restarts", cycles=cycles, cycle_growth=growth)

    assert len(found) == steps
    assert all(0 < rate <= 1 for rate in found)


class Small(nn.Module):
    """An encoder and a head, with a norm and with scales of two, three and four axes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.encoder_like = nn.Linear(4, 4)
        self.head = nn.ConvTranspose2d(4, 2, 3)
        self.scales = nn.ParameterList(torch.ones([1] * axes) for axes in (2, 3, 4))


def test_groups_are_told_apart_by_name_and_kind() -> None:
    network = Small()
    names = {id(p): name for name, p in network.named_parameters()}

    optimizer = build_optimizer(network, options=OptimizerOptions(weight_decay=0.3, encoder_lr=0.1))

    found = [
        (group["weight_decay"], group["factor"], [names[id(p)] for p in group["params"]])
        for group in optimizer.param_groups
    ]
    assert found == [
        (0.3, 0.1, ["encoder.0.weight"]),
        (0.0, 0.1, ["encoder.0.bias", "encoder.1.weight", "encoder.1.bias"]),
        (0.3, 1.0, ["encoder_like.weight", "head.weight"]),
        (0.0, 1.0, ["encoder_like.bias", "head.bias", "scales.0", "scales.1", "scales.2"]),
    ]


def test_a_network_of_kernels_only_has_one_group() -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)

    assert len(build_optimizer(network, options=OptimizerOptions()).param_groups) == 1


def test_the_rate_is_set_for_all_groups_and_the_encoder_has_its_share_of_it() -> None:
    optimizer = build_optimizer(Small(), options=OptimizerOptions(encoder_lr=0.1))

    set_learning_rate(optimizer, 0.025)

    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.0025, 0.0025, 0.025, 0.025])


CHOICES = {
    "adamw": (OptimizerOptions(lr=0.01, weight_decay=0.1), lambda p: AdamW(p, lr=0.01, weight_decay=0.1)),
    "sgd": (
        OptimizerOptions(name="sgd", lr=0.01, weight_decay=0.1, momentum=0.8, nesterov=True),
        lambda p: SGD(p, lr=0.01, weight_decay=0.1, momentum=0.8, nesterov=True),
    ),
}


def kernels() -> nn.Module:
    """Convolutions without biases, laid out in memory as networks are while they learn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 2, 3, bias=False))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def learn(network: nn.Module, optimizer: Optimizer, seeds: range) -> list[Tensor]:
    for seed in seeds:
        x = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize("name", CHOICES)
def test_updates_are_those_of_the_named_optimizer(name: str) -> None:
    options, reference = CHOICES[name]
    ours, theirs = kernels(), kernels()

    found = learn(ours, build_optimizer(ours, options=options), range(5))

    expected = learn(theirs, reference(theirs.parameters()), range(5))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(found, expected, strict=True))
    assert not torch.allclose(found[0], next(kernels().parameters()), atol=1e-3)


@pytest.mark.parametrize("name", CHOICES)
def test_an_optimizer_that_was_kept_goes_on_to_the_bit(name: str) -> None:
    options, _ = CHOICES[name]
    network = kernels()
    whole = learn(network, build_optimizer(network, options=options), range(6))
    before, file = kernels(), io.BytesIO()
    optimizer = build_optimizer(before, options=options)
    learn(before, optimizer, range(3))

    torch.save((before.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    after, state = torch.load(file, weights_only=True)
    again = kernels()
    again.load_state_dict(after)
    optimizer = build_optimizer(again, options=options)
    optimizer.load_state_dict(state)

    parts = learn(again, optimizer, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(parts, whole, strict=True))
