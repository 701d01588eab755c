"""The blocks that several networks share.

Shapes: N samples, C channels, H rows, W columns.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class TransposedConv(nn.ConvTranspose2d):
    """A transposed convolution that adds its bias in a step of its own while it learns.

    Within the convolution, torch on a CPU takes longer for the gradient of the bias than for that of the kernel.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply it, as `nn.ConvTranspose2d` does."""
        if self.bias is None or output_size is not None or not self.training:
            return super().forward(x, output_size)
        y = functional.conv_transpose2d(
            x,
            self.weight,
            stride=self.stride,
            padding=self.padding,  # type: ignore[arg-type]
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )
        return y.add_(self.bias.to(y.dtype).view(1, -1, 1, 1))


class ConvUnit(nn.Module):
    """A convolution, batch norm if wanted, ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, *, norm: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


def conv_unit(channels: int, out: int, kernel_size: int, *, stride: int = 1) -> ConvUnit:
    """The commonest unit: (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride)), no bias, batch norm."""
    return ConvUnit(
        nn.Conv2d(channels, out, kernel_size, stride=stride, padding=kernel_size // 2, bias=False), norm=True
    )


def enlarge(x: Tensor, *, like: Tensor) -> Tensor:
    """Repeat positions (nearest neighbour) until a map is as high and wide as `like`."""
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


class ConvHead(nn.Module):
    """A 3 x 3 unit, dropout of whole channels if wanted, a 1 x 1 convolution: (N, C, H, W) to (N, out, H, W)."""

    def __init__(self, channels: int, inner: int, out: int, *, bias: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.refine = conv_unit(channels, inner, 3)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.classify = nn.Conv2d(inner, out, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the head."""
        logits: Tensor = self.classify(self.dropout(self.refine(x)))
        return logits
