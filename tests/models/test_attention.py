from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from rsseg.errors import OptionError
from rsseg.models.attention import (
    ChannelAttention,
    ChannelGate,
    ChannelLinearAttention,
    DotProductAttention,
    GlobalMean,
    KernelAttention,
    LinearAttention,
    StripAttention,
)
from rsseg.models.context import Context, PositionContext
from rsseg.models.manet import MANetAttention
from rsseg.models.maresunet import MAResUNetAttention
from tests import oracles
from tests.models.making import filled, image

Define = Callable[..., Tensor]

POSITION: dict[str, tuple[Callable[..., Any], Define]] = {
    "linear": (LinearAttention, oracles.linear_attention),
    "kernel": (KernelAttention, oracles.kernel_attention),
    "dot product": (DotProductAttention, oracles.dot_product_attention),
}
CHANNEL: dict[str, tuple[Callable[[], Any], Define]] = {
    "softmax": (ChannelAttention, oracles.channel_attention),
    "softmax, scaled energy": (
        lambda: ChannelAttention(energy_positions=3.5),
        lambda x: oracles.channel_attention(x, energy_positions=3.5),
    ),
    "linear": (ChannelLinearAttention, oracles.channel_linear_attention),
    "linear, published": (
        lambda: ChannelLinearAttention(form="published"),
        oracles.published_channel_linear_attention,
    ),
}
RESIDUAL: dict[str, Callable[[int], Any]] = {
    "linear": LinearAttention,
    "kernel": KernelAttention,
    "channel": lambda _: ChannelAttention(),
    "channel, scaled energy": lambda _: ChannelAttention(energy_positions=9.0),
    "channel, linear": lambda _: ChannelLinearAttention(),
    "channel, linear, published": lambda _: ChannelLinearAttention(form="published"),
    "strip": lambda channels: StripAttention(channels, key_channels=16),
}
"""Attention in two steps that adds its result to its input."""
TWO_STEPS: dict[str, Callable[[int], Any]] = {
    **RESIDUAL,
    "linear, no residual": lambda channels: LinearAttention(channels, residual=False),
    "gate": lambda channels: ChannelGate(channels, 32),
}
BLOCKS: dict[str, Callable[[int], MANetAttention | MAResUNetAttention]] = {
    "maresunet": MAResUNetAttention,
    "maresunet, batch norm": lambda channels: MAResUNetAttention(channels, norm=True),
    "manet": MANetAttention,
}
SHAPES = [(2, 16, 1, 1), (1, 24, 1, 9), (3, 32, 5, 7), (1, 64, 12, 4)]

seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", POSITION)
def test_position_attention_is_its_quadratic_definition(
    name: str, shape: tuple[int, int, int, int], residual: bool
) -> None:
    build, define = POSITION[name]
    module = filled(build(shape[1], residual=residual))
    x = image(*shape, dtype=torch.float64)

    found = module(x)

    parts = (conv(x).flatten(2) for conv in (module.query, module.key, module.value))
    expected = module.scale * define(*parts).view(shape) + (x if residual else 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CHANNEL)
def test_channel_attention_is_its_definition(name: str, shape: tuple[int, int, int, int]) -> None:
    build, define = CHANNEL[name]
    module = filled(build())
    x = image(*shape, dtype=torch.float64)

    found = module(x)

    expected = x + module.scale * define(x.flatten(2)).view(shape)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_channel_linear_attention_has_no_other_form() -> None:
    with pytest.raises(OptionError, match="form is 'original'"):
        ChannelLinearAttention(form="original")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES)
def test_strip_attention_is_its_definition(shape: tuple[int, int, int, int]) -> None:
    module = filled(StripAttention(shape[1], key_channels=8))
    x = image(*shape, dtype=torch.float64)

    found = module(x)

    samples = zip(module.query(x), module.key(x), module.value(x), strict=True)
    expected = x + torch.stack([oracles.strip_attention(*sample) for sample in samples])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=12, max_size=12).filter(any), seed=seeds)
