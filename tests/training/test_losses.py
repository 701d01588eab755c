"""Losses against their definitions, written out in numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rsseg.models.network import Logits
from rsseg.training.losses import (
    cross_entropy,
    dice_loss,
    focal_loss,
    lovasz_loss,
    ohem_loss,
    segmentation_loss,
)
from rsseg.training.options import LOSSES, LossOptions
from tests.training import loss_oracles as oracles

seeds = st.integers(0, 2**32 - 1)
EACH: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": cross_entropy,
    "smoothed": partial(cross_entropy, label_smoothing=0.1),
    "dice": dice_loss,
    "smooth dice": partial(dice_loss, smooth=0.05),
    "ohem": partial(ohem_loss, threshold=0.7, kept=0.1),
    "focal": partial(focal_loss, gamma=2.0),
    "lovasz": lovasz_loss,
}
each_loss = pytest.mark.parametrize("loss", EACH.values(), ids=EACH.keys())


def drawn(seed: int, *, classes: int = 3, absent: int = 0, ignored: float = 0.3) -> tuple[Tensor, Tensor]:
    """Logits for `classes` classes, the last `absent` of which no label shows."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, classes, 4, 5)).astype(np.float32)
    labels = rng.integers(0, classes - absent, (2, 4, 5))
    labels[rng.random(labels.shape) < ignored] = 255
    labels[0, 0, 0] = 0 if ignored < 1 else 255
    return torch.from_numpy(logits), torch.from_numpy(labels)


@given(seeds, st.sampled_from([0.0, 0.05, 0.5]))
def test_cross_entropy_is_the_mean_over_labelled_pixels(seed: int, smoothing: float) -> None:
    logits, labels = drawn(seed)

    value = cross_entropy(logits, labels, label_smoothing=smoothing).item()

    expected = oracles.cross_entropy(oracles.pixels_of(logits, labels), label_smoothing=smoothing)
    assert value == pytest.approx(expected, rel=1e-4)


@given(seeds, st.sampled_from([0.0, 0.05, 1.0]))
def test_dice_is_the_mean_over_the_classes_present(seed: int, smooth: float) -> None:
    logits, labels = drawn(seed, classes=4, absent=1)

    value = dice_loss(logits, labels, smooth=smooth).item()

    expected = oracles.dice(oracles.pixels_of(logits, labels), smooth=smooth)
    assert value == pytest.approx(expected, rel=1e-4)


