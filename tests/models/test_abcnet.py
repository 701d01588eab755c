from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rsseg.errors import OptionError
from rsseg.models.abcnet import ABCNet, FeatureAggregation
from rsseg.models.attention import LinearAttention
from rsseg.models.blocks import ConvHead, ConvUnit
from rsseg.models.network import Logits
from tests.models.making import filled, image, network


def test_eight_classes_take_the_parameters_of_the_specification() -> None:
    with torch.device("meta"):
        built = ABCNet(classes=8)

    assert sum(p.numel() for p in built.parameters()) == 13_741_059


def test_the_auxiliary_heads_hold_their_share_of_the_parameters() -> None:
    with torch.device("meta"):
        built = ABCNet(classes=6)

    assert sum(p.numel() for p in built.auxiliary_heads.parameters()) == 272_512


def test_training_gives_two_auxiliary_logits_of_the_inputs_size_and_eval_none() -> None:
    built = network("abcnet", classes=5)
    x = image(2, 3, 33, 50)

    with torch.no_grad():
        alone = built(x)
        logits = built.train()(x)

    assert isinstance(alone, Tensor)
    assert alone.shape == (2, 5, 33, 50)
    assert isinstance(logits, Logits)
    assert logits.main.shape == (2, 5, 33, 50)
    assert [tuple(extra.shape) for extra in logits.auxiliary] == [(2, 5, 33, 50)] * 2


def test_training_on_a_single_sample_is_refused() -> None:
    built = network("abcnet").train()

    with pytest.raises(OptionError, match="ABCNet: batch size 1 at 64 x 64 px") as caught:
        built(image(1, 3, 64, 64))

    assert caught.value.hint == "train on larger batches"


def test_a_new_network_starts_as_published() -> None:
    built = ABCNet(bands=4, classes=6)

    for module in built.modules():
        if isinstance(module, ConvUnit):
            _assert_keeps_variance(module.conv.weight)
        elif isinstance(module, ConvHead):
            _assert_keeps_variance(module.classify.weight)
            assert module.classify.bias is not None
            assert not module.classify.bias.any()
        elif isinstance(module, LinearAttention):
            assert not module.scale.any()
            assert module.value.weight.abs().max() <= 1 / math.sqrt(module.value.in_channels)


def _assert_keeps_variance(weight: Tensor) -> None:
    unit = weight.detach() * math.sqrt(weight[0].numel())
    assert float(unit.std()) == pytest.approx(1, rel=0.05)
    assert unit.abs().max() > 3  # normal numbers: uniform ones of this variance end at 1.73


def test_without_attention_the_aggregation_is_its_mixed_input() -> None:
    module = filled(FeatureAggregation(32, 16))
    torch.nn.init.zeros_(module.attention.scale)
    spatial, deep = (image(2, 16, 5, 7, seed=seed, dtype=torch.float64) for seed in (1, 2))

    found = module(spatial, deep)

    assert torch.equal(found, module.mix(torch.cat([spatial, deep], dim=1)))


def test_the_first_pass_takes_three_contexts_and_the_second_one() -> None:
    built = network("abcnet")
    x = image(2, 3, 64, 96)

    with torch.no_grad():
        first = built.summarise(x)
        second = built.summarise(x, None, first)

    counts = [context.positions.tolist() for context in (*first, *second)]  # type: ignore[union-attr]
    assert counts == [[2 * 3] * 2, [2 * 3] * 2, [4 * 6] * 2, [8 * 12] * 2]


def test_the_second_pass_depends_on_the_contexts_of_the_first() -> None:
    built = network("abcnet", dtype=torch.float64)
    x, other = (image(1, 3, 64, 64, seed=seed, dtype=torch.float64) for seed in (1, 2))

    with torch.no_grad():
        (own,) = built.summarise(x, None, built.summarise(x))
        (foreign,) = built.summarise(x, None, built.summarise(other))

    change = own.values - foreign.values  # type: ignore[union-attr]
    assert change.abs().max() > 1e-2


def test_contexts_of_one_sample_serve_all() -> None:
    built = network("abcnet", dtype=torch.float64)
    x = image(2, 3, 64, 64, dtype=torch.float64)

    with torch.no_grad():
        first = [context.over_samples() for context in built.summarise(x)]
        shared = [*first, *(context.over_samples() for context in built.summarise(x, None, first))]
        found = built(x, shared)
        one_by_one = torch.cat([built(sample[None], shared) for sample in x])
        own = built(x)

    torch.testing.assert_close(found, one_by_one, rtol=0, atol=1e-10)
    assert (found - own).abs().max() > 1e-2