def test_strip_attention_averages_the_valid_rows_and_leaves_out_columns_without_any(
    bits: list[bool], seed: int
) -> None:
    module = filled(StripAttention(16, key_channels=8))
    x = image(1, 16, 3, 4, seed=seed, dtype=torch.float64)
    valid = torch.tensor(bits).view(1, 3, 4)

    found = module.attend(x, module.summarise(x, valid))

    parts = (unit(x)[0] for unit in (module.query, module.key, module.value))
    torch.testing.assert_close(found[0], x[0] + oracles.strip_attention(*parts, valid[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gate_weighs_channels_by_their_average_and_their_maximum(shape: tuple[int, int, int, int]) -> None:
    module = filled(ChannelGate(shape[1], 32))
    x = image(*shape, dtype=torch.float64)

    found = module(x)

    reduced = module.reduce(x)
    average = module.average_out(module.average_in(functional.adaptive_avg_pool2d(reduced, 1)).relu())
    peak = module.peak_out(module.peak_in(functional.adaptive_max_pool2d(reduced, 1)).relu())
    torch.testing.assert_close(found, reduced * (average + peak).sigmoid(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_global_mean_is_the_average_of_what_is_valid(shape: tuple[int, int, int, int]) -> None:
    module = GlobalMean()
    x = image(*shape, dtype=torch.float64)
    valid = torch.arange(math.prod(shape) // shape[1]).view(shape[0], *shape[2:]) % 3 == 0

    found = module.attend(module.summarise(x, valid) + module.summarise(x, valid))

    means = [sample[:, kept].mean(dim=1) for sample, kept in zip(x, valid, strict=True) if kept.any()]
    torch.testing.assert_close(found[valid.flatten(1).any(dim=1), :, 0, 0], torch.stack(means))
    torch.testing.assert_close(module(x), x.mean(dim=(2, 3), keepdim=True))
    assert torch.equal(module.attend(module.summarise(x, valid & False)), torch.zeros_like(found))


def test_the_global_mean_adds_up_in_float32() -> None:
    x = torch.full((1, 1, 64, 64), 100.0, dtype=torch.float16)  # the sum, 409600, is beyond float16

    with torch.autocast("cpu", dtype=torch.float16):
        found = GlobalMean()(x)

    assert found.dtype == torch.float16
    assert found.tolist() == [[[[100.0]]]]


def entries(context: Context) -> dict[str, Tensor]:
    """All that a context holds apart from the count."""
    return {f.name: getattr(context, f.name) for f in fields(context) if f.name != "positions"}


def near(found: Tensor, expected: Tensor, *, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance, check_dtype=False)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(2, 6), width=st.integers(1, 6), cut=st.integers(1, 5), seed=seeds)
@pytest.mark.parametrize("name", TWO_STEPS)
def test_contexts_of_the_upper_and_the_lower_part_add_up_to_the_whole(
    name: str, height: int, width: int, cut: int, seed: int
) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(2, 16, height, width, seed=seed, dtype=torch.float64)
    cut = min(cut, height - 1)

    parts = module.summarise(x[:, :, :cut]) + module.summarise(x[:, :, cut:])

    whole = module.summarise(x)
    assert torch.equal(parts.positions, whole.positions)
    for key, value in entries(whole).items():
        near(entries(parts)[key], value, tolerance=1e-10)
    near(module.attend(x, parts), module(x), tolerance=1e-10)


@settings(max_examples=20, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=12, max_size=12), seed=seeds)
@pytest.mark.parametrize("name", TWO_STEPS)
def test_contexts_of_any_two_parts_add_up_to_the_whole(name: str, bits: list[bool], seed: int) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(1, 16, 3, 4, seed=seed, dtype=torch.float64)
    valid = torch.tensor(bits).view(1, 3, 4)

    parts = module.summarise(x, valid) + module.summarise(x, ~valid)

    near(module.attend(x, parts), module(x), tolerance=1e-10)


@settings(max_examples=20, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=12, max_size=12).filter(any), seed=seeds)
@pytest.mark.parametrize("name", [name for name in TWO_STEPS if name != "strip"])  # it counts by columns
def test_invalid_positions_are_as_if_they_were_not_there(name: str, bits: list[bool], seed: int) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(1, 16, 3, 4, seed=seed, dtype=torch.float64)
    valid = torch.tensor(bits).view(1, 3, 4)

    masked = module.summarise(x, valid)

    kept = module.summarise(x[:, :, valid[0]].unsqueeze(2))
    assert torch.equal(masked.positions, kept.positions)
    for key, value in entries(kept).items():
        near(entries(masked)[key], value, tolerance=1e-12)


@pytest.mark.parametrize("name", RESIDUAL)
def test_without_a_valid_position_attention_adds_nothing(name: str) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x, torch.zeros(2, 3, 4, dtype=torch.bool))

    assert torch.equal(module.attend(x, context), x)
    assert torch.equal(module.attend(x, context + context), x)


@pytest.mark.parametrize("name", ["linear", "kernel"])
def test_without_a_valid_position_and_residual_attention_is_zero(name: str) -> None:
    module = filled(POSITION[name][0](16, residual=False))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x, torch.zeros(2, 3, 4, dtype=torch.bool))

    assert torch.equal(module.attend(x, context), torch.zeros_like(x))


def test_without_a_valid_position_every_gate_is_a_half() -> None:
    module = filled(ChannelGate(16, 32))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x, torch.zeros(2, 3, 4, dtype=torch.bool))

    assert torch.equal(module.attend(x, context), module.reduce(x) / 2)
    assert torch.equal(module.attend(x, context + context), module.reduce(x) / 2)


