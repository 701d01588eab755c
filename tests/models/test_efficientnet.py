from __future__ import annotations

import pytest
import torch
from torch import nn

from rsseg.models.efficientnet import LAYOUTS, DepthwiseConv, EfficientNetLite, layout_name
from rsseg.models.encoders import STRIDES

PARAMETERS = {  # published, with a head of 1280 channels and 1000 classes
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite1": 5_416_680,
    "efficientnet-lite2": 6_092_072,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_parameters_are_as_many_as_those_that_were_published(name: str) -> None:
    with torch.device("meta"):
        encoder = EfficientNetLite(name, bands=3)

    head = encoder.channels[-1] * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(p.numel() for p in encoder.parameters()) + head == PARAMETERS[name]


@pytest.mark.parametrize("name", LAYOUTS)
def test_features_have_the_declared_channels_and_strides(name: str) -> None:
    with torch.device("meta"):
        encoder = EfficientNetLite(name, bands=5)
        features = encoder(torch.empty(2, 5, 64, 96))

    assert [tuple(f.shape) for f in features] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, STRIDES, strict=True)
    ]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_variant_is_told_by_the_shapes_of_its_parameters(name: str) -> None:
    with torch.device("meta"):
        state = EfficientNetLite(name, bands=3).state_dict()

    assert layout_name({f"encoder.{key}": tuple(t.shape) for key, t in state.items()}) == name
    assert layout_name({key: tuple(t.shape) for key, t in state.items() if "blocks.7." not in key}) is None
    assert layout_name({}) is None


@pytest.mark.parametrize(("kernel_size", "first"), [(3, 0), (5, 1)])
def test_a_stride_pads_less_before_than_after(kernel_size: int, first: int) -> None:
    """Each output is the sum of what TensorFlow's padding lets it see."""
    encoder = EfficientNetLite("efficientnet-lite0", bands=3).double()
    block = next(
        block
        for block in encoder.blocks
        if block.depthwise_conv.stride == (2, 2) and block.depthwise_conv.kernel_size[0] == kernel_size
    )
    seen: list[torch.Tensor] = []
    block.depthwise_conv.register_forward_hook(lambda _module, _x, y: seen.append(y))
    nn.init.ones_(block.depthwise_conv.weight)
    x = torch.rand(1, block.expand_conv.in_channels, 8, 8, dtype=torch.float64)

    widened: list[torch.Tensor] = []
    block.bn0.register_forward_hook(lambda _module, _x, y: widened.append(y.clamp(0, 6)))
    block(x)

    for row in range(4):
        for col in range(4):
            rows = slice(max(2 * row - first, 0), 2 * row - first + kernel_size)
            cols = slice(max(2 * col - first, 0), 2 * col - first + kernel_size)
            expected = widened[0][0, :, rows, cols].sum(dim=(1, 2))
            torch.testing.assert_close(seen[0][0, :, row, col], expected)


def test_channels_learn_by_themselves_in_full_precision_on_a_cpu() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        conv = DepthwiseConv(8, 8, 5, padding=2, groups=8, bias=False)
        x = torch.randn(2, 8, 12, 12).bfloat16()
    plain = torch.nn.functional.conv2d(x.float(), conv.weight, padding=2, groups=8)
    expected = torch.autograd.grad(plain.square().sum(), conv.weight)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        learning, seeing = conv.train()(x), conv.eval()(x)
    found = torch.autograd.grad(learning.float().square().sum(), conv.weight)[0]

    assert learning.dtype == seeing.dtype == torch.bfloat16
    torch.testing.assert_close(learning, plain.bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01 * float(expected.abs().max()))
    torch.testing.assert_close(seeing.float(), plain, rtol=0.02, atol=0.02)
