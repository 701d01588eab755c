"""Parity of single modules with the published ones: output, gradient of every input and parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsseg.models.abcnet import AttentionEnhancement, FeatureAggregation
from rsseg.models.attanet import FusionGate
from rsseg.models.attention import (
    ChannelAttention,
    ChannelGate,
    ChannelLinearAttention,
    DotProductAttention,
    KernelAttention,
    LinearAttention,
    MaskAttention,
    PublishedMaskAttention,
    StripAttention,
)
from rsseg.models.attention_unet import DecoderBlock
from rsseg.models.macunet import AsymmetricUnit
from rsseg.models.manet import MANetAttention
from rsseg.models.maresunet import MAResUNetAttention
from rsseg.weights.published import DECODER_BLOCK, PUBLISHED, PublishedNames
from tests.conftest import PARITY
from tests.models.published import (
    FLOAT64_TOLERANCE,
    case_inputs,
    mask_bits,
    module_fixture,
    parity_line,
    published_weights,
    worst_error,
)


@dataclass(frozen=True)
class Published:
    """How a module of the fixtures is made and used.

    It is called with the inputs of a case, one or two; `prepare` may set it up for the case before, as with a mask.
    `names` lead from the published names of its tensors to ours. `zero` has the parameters whose gradient is zero by
    mathematics, so that both sides hold nothing but rounding.
    """

    build: Callable[[], nn.Module]
    names: PublishedNames = PUBLISHED["maresunet"]
    prepare: Callable[[nn.Module, Mapping[str, Any]], None] = lambda _module, _case: None
    zero: frozenset[str] = frozenset()


def give_mask(module: nn.Module, case: Mapping[str, Any]) -> None:
    """Set the mask of a case: bits by the rule of the fixtures' README."""
    assert isinstance(module, PublishedMaskAttention)
    n, _, height, width = case["input_shapes"][0]
    module.mask = mask_bits(case["mask_seed"], n, height, width)


STRIP = PublishedNames(
    renames=(
        (r"^conv1\.", "query."),
        (r"^conv2\.", "key."),
        (r"^conv3\.", "value."),
        (r"\.bn\.", ".norm."),
    )
)
MASK = PublishedNames(renames=((r"^proj\.", "project."), (r"^mask_conv\.", "mask.")))
KEY_BIAS = frozenset({"key.bias"})
"""It adds the same to the score of every key, which softmax takes no notice of."""

MODULES: Mapping[str, Published] = {
    "lam_position": Published(lambda: LinearAttention(32)),
    "lam_position_noresidual": Published(lambda: LinearAttention(32, residual=False)),
    "kernel_softplus": Published(lambda: KernelAttention(32)),
    "dotproduct_position": Published(lambda: DotProductAttention(32), zero=KEY_BIAS),
    "cam_softmax": Published(ChannelAttention),
    "lam_channel_published": Published(lambda: ChannelLinearAttention(form="published")),
    "lam_channel_corrected": Published(ChannelLinearAttention),
    "macunet_cab": Published(lambda: ChannelGate(80, 32), names=PUBLISHED["macunet"]),
    "attanet_sam": Published(lambda: StripAttention(32), names=STRIP),
    "maskattn_paper_variant": Published(lambda: MaskAttention(32), names=MASK, zero=KEY_BIAS),
    "maskattn_published": Published(
        lambda: PublishedMaskAttention(32), names=MASK, prepare=give_mask, zero=KEY_BIAS
    ),
    "maskattn_permfix": Published(
        lambda: PublishedMaskAttention(32, permute=True), names=MASK, prepare=give_mask, zero=KEY_BIAS
    ),
    "macunet_acblock": Published(lambda: AsymmetricUnit(32, 16), names=PUBLISHED["macunet"]),
    "abcnet_aem": Published(lambda: AttentionEnhancement(32, 16), names=PUBLISHED["abcnet"]),
    "abcnet_fam": Published(lambda: FeatureAggregation(64, 32), names=PUBLISHED["abcnet"]),
    "attanet_afm": Published(lambda: FusionGate(96, 32, kernel_size=1), names=PUBLISHED["attanet"]),
    "attanet_light_afm": Published(lambda: FusionGate(64, 32, kernel_size=3), names=PUBLISHED["attanet"]),
    "maresunet_attention_block": Published(lambda: MAResUNetAttention(32)),
    "manet_attention_block": Published(lambda: MANetAttention(32)),
    "maresunet_decoder_block": Published(
        lambda: DecoderBlock(32, 16), names=PublishedNames(renames=DECODER_BLOCK)
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_the_published_output_and_gradients(
    name: str, dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    fixture, entry = module_fixture(name), MODULES[name]
    module = _load(entry, fixture.description, dtype=dtype)

    for case_name, case in fixture.cases.items():
        entry.prepare(module, case)
        inputs = [x.to(dtype).requires_grad_() for x in case_inputs(case)]
        module.zero_grad()
        out = module(*inputs)
        out.square().sum().backward()

        found = {"out": (out.detach(), case["out"])}
        found |= {f"grad_x{i}": (_gradient(x), case["grad"]) for i, x in enumerate(inputs)}
        for array, (value, about) in found.items():
            expected = fixture.arrays[f"{case_name}/{array}"]
            error, tolerance = worst_error(value, expected), _tolerance(about, expected, dtype)
            line = parity_line(f"{name} {case_name} {array}", dtype, error=error, tolerance=tolerance)
            record_property(PARITY, line)
            assert error <= tolerance
        _check_gradient_norms(module, entry, case["param_grad_l2"], dtype=dtype)


def _load(entry: Published, description: Mapping[str, Any], *, dtype: torch.dtype) -> nn.Module:
    module = entry.build().to(dtype)
    weights = published_weights(description)
    module.load_state_dict({entry.names.ours(name): value for name, value in weights.items()})
    return module.eval()


def _check_gradient_norms(
    module: nn.Module, entry: Published, published: Mapping[str, float], *, dtype: torch.dtype
) -> None:
    relative = 1e-4 if dtype == torch.float32 else 1e-8
    expected = {entry.names.ours(name): norm for name, norm in published.items()}
    norms = {name: float(_gradient(parameter).norm()) for name, parameter in module.named_parameters()}
    rounding = relative * max(norms.values())

    assert norms.keys() == expected.keys()
    for name, norm in norms.items():
        absolute = rounding if name in entry.zero else 0.0
        assert norm == pytest.approx(expected[name], rel=relative, abs=absolute), name


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def _tolerance(about: Mapping[str, Any], expected: NDArray[np.float32], dtype: torch.dtype) -> float:
    if dtype == torch.float64:
        return FLOAT64_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return max(1e-5, 20 * float(about["f32_max_abs_err"]))
