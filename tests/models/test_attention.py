from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rsseg.models.attention import ChannelAttention, KernelAttention, LinearAttention
from rsseg.models.manet import MANetAttention
from rsseg.models.maresunet import MAResUNetAttention
from tests import oracles
from tests.models.making import filled, image

POSITION: dict[str, Callable[[int], LinearAttention | KernelAttention]] = {
    "linear": LinearAttention,
    "kernel": KernelAttention,
}
SINGLE: dict[str, Callable[[int], Any]] = {
    **POSITION,
    "channel": lambda _: ChannelAttention(),
    "channel, scaled energy": lambda _: ChannelAttention(energy_positions=9.0),
}
BLOCKS: dict[str, Callable[[int], MANetAttention | MAResUNetAttention]] = {
    "maresunet": MAResUNetAttention,
    "maresunet, batch norm": lambda channels: MAResUNetAttention(channels, norm=True),
    "manet": MANetAttention,
}
SHAPES = [(2, 16, 1, 1), (1, 24, 1, 9), (3, 32, 5, 7), (1, 64, 12, 4)]

seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", POSITION)
def test_position_attention_is_its_quadratic_definition(name: str, shape: tuple[int, int, int, int]) -> None:
    module = filled(POSITION[name](shape[1]))
    x = image(*shape, dtype=torch.float64)
    define = {"linear": oracles.linear_attention, "kernel": oracles.kernel_attention}[name]

    found = module(x)

    parts = (conv(x).flatten(2) for conv in (module.query, module.key, module.value))
    expected = x + module.scale * define(*parts).view(shape)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("energy_positions", [None, 3.5])
def test_channel_attention_is_its_definition(
    energy_positions: float | None, shape: tuple[int, int, int, int]
) -> None:
    module = filled(ChannelAttention(energy_positions=energy_positions))
    x = image(*shape, dtype=torch.float64)

    found = module(x)

    mixed = oracles.channel_attention(x.flatten(2), energy_positions=energy_positions)
    torch.testing.assert_close(found, x + module.scale * mixed.view(shape), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 6), width=st.integers(2, 6), cut=st.integers(1, 5), seed=seeds)
@pytest.mark.parametrize("name", SINGLE)
def test_contexts_of_two_parts_add_up_to_the_whole(
    name: str, height: int, width: int, cut: int, seed: int
) -> None:
    module = filled(SINGLE[name](16))
    x = image(2, 16, height, width, seed=seed, dtype=torch.float64)
    cut = min(cut, width - 1)

    parts = module.summarise(x[..., :cut]) + module.summarise(x[..., cut:])

    whole = module.summarise(x)
    assert torch.equal(parts.positions, whole.positions)
    for key, value in whole.sums().items():
        torch.testing.assert_close(parts.sums()[key], value, rtol=0, atol=1e-10)
    torch.testing.assert_close(module.attend(x, parts), module(x), rtol=0, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=12, max_size=12).filter(any), seed=seeds)
@pytest.mark.parametrize("name", SINGLE)
def test_invalid_positions_are_as_if_they_were_not_there(name: str, bits: list[bool], seed: int) -> None:
    module = filled(SINGLE[name](16))
    x = image(1, 16, 3, 4, seed=seed, dtype=torch.float64)
    valid = torch.tensor(bits).view(1, 3, 4)

    masked = module.summarise(x, valid)

    kept = module.summarise(x[:, :, valid[0]].unsqueeze(2))
    assert torch.equal(masked.positions, kept.positions)
    for key, value in kept.sums().items():
        torch.testing.assert_close(masked.sums()[key], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SINGLE)
def test_without_a_valid_position_attention_adds_nothing(name: str) -> None:
    module = filled(SINGLE[name](16))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x, torch.zeros(2, 3, 4, dtype=torch.bool))

    assert torch.equal(module.attend(x, context), x)
    assert torch.equal(module.attend(x, context + context), x)


@pytest.mark.parametrize("name", SINGLE)
def test_repeating_an_image_changes_nothing_where_attention_is_written_on_averages(name: str) -> None:
    module = filled(SINGLE[name](16))
    x = image(1, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x)

    change = (module.attend(x, context + context + context) - module.attend(x, context)).abs().max()
    assert change > 1e-3 if name == "channel" else change < 1e-6