@pytest.mark.parametrize("name", TWO_STEPS)
def test_repeating_an_image_changes_nothing_where_attention_is_written_on_averages(name: str) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(1, 16, 3, 4, dtype=torch.float64)

    context = module.summarise(x)

    change = (module.attend(x, context + context + context) - module.attend(x, context)).abs().max()
    assert change > 1e-3 if name in ("channel", "channel, linear, published") else change < 1e-6


@pytest.mark.parametrize("name", TWO_STEPS)
def test_one_context_serves_all_samples(name: str) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(2, 16, 3, 4, dtype=torch.float64)

    shared = module.attend(x, module.summarise(x).over_samples())

    stacked = torch.cat([x[:1], x[1:]], dim=2)
    torch.testing.assert_close(torch.cat([shared[:1], shared[1:]], dim=2), module(stacked))


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


@pytest.mark.parametrize("name", TWO_STEPS)
def test_zero_vectors_give_finite_output_and_gradients(name: str) -> None:
    module = filled(TWO_STEPS[name](16), dtype=torch.float32)
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
@pytest.mark.parametrize("name", TWO_STEPS)
def test_half_precision_stays_near_float32_even_for_large_features(name: str, dtype: torch.dtype) -> None:
    module = filled(TWO_STEPS[name](64), dtype=torch.float32)
    # Energies near 2.5e6 are beyond float16. What half-precision keys lose, the exponential of strips enlarges.
    x = image(1, 64, 32, 32) * (1 if name == "strip" else 50)

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = module(x.to(dtype))
        context = module.summarise(x.to(dtype))

    assert found.dtype == dtype
    assert all(value.dtype == torch.float32 for value in entries(context).values())
    expected = module(x.to(dtype).float())
    assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_strips_of_large_features_stay_finite_in_half_precision(dtype: torch.dtype) -> None:
    module = filled(StripAttention(64), dtype=torch.float32)
    x = (image(1, 64, 32, 32) * 1000).to(dtype)  # scores near 1e8

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = module(x)

    assert found.isfinite().all()


def test_tiny_keys_do_not_overflow_in_half_precision() -> None:
    module = filled(KernelAttention(16), dtype=torch.float32)
    assert module.key.bias is not None
    assert module.query.bias is not None
    nn.init.constant_(module.key.bias, -40)
    nn.init.constant_(module.query.bias, -40)

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.float16):
        found = module(image(1, 16, 8, 8).half())

    assert found.isfinite().all()


def opposed(module: LinearAttention, *, total: float) -> tuple[PositionContext, Tensor]:
    """A context whose keys leave every query, all of them (1,), an average weight of `total`; and its definition."""
    nn.init.zeros_(module.query.weight)
    assert module.query.bias is not None
    nn.init.ones_(module.query.bias)
    generator = torch.Generator().manual_seed(0)
    values, products = torch.rand(2, 1, 8, dtype=torch.float64, generator=generator)
    keys = torch.full((1, 1), total - 1 - oracles.EPSILON, dtype=torch.float64)
    context = PositionContext(
        positions=torch.tensor([1]), keys=keys, values=values, key_values=products.unsqueeze(1)
    )
    return context, module.scale * (values + products).view(1, 8, 1, 1)


@pytest.mark.parametrize(("total", "divisor"), [(2.1e-5, 2.1e-5), (1.9e-5, 2e-5), (0.0, 2e-5)])
def test_linear_attention_divides_by_the_average_weight_down_to_a_bound(total: float, divisor: float) -> None:
    module = filled(LinearAttention(8, residual=False))
    context, weighed = opposed(module, total=total)

    found = module.attend(image(1, 8, 2, 3, dtype=torch.float64), context)

    torch.testing.assert_close(found, (weighed / divisor).expand(1, 8, 2, 3), rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_keys_that_oppose_every_query_stay_finite_in_half_precision(dtype: torch.dtype) -> None:
    module = filled(LinearAttention(8), dtype=torch.float32)
    for conv, sign in ((module.query, 1.0), (module.key, -1.0)):
        nn.init.zeros_(conv.weight)
        assert conv.bias is not None
        nn.init.constant_(conv.bias, sign)

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = module(image(1, 8, 4, 5).to(dtype))

    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("bias", "dtype"), [(-60.0, torch.float32), (-60.0, torch.float64), (-30.0, torch.float32)]
)
def test_queries_whose_softplus_is_almost_zero_average_exactly(bias: float, dtype: torch.dtype) -> None:
    module = without_queries(KernelAttention(16), bias=bias)
    x = image(1, 16, 3, 4, dtype=torch.float64)
    key, value = (conv(x).flatten(2) for conv in (module.key, module.value))
    query = torch.full_like(key, -1.0)  # all channels alike: how small they are does not matter
    expected = x + module.scale * oracles.kernel_attention(query, key, value).view(x.shape)

    found = module.to(dtype)(x.to(dtype))

    torch.testing.assert_close(
        found.double(), expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12
    )


