"""The transposed convolution is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsseg.models.blocks import TransposedConv


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    "more", [{}, {"output_padding": 1, "groups": 2, "dilation": 2}], ids=["plain", "all"]
)
def test_a_transposed_convolution_is_torchs_and_so_are_its_gradients(
    *, training: bool, bias: bool, more: dict[str, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    conv = TransposedConv(4, 6, 3, stride=2, padding=1, bias=bias, **more).double().train(training)
    x = torch.randn(2, 4, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)

    ours, theirs = conv(x), nn.ConvTranspose2d.forward(conv, x)

    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    weight = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weight).sum(), [x, *conv.parameters()]) for y in (ours, theirs)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_under_autocast_the_result_keeps_the_type_of_the_convolution() -> None:
    conv, x = TransposedConv(4, 6, 3), torch.randn(1, 4, 5, 5)

    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