@given(seeds, st.sampled_from([0.2, 0.7, 0.95]), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_ohem_learns_from_the_hard_pixels_or_from_the_hardest(
    seed: int, threshold: float, kept: float
) -> None:
    logits, labels = drawn(seed)

    value = ohem_loss(logits, labels, threshold=threshold, kept=kept).item()

    pixels = oracles.pixels_of(logits, labels)
    expected = oracles.ohem(pixels, threshold=threshold, least=max(1, round(kept * len(pixels))))
    assert value == pytest.approx(expected, rel=1e-4)


def test_ohem_learns_from_the_hardest_pixel_at_least() -> None:
    logits = torch.tensor([[[[5.0, 6.0, 4.0]], [[0.0, 0.0, 0.0]]]])  # all of them easy

    loss = ohem_loss(logits, torch.zeros(1, 1, 3, dtype=torch.int64), threshold=0.7, kept=0.0)

    assert loss.item() == pytest.approx(np.log1p(np.exp(-4.0)), rel=1e-4)


@given(seeds, st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_focal_loss_is_its_definition(seed: int, gamma: float) -> None:
    logits, labels = drawn(seed)

    value = focal_loss(logits, labels, gamma=gamma).item()

    expected = oracles.focal(oracles.pixels_of(logits, labels), gamma=gamma)
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-7)


@given(seeds, st.sampled_from([2, 3, 5]), st.booleans())
def test_lovasz_is_its_definition_over_the_classes_present(seed: int, classes: int, whole: bool) -> None:
    logits, labels = drawn(seed, classes=classes, absent=0 if whole else 1)

    value = lovasz_loss(logits, labels).item()

    assert value == pytest.approx(oracles.lovasz(oracles.pixels_of(logits, labels)), rel=1e-4, abs=1e-6)


def test_lovasz_of_certain_answers_is_one_less_the_mean_iou() -> None:
    labels = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    answers = torch.tensor([[[0, 0, 1, 1, 0, 1]]])
    logits = 50 * torch.nn.functional.one_hot(answers, 2).permute(0, 3, 1, 2).float()

    assert lovasz_loss(logits, labels).item() == pytest.approx(1 - (2 / 4 + 1 / 3) / 2, abs=1e-6)


SLOW: dict[str, Callable[[oracles.Pixels], float]] = {
    "cross-entropy": oracles.cross_entropy,
    "smoothed": partial(oracles.cross_entropy, label_smoothing=0.1),
    "dice": oracles.dice,
    "smooth dice": partial(oracles.dice, smooth=0.05),
    "ohem": lambda pixels: oracles.ohem(pixels, threshold=0.7, least=round(0.1 * len(pixels))),
    "focal": partial(oracles.focal, gamma=2.0),
    "lovasz": oracles.lovasz,
}


@pytest.mark.parametrize("name", EACH)
def test_gradients_are_the_differences_of_the_definition(name: str) -> None:
    logits, labels = drawn(11, absent=1)
    logits.requires_grad_()
    EACH[name](logits, labels).backward()
    rng = np.random.default_rng(0)

    for place in zip(*(rng.integers(0, size, 20) for size in logits.shape), strict=True):
        step = torch.zeros(logits.shape, dtype=torch.float64)
        step[place] = 1e-5
        up, down = (
            SLOW[name](oracles.pixels_of(logits.detach().double() + s, labels)) for s in (step, -step)
        )
        assert logits.grad is not None
        assert logits.grad[place].item() == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_has_a_gradient_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([[[[200.0]], [[-200.0]]]], requires_grad=True)

    focal_loss(logits, torch.zeros(1, 1, 1, dtype=torch.int64), gamma=gamma).backward()

    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@each_loss
@given(seeds)
def test_ignored_pixels_change_nothing_and_take_no_gradient(
    loss: Callable[[Tensor, Tensor], Tensor], seed: int
) -> None:
    logits, labels = drawn(seed)
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    other = torch.where(ignored, torch.full_like(logits, 5.0), logits).requires_grad_()

    value = loss(other, labels)
    value.backward()

    assert value.item() == pytest.approx(loss(logits, labels).item(), rel=1e-5)
    assert other.grad is not None
    assert (other.grad[ignored] == 0).all()


@each_loss
def test_certain_and_right_costs_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    labels = torch.tensor([[[0, 1], [1, 0]]])
    right = 50 * torch.nn.functional.one_hot(labels, 2).permute(0, 3, 1, 2).float()

    value = loss(right, labels).item()

    smoothed = loss is EACH["smoothed"]  # wants 5 % of the other class
    assert value == pytest.approx(0.05 * 50 if smoothed else 0, abs=1e-5)


@each_loss
def test_nothing_labelled_costs_nothing_and_moves_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, labels = drawn(0, ignored=1.1)
    logits.requires_grad_()

    value = loss(logits, labels)
    value.backward()

    assert value.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@each_loss
def test_a_single_class_costs_nothing(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, labels = drawn(0, classes=1)
    logits.requires_grad_()

    value = loss(logits, labels)
    value.backward()

    assert value.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max() <= 1e-6


@each_loss
def test_half_precision_logits_give_the_float32_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    logits, labels = drawn(1)
    rounded = logits.bfloat16()

    value = loss(rounded, labels)

    assert value.dtype == torch.float32
    assert torch.equal(value, loss(rounded.float(), labels))


def recipe(name: str = "cross-entropy", **options: Any) -> LossOptions:
    return LossOptions(name=name, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"label_smoothing": 0.1}, partial(cross_entropy, label_smoothing=0.1)),
        (
            {"name": "ohem", "ohem_threshold": 0.3, "ohem_kept": 0.25},
            partial(ohem_loss, threshold=0.3, kept=0.25),
        ),
        ({"name": "focal", "focal_gamma": 0.5}, partial(focal_loss, gamma=0.5)),
        ({"name": "lovasz"}, lovasz_loss),
    ],
)
def test_the_recipe_chooses_the_loss_and_its_options(
    options: dict[str, Any], expected: Callable[[Tensor, Tensor], Tensor]
) -> None:
    logits, labels = drawn(2)

    alone = segmentation_loss(Logits(logits), labels, options=recipe(dice=0.0, **options))
    with_dice = segmentation_loss(Logits(logits), labels, options=recipe(dice=0.5, **options))

    assert torch.equal(alone, expected(logits, labels))
    assert with_dice.item() == pytest.approx(alone.item() + dice_loss(logits, labels).item() / 2)


def test_the_plain_recipe_is_cross_entropy_plus_dice_to_the_last_bit() -> None:
    logits, labels = drawn(4, classes=6)
    total = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="sum")

    loss = segmentation_loss(Logits(logits), labels, options=recipe())

    assert torch.equal(loss, total / (labels != 255).sum() + 1.0 * dice_loss(logits, labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_auxiliary_head_adds_its_weighted_loss(loss: str) -> None:
    (main, labels), (first, _), (second, _) = drawn(5), drawn(6), drawn(7)
    options = recipe(loss, aux_weight=0.4)

    value = segmentation_loss(Logits(main, (first, second)), labels, options=options).item()

    each = [segmentation_loss(Logits(x), labels, options=options).item() for x in (main, first, second)]
    assert value == pytest.approx(each[0] + 0.4 * (each[1] + each[2]))


def test_auxiliary_heads_of_weight_0_are_left_out() -> None:
    (main, labels), (other, _) = drawn(5), drawn(6)
    other.requires_grad_()
    main.requires_grad_()

    loss = segmentation_loss(Logits(main, (other,)), labels, options=recipe(aux_weight=0.0))
    loss.backward()

    assert torch.equal(loss, segmentation_loss(Logits(main), labels, options=recipe()))
    assert other.grad is None
