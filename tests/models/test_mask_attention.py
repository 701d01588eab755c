from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from rsseg.errors import OptionError
from rsseg.models.attention import MaskAttention, PublishedMaskAttention
from tests import oracles
from tests.models.making import filled, image

SHAPES = [(2, 16, 1, 1), (1, 12, 1, 9), (3, 32, 5, 7), (1, 6, 12, 4)]  # 6 channels: one head


def define(module: MaskAttention | PublishedMaskAttention, x: Tensor, gate: Tensor, *, heads: int) -> Tensor:
    """The definition: x (N, C, H, W) with gate (N, 1, H, W) to tokens (N, L, C)."""
    tokens = x.flatten(2).transpose(1, 2)
    parts = (linear(tokens) for linear in (module.query, module.key, module.value))
    mixed = oracles.mask_attention(*parts, gate.flatten(1), heads=heads)
    mixed = module.project(mixed) if isinstance(module, MaskAttention) else mixed
    y: Tensor = module.norm(tokens + mixed)
    return y


def as_map(tokens: Tensor, like: Tensor) -> Tensor:
    return tokens.transpose(1, 2).reshape(like.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_mask_attention_and_its_gradients_are_those_of_the_definition(
    shape: tuple[int, int, int, int],
) -> None:
    module = filled(MaskAttention(shape[1]))
    x = image(*shape, dtype=torch.float64).requires_grad_()
    probs = module.mask_probs(x)
    active = (probs >= 0.5).double()
    active[~active.flatten(1).any(dim=1)] = 1
    gate = active + probs - probs.detach()

    found = module(x)
    expected = as_map(define(module, x, gate, heads=4 if shape[1] % 4 == 0 else 1), x)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = [x, *module.parameters()]
    pairs = zip(
        torch.autograd.grad(found.pow(3).sum(), wanted, retain_graph=True),
        torch.autograd.grad(expected.pow(3).sum(), wanted),
        strict=True,
    )
    for ours, defined in pairs:
        torch.testing.assert_close(ours, defined, rtol=0, atol=1e-8)


def test_every_parameter_is_trained_but_for_the_key_bias_under_softmax() -> None:
    module = filled(MaskAttention(16))

    module(image(2, 16, 5, 7, dtype=torch.float64)).pow(3).sum().backward()

    largest = {name: float(p.grad.abs().max()) for name, p in module.named_parameters() if p.grad is not None}
    assert largest.keys() == dict(module.named_parameters()).keys()
    assert {name for name, value in largest.items() if value < 1e-10} == {"key.bias"}


def test_inactive_positions_have_no_influence_on_others() -> None:
    module = filled(MaskAttention(16))
    x = image(1, 16, 4, 6, dtype=torch.float64)
    probs = torch.full((1, 1, 4, 6), 0.9, dtype=torch.float64)
    probs[..., 3:] = 0.4
    changed = x.clone()
    changed[..., 3:] += 1

    found, other = module(x, probs), module(changed, probs)

    torch.testing.assert_close(found[..., :3], other[..., :3], rtol=0, atol=1e-12)
    assert (module(x)[..., :3] - module(changed)[..., :3]).abs().max() > 1e-2


def test_its_own_probabilities_are_the_default() -> None:
    module = filled(MaskAttention(16))
    x = image(2, 16, 5, 3, dtype=torch.float64)

    assert torch.equal(module(x, module.mask_probs(x)), module(x))


def test_where_no_position_of_a_sample_is_active_all_are() -> None:
    module = filled(MaskAttention(16))
    x = image(2, 16, 5, 3, dtype=torch.float64)
    probs = torch.full((2, 1, 5, 3), 0.2, dtype=torch.float64)
    probs[1, 0, 2, 1] = 0.5

    found = module(x, probs)

    torch.testing.assert_close(found[:1], module(x[:1], torch.ones_like(probs[:1])), rtol=0, atol=1e-12)
    alone = torch.zeros_like(probs[1:])
    alone[0, 0, 2, 1] = 1
    torch.testing.assert_close(found[1:], module(x[1:], alone), rtol=0, atol=1e-12)


def test_a_new_module_starts_with_a_mask_that_favours_active_positions() -> None:
    module = MaskAttention(16)

    assert module.mask.bias is not None
    assert module.mask.bias.tolist() == [2.0]
    assert (module.mask_probs(torch.zeros(1, 16, 2, 2)) > 0.88).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 7), (4, 9), (17, 3)])
