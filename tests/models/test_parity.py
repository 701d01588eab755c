"""Parity with the published networks, by their numbers in the development data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rsseg.models.attention import ChannelAttention, KernelAttention, LinearAttention
from rsseg.models.attention_unet import DecoderBlock
from rsseg.models.manet import MANetAttention
from rsseg.models.maresunet import MAResUNetAttention
from rsseg.models.registry import build_network
from rsseg.weights.published import DECODER_BLOCK, PUBLISHED, PublishedNames
from tests.conftest import PARITY
from tests.models.published import (
    Fixture,
    case_inputs,
    module_fixture,
    network_fixture,
    published_weights,
)

NETWORKS = (
    "maresunet_r34_b3_c6",
    "maresunet_r34_b4_c6",
    "maresunet_r50_b3_c5",
    "manet_r50_b3_c6",
    "manet_r50_b4_c6",
    "manet_r18_b3_c5",
)
MODULES: dict[str, Callable[[], nn.Module]] = {
    "lam_position": lambda: LinearAttention(32),
    "kernel_softplus": lambda: KernelAttention(32),
    "cam_softmax": ChannelAttention,
    "maresunet_attention_block": lambda: MAResUNetAttention(32),
    "manet_attention_block": lambda: MANetAttention(32),
    "maresunet_decoder_block": lambda: DecoderBlock(32, 16),
}
FLOAT64_TOLERANCE = 1e-6
"""Absolute, for numbers around 1: the stored values are rounded to float32."""


@pytest.fixture(scope="module", params=NETWORKS)
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[Fixture, nn.Module]]:
    fixture = network_fixture(request.param)
    about = fixture.description
    with torch.device("meta"):
        network = build_network(
            about["family"], encoder=about["encoder"], bands=about["bands"], classes=about["classes"]
        )
    names = PUBLISHED[about["family"]]
    weights = {names.ours(name): value for name, value in published_weights(about).items()}
    network.load_state_dict(weights, assign=True)
    yield fixture, network.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_network_gives_the_published_logits(
    loaded: tuple[Fixture, nn.Module], dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    fixture, network = loaded
    network = network.to(dtype)

    for name, case in fixture.cases.items():
        (x,) = case_inputs(case)
        expected = case["outputs"]["logits"]
        with torch.no_grad():
            logits = network(x.to(dtype))

        assert list(logits.shape) == expected["shape"]
        stride = expected["stride"]
        error = _worst(logits[..., ::stride, ::stride], fixture.arrays[f"{name}/logits"])
        tolerance = expected["atol"] if dtype == torch.float32 else FLOAT64_TOLERANCE
        record_property(PARITY, _line(f"{fixture.tag} {name} logits", dtype, error, tolerance))
        assert error <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_the_published_output_and_gradients(
    name: str, dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    fixture = module_fixture(name)
    names = PublishedNames(renames=DECODER_BLOCK) if "decoder" in name else PUBLISHED["maresunet"]
    module = MODULES[name]().to(dtype)
    weights = published_weights(fixture.description)
    module.load_state_dict({names.ours(n): value for n, value in weights.items()})
    module.eval()

    for case_name, case in fixture.cases.items():
        (x,) = case_inputs(case)
        x = x.to(dtype).requires_grad_()
        module.zero_grad()
        out = module(x)
        out.square().sum().backward()

        assert x.grad is not None
        pairs = {"out": (out.detach(), "out"), "grad_x0": (x.grad, "grad")}
        for array, (found, about) in pairs.items():
            expected = fixture.arrays[f"{case_name}/{array}"]
            error, tolerance = _worst(found, expected), _tolerance(case[about], expected, dtype)
            record_property(PARITY, _line(f"{name} {case_name} {array}", dtype, error, tolerance))
            assert error <= tolerance
        _check_gradient_norms(
            module, case["param_grad_l2"], names=names, rtol=1e-4 if dtype == torch.float32 else 1e-8
        )


def _check_gradient_norms(
    module: nn.Module, expected: dict[str, float], *, names: PublishedNames, rtol: float
) -> None:
    norms = {name: float(p.grad.norm()) for name, p in module.named_parameters() if p.grad is not None}
    assert norms == pytest.approx({names.ours(name): norm for name, norm in expected.items()}, rel=rtol)


def _worst(found: Tensor, expected: NDArray[np.float32]) -> float:
    return float(np.abs(found.double().numpy() - expected).max())


def _tolerance(about: dict[str, Any], expected: NDArray[np.float32], dtype: torch.dtype) -> float:
    if dtype == torch.float64:
        return FLOAT64_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return max(1e-5, 20 * float(about["f32_max_abs_err"]))


def _line(what: str, dtype: torch.dtype, error: float, tolerance: float) -> str:
    kind = str(dtype).removeprefix("torch.")
    return f"{what:48} {kind}  {error:8.1e}  {tolerance:8.1e}  {error / tolerance:6.3f}"
