"""Deciding against the slow, obvious way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.prediction.decide import DecisionRule, decide, probabilities

ALL = frozenset({"probabilities", "confidence"})
rules = st.sampled_from(
    [DecisionRule(layers=ALL), DecisionRule(layers=frozenset({"confidence"})), DecisionRule()]
)
seeds = st.integers(0, 2**31)


def random_scores(seed: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, many of them equal, and what is wanted."""
    generator = np.random.default_rng(seed)
    logits = generator.integers(-3, 4, shape).astype(np.float32)
    wanted = generator.random((shape[0], *shape[2:])) < 0.7
    return torch.from_numpy(logits), torch.from_numpy(wanted)


def slowly(logits: NDArray[Any], wanted: NDArray[np.bool_], rule: DecisionRule) -> dict[str, NDArray[Any]]:
    """Pixel by pixel, in float64."""
    n, k, h, w = logits.shape
    bands = {"classes": 1, "probabilities": k, "confidence": 1}
    found = {name: np.full((n, bands[name], h, w), 255) for name in {"classes", *rule.layers}}
    for i, row, col in zip(*np.nonzero(wanted), strict=True):
        pixel = logits[i, :, row, col].astype(np.float64)
        probs = np.exp(pixel) / np.exp(pixel).sum()
        best = max(range(k), key=lambda c: (pixel[c], -c))
        if rule.threshold is not None:
            chosen, least = rule.threshold
            best = chosen if probs[chosen] >= least else 1 - chosen
        told = {
            "classes": best,
            "probabilities": np.rint(254 * probs),
            "confidence": np.rint(254 * probs[best]),
        }
        for name, layer in found.items():
            layer[i, :, row, col] = told[name]
    return found


@given(seeds, st.integers(1, 5), rules, st.booleans())
def test_deciding_equals_the_slow_way(seed: int, classes: int, rule: DecisionRule, last: bool) -> None:
    logits, wanted = random_scores(seed, (2, classes, 4, 5))
    layout = torch.channels_last if last else torch.contiguous_format

    layers = decide(logits.contiguous(memory_format=layout), wanted, rule, are_probabilities=False)

    expected = slowly(logits.numpy(), wanted.numpy(), rule)
    assert layers.keys() == expected.keys()
    for name, layer in layers.items():
        assert layer.dtype == torch.uint8
        np.testing.assert_array_equal(layer.numpy(), expected[name])


@given(seeds, st.integers(0, 1), st.sampled_from([0.1, 0.3, 0.65, 0.9]))
def test_a_threshold_equals_the_slow_way(seed: int, chosen: int, least: float) -> None:
    logits, wanted = random_scores(seed, (2, 2, 4, 5))
    rule = DecisionRule(threshold=(chosen, least), layers=ALL)

    layers = decide(logits, wanted, rule, are_probabilities=False)

    expected = slowly(logits.numpy(), wanted.numpy(), rule)
    assert all(np.array_equal(layers[name].numpy(), expected[name]) for name in expected)


def test_a_probability_at_the_threshold_is_taken() -> None:
    probs = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]]).T.reshape(1, 2, 1, 3)
    rule = DecisionRule(threshold=(0, 0.5), layers=frozenset({"confidence"}))

    layers = decide(probs, torch.ones(1, 1, 3, dtype=torch.bool), rule, are_probabilities=True)

    assert layers["classes"].flatten().tolist() == [1, 0, 0]
    assert layers["confidence"].flatten().tolist() == [190, 127, 190]  # 190.5 goes to the even number


@pytest.mark.parametrize(
    ("probability", "value"), [(0.0, 0), (0.0019, 0), (0.002, 1), (0.998, 253), (1.0, 254)]
)
def test_probabilities_take_8_bits(probability: float, value: int) -> None:
    probs = torch.tensor([probability, 1 - probability]).reshape(1, 2, 1, 1)

    layers = decide(
        probs, torch.ones(1, 1, 1, dtype=torch.bool), DecisionRule(layers=ALL), are_probabilities=True
    )

    assert layers["probabilities"].flatten().tolist() == [value, 254 - value]
    assert layers["confidence"].item() == max(value, 254 - value)


@given(seeds)
def test_telling_more_does_not_change_the_classes(seed: int) -> None:
    """Logits may differ by less than their probabilities can show."""
    steps = np.random.default_rng(seed).integers(-2, 3, (1, 3, 4, 4)).astype(np.float32)
    logits = torch.from_numpy(1 + steps * np.float32(2**-23))
    wanted = torch.ones(1, 4, 4, dtype=torch.bool)

    plain = decide(logits, wanted, DecisionRule(), are_probabilities=False)
    told = decide(logits, wanted, DecisionRule(layers=ALL), are_probabilities=False)

    assert torch.equal(plain["classes"], told["classes"])


def test_probabilities_of_half_precision_are_float32() -> None:
    logits = torch.tensor([0.1, -2.3, 40.0]).reshape(1, 3, 1, 1).bfloat16()

    probs = probabilities(logits)

    assert probs.dtype == torch.float32
    assert torch.equal(probs, torch.softmax(logits.float(), dim=1))


def test_with_255_classes_the_last_is_not_taken_for_missing() -> None:
    logits = torch.zeros(1, 255, 1, 2)
    logits[:, 254] = 1

    layers = decide(logits, torch.tensor([[[True, False]]]), DecisionRule(), are_probabilities=False)

    assert layers["classes"].flatten().tolist() == [254, 255]