def test_a_large_map_is_cut_into_equal_windows_that_attend_to_themselves(height: int, width: int) -> None:
    module = filled(MaskAttention(16, max_tokens=16))
    whole = filled(MaskAttention(16, max_tokens=height * width))
    x = image(2, 16, height, width, dtype=torch.float64)
    probs = image(2, 1, height, width, seed=1, dtype=torch.float64).sigmoid()
    probs[:, :, -2:, -3:] = 0.1  # in some of the sizes all that the last window has, apart from its padding
    side = {3: 3, 4: 4, 5: 3, 7: 4, 8: 4, 9: 3, 17: 4}  # of the fewest equal parts of at most 4

    found = module(x, probs)

    for top in range(0, height, side[height]):
        for left in range(0, width, side[width]):
            window = (..., slice(top, top + side[height]), slice(left, left + side[width]))
            expected = whole(x[window], probs[window])
            torch.testing.assert_close(found[window], expected, rtol=0, atol=1e-12)


def test_a_map_that_fits_is_not_cut() -> None:
    module, whole = filled(MaskAttention(16, max_tokens=16)), filled(MaskAttention(16))
    x = image(1, 16, 2, 8, dtype=torch.float64)

    assert torch.equal(module(x), whole(x))


def with_gap(gap: float, *, dtype: torch.dtype = torch.float64) -> tuple[MaskAttention, Tensor, Tensor]:
    """A module, a map, and probabilities that leave out a key whose score is `gap` above those of all others."""
    module = filled(MaskAttention(8, heads=1))
    x = image(1, 8, 6, 6, dtype=torch.float64)
    for linear in (module.query, module.key):
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    nn.init.constant_(module.query.bias[:1], 1.0)
    nn.init.constant_(module.key.weight[:1, :1], 8**0.5)  # the score of a key is its first feature
    nn.init.zeros_(module.value.weight[:, :1])  # and its value has none of that
    x[:, 0] = x[:, 0].tanh()
    x[..., 3, 3], x[:, 0, 3, 3] = 0.5, gap + 1
    probs = image(1, 1, 6, 6, seed=3, dtype=torch.float64).sigmoid()
    probs[..., 3, 3] = 0.1
    return module.to(dtype), x.to(dtype), probs.to(dtype)


def straight_through(probs: Tensor) -> Tensor:
    return (probs >= 0.5).to(probs.dtype) + probs - probs.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gates_learn", [False, True])
@pytest.mark.parametrize("gap", [10, 20, 40, 60])
def test_keys_of_hardly_any_weight_beside_an_inactive_one_are_averaged_exactly(
    gap: float, gates_learn: bool, dtype: torch.dtype
) -> None:
    exact, x, probs = with_gap(gap)
    expected = as_map(define(exact, x, (probs >= 0.5).double(), heads=1), x)
    module = exact.to(dtype)

    found = module(x.to(dtype), probs.to(dtype).requires_grad_(gates_learn))

    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)


def gradients(out: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(out.pow(3).sum(), wanted, materialize_grads=True))


@pytest.mark.parametrize("gap", [2, 10, 60])
def test_only_the_gradient_of_a_gate_that_draws_nearly_all_the_weight_is_bounded(gap: float) -> None:
    module, x, probs = with_gap(gap)
    x.requires_grad_()
    probs.requires_grad_()
    wanted = [x, *module.project.parameters(), *module.key.parameters(), probs]

    found = gradients(module(x, probs), wanted)
    exact = gradients(as_map(define(module, x, straight_through(probs), heads=1), x), wanted)

    for ours, defined in zip(found[:-1], exact[:-1], strict=True):
        torch.testing.assert_close(ours, defined, rtol=0, atol=1e-9)
    theirs, ours = exact[-1][..., 3, 3].abs(), found[-1][..., 3, 3].abs()
    if gap == 2:  # the active keys have more than a thousandth of the weight
        torch.testing.assert_close(found[-1], exact[-1], rtol=0, atol=1e-9)
    else:
        assert 100 < ours < theirs / 2  # a thousandth is taken instead