@pytest.mark.parametrize("bias", [-75.0, -90.0, -200.0])
def test_queries_whose_softplus_is_zero_add_little_and_have_finite_gradients(bias: float) -> None:
    module = without_queries(KernelAttention(16), bias=bias).float()
    x = (image(1, 16, 3, 4) * 100).requires_grad_()

    found = module(x)
    found.square().sum().backward()

    assert (found - x).abs().max() < 0.01 if bias < -75 else (found - x).isfinite().all()
    assert x.grad is not None
    for tensor in (x, *module.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def without_queries(module: KernelAttention, *, bias: float) -> KernelAttention:
    """Seeded weights, but every query is `bias` everywhere."""
    filled(module)
    nn.init.zeros_(module.query.weight)
    assert module.query.bias is not None
    nn.init.constant_(module.query.bias, bias)
    return module


@pytest.mark.parametrize("name", TWO_STEPS)
@pytest.mark.parametrize("garbage", [math.nan, math.inf])
def test_what_invalid_positions_hold_has_no_influence(name: str, garbage: float) -> None:
    module = filled(TWO_STEPS[name](16))
    x = image(1, 16, 3, 4, dtype=torch.float64)
    valid = torch.ones(1, 3, 4, dtype=torch.bool)
    valid[:, 1, 2] = False
    spoilt = x.masked_fill(~valid.unsqueeze(1), garbage)

    found, expected = module.summarise(spoilt, valid), module.summarise(x, valid)

    for key, value in entries(expected).items():
        near(entries(found)[key], value, tolerance=1e-12)


@pytest.mark.parametrize("build", [LinearAttention, KernelAttention, DotProductAttention])
def test_fewer_than_eight_channels_leave_none_for_keys_and_are_refused(
    build: Callable[[int], nn.Module],
) -> None:
    with pytest.raises(OptionError, match="channels is 7"):
        build(7)


@pytest.mark.parametrize("ratio", [0, 17])
def test_a_gate_refuses_a_ratio_that_leaves_no_channel(ratio: int) -> None:
    with pytest.raises(OptionError, match=f"ratio is {ratio}"):
        ChannelGate(32, 16, ratio=ratio)


@pytest.mark.parametrize("name", TWO_STEPS)
def test_channels_last_gives_the_same_and_stays_channels_last(name: str) -> None:
    module = filled(TWO_STEPS[name](16))
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


@pytest.mark.parametrize("name", TWO_STEPS)
def test_no_tensor_grows_with_the_square_of_the_positions(name: str) -> None:
    module = filled(TWO_STEPS[name](16), dtype=torch.float32)
    x = image(1, 16, 48, 48).requires_grad_()

    with LargestTensor() as largest:  # type: ignore[no-untyped-call]
        module(x).sum().backward()

    assert largest.elements <= 3 * x.numel() < 48**4 // 40


def test_dot_product_attention_forms_the_matrix_of_all_pairs() -> None:
    with LargestTensor() as largest:  # type: ignore[no-untyped-call]
        filled(DotProductAttention(16), dtype=torch.float32)(image(1, 16, 24, 24))

    assert largest.elements == 24**4


@pytest.mark.parametrize("name", [*TWO_STEPS, "dot product"])
def test_every_parameter_is_trained_but_for_the_key_bias_under_softmax(name: str) -> None:
    module = filled(DotProductAttention(16) if name == "dot product" else TWO_STEPS[name](16))
    x = image(2, 16, 5, 7, dtype=torch.float64)

    module(x).square().sum().backward()

    gradients = {key: p.grad for key, p in module.named_parameters()}
    largest = {key: float(g.abs().max()) for key, g in gradients.items() if g is not None}
    untrained = {"key.bias"} if name == "dot product" else set()  # the same for all keys of a query
    assert largest.keys() == gradients.keys()
    assert {key for key, value in largest.items() if value < 1e-10} == untrained
