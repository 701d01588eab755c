"""Losses against their definitions, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.training.losses import cross_entropy, dice_loss, segmentation_loss

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, *, classes: int = 3, ignored: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (2, classes, 4, 5)).astype(np.float32)
    labels = rng.integers(0, classes, (2, 4, 5))
    labels[rng.random(labels.shape) < ignored] = 255
    return torch.from_numpy(logits), torch.from_numpy(labels)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def pixels_of(logits: torch.Tensor, labels: torch.Tensor) -> list[tuple[NDArray[np.float64], int]]:
    """(probabilities, label) of each labelled pixel."""
    n, _, h, w = logits.shape
    values = logits.double().numpy()
    places = [(i, r, c) for i in range(n) for r in range(h) for c in range(w)]
    return [
        (softmax(values[i, :, r, c]), int(labels[i, r, c])) for i, r, c in places if labels[i, r, c] != 255
    ]


@given(seeds)
def test_cross_entropy_is_the_mean_over_labelled_pixels(seed: int) -> None:
    logits, labels = drawn(seed)

    value = cross_entropy(logits, labels).item()

    found = pixels_of(logits, labels)
    assert value == pytest.approx(-np.mean([np.log(p[k]) for p, k in found]), rel=1e-4)


@given(seeds)
def test_dice_is_the_mean_over_the_classes_present(seed: int) -> None:
    logits, labels = drawn(seed, classes=4)

    value = dice_loss(logits, labels).item()

    found = pixels_of(logits, labels)
    losses = []
    for k in sorted({label for _, label in found}):
        overlap = sum(p[k] for p, label in found if label == k)
        losses.append(1 - 2 * overlap / sum(p[k] + (label == k) for p, label in found))
    assert value == pytest.approx(np.mean(losses), rel=1e-4)


@given(seeds)
def test_ignored_pixels_change_nothing_and_take_no_gradient(seed: int) -> None:
    logits, labels = drawn(seed)
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    other = torch.where(ignored, torch.full_like(logits, 5.0), logits).requires_grad_()

    loss = segmentation_loss(other, labels, dice=1.0)
    loss.backward()

    assert loss.item() == pytest.approx(segmentation_loss(logits, labels, dice=1.0).item(), rel=1e-5)
    assert (other.grad[ignored] == 0).all()


def test_certain_and_right_costs_nothing_certain_and_wrong_costs_all_of_dice() -> None:
    labels = torch.tensor([[[0, 1], [1, 0]]])
    right = 50 * torch.nn.functional.one_hot(labels, 2).permute(0, 3, 1, 2).float()

    assert segmentation_loss(right, labels, dice=1.0).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(-right, labels).item() == pytest.approx(1, abs=1e-6)


def test_nothing_labelled_costs_nothing_and_moves_nothing() -> None:
    logits, labels = drawn(0, ignored=1.1)
    logits.requires_grad_()

    loss = segmentation_loss(logits, labels, dice=1.0)
    loss.backward()

    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_the_weight_of_dice_counts() -> None:
    logits, labels = drawn(3)
    entropy, dice = cross_entropy(logits, labels).item(), dice_loss(logits, labels).item()

    assert segmentation_loss(logits, labels, dice=0.0).item() == pytest.approx(entropy)
    assert segmentation_loss(logits, labels, dice=0.5).item() == pytest.approx(entropy + dice / 2)


def test_half_precision_logits_give_a_float32_loss() -> None:
    logits, labels = drawn(1)

    assert segmentation_loss(logits.bfloat16(), labels, dice=1.0).dtype == torch.float32
