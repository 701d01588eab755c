"""ResNet-18/34/50/101 as encoders: features at strides 4, 8, 16 and 32, for any number of bands.

Parameter names are torchvision's (without `fc`), so that its weights load. Bottlenecks have their stride on the
3 x 3 convolution. Source: He et al. 2016, arXiv:1512.03385.

Shapes: N samples, B bands, C channels, H rows, W columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut around them: (N, C_in, H, W) to (N, width, H / stride, W / stride)."""

    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, width, kernel_size=3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernel_size=3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width * self.expansion, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return functional.relu(y, inplace=True)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 with a shortcut: (N, C_in, H, W) to (N, 4 width, H / stride, W / stride)."""

    expansion = 4

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, width, kernel_size=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, kernel_size=3, stride=stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, width * self.expansion, kernel_size=1)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(channels, width * self.expansion, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return functional.relu(y, inplace=True)


@dataclass(frozen=True)
class Layout:
    """What tells one ResNet from another: its block and how many of them each stage has."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int, int]

    @property
    def channels(self) -> tuple[int, ...]:
        """Feature channels, stage by stage."""
        return tuple(width * self.block.expansion for width in (64, 128, 256, 512))


LAYOUTS = {
    "resnet18": Layout(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Layout(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Layout(Bottleneck, (3, 4, 6, 3)),
    "resnet101": Layout(Bottleneck, (3, 4, 23, 3)),
}


def layout_name(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The key of `LAYOUTS` that parameters belong to, whatever stands before their names; None if they fit none."""
    found = [match for name in shapes if (match := _BLOCK_CONV.search(name))]
    depths = tuple(
        max((int(m["block"]) + 1 for m in found if m["stage"] == stage), default=0) for stage in "1234"
    )
    block = Bottleneck if any(m["conv"] == "3" for m in found) else BasicBlock
    return next(
        (name for name, layout in LAYOUTS.items() if (layout.block, layout.depths) == (block, depths)), None
    )


_BLOCK_CONV = re.compile(r"(?:^|\.)layer(?P<stage>[1-4])\.(?P<block>\d+)\.conv(?P<conv>[123])\.weight$")


class ResNet(nn.Module):
    """The encoder: (N, B, H, W) to four features (N, C_i, H / 4, W / 4) ... (N, C_i, H / 32, W / 32).

    Args:
        name: a key of `LAYOUTS`.
        bands: input channels B.
    """

    stem: ClassVar[str] = "conv1.weight"
    classifier: ClassVar[tuple[str, ...]] = ("fc.",)

    def __init__(self, name: str, *, bands: int) -> None:
        super().__init__()
        layout = LAYOUTS[name]
        self.channels = layout.channels
        self.conv1 = _conv(bands, 64, kernel_size=7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = (64, *layout.channels[:-1])
        self.layer1 = _stage(layout.block, inputs[0], 64, depth=layout.depths[0], stride=1)
        self.layer2 = _stage(layout.block, inputs[1], 128, depth=layout.depths[1], stride=2)
        self.layer3 = _stage(layout.block, inputs[2], 256, depth=layout.depths[2], stride=2)
        self.layer4 = _stage(layout.block, inputs[3], 512, depth=layout.depths[3], stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the four stages, the finest first."""
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return tuple(features)


def _conv(channels: int, out: int, *, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(channels, out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _shortcut(channels: int, out: int, *, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(_conv(channels, out, kernel_size=1, stride=stride), nn.BatchNorm2d(out))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, *, depth: int, stride: int
) -> nn.Sequential:
    first = block(channels, width, stride=stride)
    rest = [block(width * block.expansion, width, stride=1) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)