@pytest.mark.parametrize("name", SINGLE)
def test_one_context_serves_all_samples(name: str) -> None:
    module = filled(SINGLE[name](16))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    shared = module.attend(x, module.summarise(x).over_samples())

    side_by_side = torch.cat([x[:1], x[1:]], dim=3)
    torch.testing.assert_close(torch.cat([shared[:1], shared[1:]], dim=3), module(side_by_side))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_attends_to_its_own_context_by_default(name: str) -> None:
    module = filled(BLOCKS[name](16))
    x = image(2, 16, 5, 3, dtype=torch.float64)

    found = module(x, module.summarise(x))

    assert torch.equal(found, module(x))


@pytest.mark.parametrize("name", BLOCKS)
def test_block_contexts_merge_like_their_parts(name: str) -> None:
    module = filled(BLOCKS[name](16))
    x = image(2, 16, 5, 3, dtype=torch.float64)
    left = torch.zeros(2, 5, 3, dtype=torch.bool)
    left[..., :1] = True

    parts = module.summarise(x, left) + module.summarise(x, ~left)

    torch.testing.assert_close(module(x, parts), module(x), rtol=0, atol=1e-10)
    shared = module(x, parts.over_samples())
    assert shared.shape == x.shape
    assert (shared - module(x)).abs().max() > 1e-3


def test_new_attention_adds_nothing_and_a_new_manet_block_doubles_its_input() -> None:
    x = image(1, 16, 3, 4)

    assert torch.equal(LinearAttention(16)(x), x)
    assert torch.equal(KernelAttention(16)(x), x)
    assert torch.equal(ChannelAttention()(x), x)
    assert torch.equal(MANetAttention(16)(x), 2 * x)


@pytest.mark.parametrize("name", SINGLE)
def test_zero_vectors_give_finite_output_and_gradients(name: str) -> None:
    module = filled(SINGLE[name](16), dtype=torch.float32)
    for parameter_name, parameter in module.named_parameters():
        if parameter_name.endswith("bias"):
            nn.init.zeros_(parameter)
    x = image(1, 16, 3, 4)
    x[..., :2] = 0
    x.requires_grad_()

    out = module(x)
    out.square().sum().backward()

    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() < 1e4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SINGLE)
def test_half_precision_stays_near_float32_even_for_large_features(name: str, dtype: torch.dtype) -> None:
    module = filled(SINGLE[name](64), dtype=torch.float32)
    x = image(1, 64, 32, 32) * 50  # energies near 2.5e6, beyond float16

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = module(x.to(dtype))
        context = module.summarise(x.to(dtype))

    assert found.dtype == dtype
    assert all(value.dtype == torch.float32 for value in context.sums().values())
    expected = module(x.to(dtype).float())
    assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_tiny_keys_do_not_overflow_in_half_precision() -> None:
    module = filled(KernelAttention(16), dtype=torch.float32)
    assert module.key.bias is not None
    assert module.query.bias is not None
    nn.init.constant_(module.key.bias, -40)
    nn.init.constant_(module.query.bias, -40)

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        found = module(image(1, 16, 8, 8).half())

    assert found.isfinite().all()


@pytest.mark.parametrize("name", SINGLE)
def test_channels_last_gives_the_same_and_stays_channels_last(name: str) -> None:
    module = filled(SINGLE[name](16))
    x = image(2, 16, 5, 7, dtype=torch.float64)

    found = module(x.contiguous(memory_format=torch.channels_last))

    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, module(x), rtol=0, atol=1e-12)


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the size of the largest tensor that any operation gave."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("name", SINGLE)
def test_no_tensor_grows_with_the_square_of_the_positions(name: str) -> None:
    module = filled(SINGLE[name](16), dtype=torch.float32)
    x = image(1, 16, 48, 48).requires_grad_()

    with LargestTensor() as largest:  # type: ignore[no-untyped-call]
        module(x).sum().backward()

    assert largest.elements <= 2 * x.numel()