def test_the_gradient_of_gates_does_not_grow_with_the_gap() -> None:
    largest = []
    for gap in (20, 60, 5000):
        module, x, probs = with_gap(gap, dtype=torch.float32)
        probs.requires_grad_()
        largest.append(float(gradients(module(x, probs), [probs])[0].abs().max()))

    assert largest == pytest.approx([largest[0]] * 3, rel=0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gap", [10, 60, 5000])
def test_gradients_stay_finite_in_half_precision_however_much_weight_an_inactive_key_draws(
    gap: float, dtype: torch.dtype
) -> None:
    module, x, probs = with_gap(gap, dtype=torch.float32)
    x.requires_grad_()
    probs.requires_grad_()

    with torch.autocast("cpu", dtype=dtype):
        out = module(x, probs)
    out.float().pow(3).mean().backward()

    for tensor in (x, probs, *(p for name, p in module.named_parameters() if not name.startswith("mask"))):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() < 1e4


def test_the_padding_of_windows_takes_no_weight_from_the_gradient_of_gates() -> None:
    module = filled(MaskAttention(16, max_tokens=16))
    nn.init.zeros_(module.query.weight)
    nn.init.ones_(module.query.bias)
    nn.init.ones_(module.key.weight)
    x = -image(1, 16, 5, 4, dtype=torch.float64).abs()  # so keys of zeros score higher than all others
    probs = image(1, 1, 5, 4, seed=1, dtype=torch.float64).sigmoid().requires_grad_()

    found = gradients(module(x, probs)[:, :, 3:], [probs])[0]  # the lower window has a row of padding

    exact = gradients(
        as_map(define(module, x[:, :, 3:], straight_through(probs[:, :, 3:]), heads=4), x[:, :, 3:]), [probs]
    )[0]
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("max_tokens", [4, 64])
def test_no_samples_give_none(max_tokens: int) -> None:
    assert MaskAttention(8, max_tokens=max_tokens)(torch.empty(0, 8, 4, 6)).shape == (0, 8, 4, 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("published", [False, True])
def test_half_precision_stays_near_float32(published: bool, dtype: torch.dtype) -> None:
    module = filled(PublishedMaskAttention(64) if published else MaskAttention(64), dtype=torch.float32)
    x = image(1, 64, 24, 24).to(dtype)

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = module(x)
        wide = module(x.float())

    assert found.dtype == dtype
    assert wide.dtype == torch.float32
    expected = module(x.float())
    assert (found.float() - expected).abs().max() < 0.03 * expected.abs().max()
    assert (wide - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("max_tokens", [8, 64])
def test_channels_last_gives_the_same_and_stays_channels_last(max_tokens: int) -> None:
    module = filled(MaskAttention(16, max_tokens=max_tokens))
    x = image(2, 16, 5, 7, dtype=torch.float64)

    found = module(x.contiguous(memory_format=torch.channels_last))

    assert found.is_contiguous(memory_format=torch.channels_last)
    assert module(x).is_contiguous()
    torch.testing.assert_close(found, module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "found"),
    [({"heads": 3}, "heads is 3"), ({"heads": 0}, "heads is 0"), ({"max_tokens": 0}, "max_tokens is 0")],
)
def test_options_that_cannot_be_are_refused(options: dict[str, int], found: str) -> None:
    with pytest.raises(OptionError, match=found):
        MaskAttention(16, **options)


@pytest.mark.parametrize("permute", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_published_mask_attention_is_its_definition(shape: tuple[int, int, int, int], permute: bool) -> None:
    module = filled(PublishedMaskAttention(shape[1], permute=permute))
    x = image(*shape, dtype=torch.float64)
    module.mask = torch.arange(shape[2] * shape[3]).view(1, *shape[2:]).expand(shape[0], -1, -1) % 3 == 0

    found = module(x)

    tokens = define(module, x, module.mask.double(), heads=1)
    expected = as_map(tokens, x) if permute else tokens.reshape(shape)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_published_mask_attention_without_an_active_key_sees_all() -> None:
    module = filled(PublishedMaskAttention(16))
    x = image(2, 16, 5, 3, dtype=torch.float64)
    everything = module(x)
    module.mask = torch.zeros(2, 5, 3, dtype=torch.bool)
    module.mask[1, 0, 0] = True

    found = module(x)

    torch.testing.assert_close(found[0], everything[0], rtol=0, atol=1e-12)
    assert (found[1] - everything[1]).abs().max() > 1e-2


def largest_allocation(module: nn.Module, x: Tensor) -> int:
    """Bytes of the largest allocation of one forward and backward pass, those inside torch's kernels included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        module(x).sum().backward()
    return max(event.self_cpu_memory_usage for event in profiler.events())


@pytest.mark.parametrize("build", [MaskAttention, PublishedMaskAttention])
def test_the_matrix_of_all_pairs_is_not_allocated(build: type[nn.Module]) -> None:
    module = filled(build(16), dtype=torch.float32)
    x = image(1, 16, 48, 48).requires_grad_()
    matrix = 48**4 * 4

    fused = largest_allocation(module, x)
    with sdpa_kernel(SDPBackend.MATH):
        spelled_out = largest_allocation(module, x)

    assert fused < matrix / 10
    assert spelled_out >= matrix  # so a matrix would have been seen


def test_128_x_128_positions_attend_to_one_another_in_little_memory() -> None:
    module = filled(MaskAttention(8, heads=1), dtype=torch.float32)
    x = image(1, 8, 128, 128)

    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        module(x)

    allocated = sum(max(event.self_cpu_memory_usage, 0) for event in profiler.events())
    assert allocated < 16384**2 * 4 / 20  # all allocations together, against one matrix
