from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rsseg.models.encoders import STRIDES
from rsseg.models.resnet import LAYOUTS, ResNet

PARAMETERS = {  # torchvision's, without fc
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_parameters_are_as_many_as_those_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        encoder = ResNet(name, bands=3)

    assert sum(p.numel() for p in encoder.parameters()) == PARAMETERS[name]


def test_the_parameters_have_the_names_of_torchvision() -> None:
    with torch.device("meta"):
        basic, bottleneck = ResNet("resnet18", bands=3), ResNet("resnet50", bands=3)

    assert {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer1.1.bn2.bias"} <= set(
        basic.state_dict()
    )
    assert {"layer2.0.downsample.0.weight", "layer4.0.downsample.1.running_var"} <= set(basic.state_dict())
    assert {"layer1.0.downsample.0.weight", "layer4.2.conv3.weight", "layer4.2.bn3.weight"} <= set(
        bottleneck.state_dict()
    )
    assert not any("downsample" in name for name in basic.layer1.state_dict())
    assert not any("fc" in name for name in basic.state_dict())


def test_the_stride_of_a_bottleneck_lies_on_its_middle_convolution() -> None:
    with torch.device("meta"):
        first = ResNet("resnet50", bands=3).layer2.get_submodule("0")

    assert first.get_submodule("conv1").stride == (1, 1)
    assert first.get_submodule("conv2").stride == (2, 2)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_convolutions_start_with_normal_weights_that_keep_the_variance_of_gradients(name: str) -> None:
    for module in ResNet(name, bands=4).modules():
        if isinstance(module, nn.Conv2d):
            outputs = module.out_channels * module.kernel_size[0] ** 2
            weight = module.weight.detach() / math.sqrt(2 / outputs)
            assert float(weight.std()) == pytest.approx(1, rel=0.05)
            assert weight.abs().max() > 3  # uniform numbers of this variance end at 1.73


@pytest.mark.parametrize("name", LAYOUTS)
def test_features_have_the_declared_channels_and_strides(name: str) -> None:
    with torch.device("meta"):
        encoder = ResNet(name, bands=5)
        features = encoder(torch.empty(2, 5, 64, 96))

    assert [tuple(f.shape) for f in features] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, STRIDES, strict=True)
    ]
