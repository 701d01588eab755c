"""The parts that MAResU-Net and MANet have in common, and the skeleton they share.

Shapes: N samples, B bands, C channels, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from torch import Tensor, nn
from torch.nn import functional

from rsseg.models.context import BlockContext
from rsseg.models.resnet import STRIDES, ResNet


class ConvUnit(nn.Module):
    """A convolution, batch norm if wanted, ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, *, norm: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class DecoderBlock(nn.Module):
    """Double height and width: (N, C, H, W) to (N, out, 2 H, 2 W), through C // 4 channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        inner = channels // 4
        self.reduce = ConvUnit(nn.Conv2d(channels, inner, 1), norm=True)
        self.upsample = ConvUnit(
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1), norm=True
        )
        self.expand = ConvUnit(nn.Conv2d(inner, out, 1), norm=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y: Tensor = self.expand(self.upsample(self.reduce(x)))
        return y


class Head(nn.Module):
    """Double height and width once more and classify: (N, C, H, W) to logits (N, classes, 2 H, 2 W)."""

    def __init__(self, channels: int, *, classes: int) -> None:
        super().__init__()
        self.upsample = ConvUnit(nn.ConvTranspose2d(channels, 32, 4, stride=2, padding=1), norm=False)
        self.refine = ConvUnit(nn.Conv2d(32, 32, 3, padding=1), norm=False)
        self.classify = nn.Conv2d(32, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the head."""
        logits: Tensor = self.classify(self.refine(self.upsample(x)))
        return logits


class AttentionBlock(nn.Module):
    """What the skeleton asks of an attention block: attention in two steps, joined by `forward`."""

    def forward(self, x: Tensor, context: BlockContext | None = None) -> Tensor:
        """Attend to `context`, or to `x` itself where there is none."""
        raise NotImplementedError

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> BlockContext:
        """Take the sums that attention needs; `valid` (N, H, W) leaves positions out."""
        raise NotImplementedError


class BuildAttention(Protocol):
    """Makes the attention block for features of so many channels, `stride` input pixels apart."""

    def __call__(self, channels: int, *, stride: int) -> AttentionBlock:
        """Make one."""
        ...


class AttentionUNet(nn.Module):
    """Encoder, attention on each of its features, decoder with added skips: the skeleton of both networks.

    (N, B, H, W) to logits (N, classes, H, W). Any height and width: the input is padded with zeros on the right and
    at the bottom to a multiple of 32, and the logits are cropped. In training mode, batch norm needs more than one
    value per channel on the coarsest feature: at least 64 x 64 pixels, or several samples.

    All attention reads encoder features, so one pass over an image's tiles suffices for its context:

        contexts = network.summarise(tile, valid)      # add them up over the tiles with `+`
        logits = network(tile, contexts)

    Without contexts, a tile attends to itself, which is what the papers do.
    """

    stride: ClassVar[int] = STRIDES[-1]
    context_passes: ClassVar[int | None] = 1

    def __init__(self, encoder: str, *, bands: int, classes: int, attention: BuildAttention) -> None:
        super().__init__()
        self.encoder = ResNet(encoder, bands=bands)
        c1, c2, c3, c4 = self.encoder.channels
        self.attention4 = attention(c4, stride=STRIDES[3])
        self.attention3 = attention(c3, stride=STRIDES[2])
        self.attention2 = attention(c2, stride=STRIDES[1])
        self.attention1 = attention(c1, stride=STRIDES[0])
        self.decoder4 = DecoderBlock(c4, c3)
        self.decoder3 = DecoderBlock(c3, c2)
        self.decoder2 = DecoderBlock(c2, c1)
        self.decoder1 = DecoderBlock(c1, c1)
        self.head = Head(c1, classes=classes)

    def forward(self, x: Tensor, contexts: Sequence[BlockContext] | None = None) -> Tensor:
        """Compute logits; `contexts` holds one per attention module, and one of N = 1 serves all samples."""
        height, width = x.shape[2:]
        logits = self.decode(self.encode(x), contexts)
        return logits[:, :, :height, :width]

    def attention_modules(self) -> tuple[AttentionBlock, ...]:
        """The attention modules in the order of their contexts, the coarsest first."""
        return self.attention4, self.attention3, self.attention2, self.attention1

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> tuple[BlockContext, ...]:
        """Take what attention needs from this part of an image.

        Args:
            x: (N, B, H, W).
            valid: (N, H, W) bool; a position counts where all pixels under it are valid, padding never is.
                Without it all positions count, those of the padding as well, as in `forward`.

        Returns:
            One context per attention module, in order.
        """
        features = self.encode(x)
        reduced = [None if valid is None else reduce_valid(valid, stride=stride) for stride in STRIDES]
        modules = self.attention_modules()
        return tuple(
            module.summarise(feature, mask)
            for module, feature, mask in zip(modules, reversed(features), reversed(reduced), strict=True)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the encoder's features of the padded input, the finest first."""
        features: tuple[Tensor, ...] = self.encoder(pad_to_multiple(x, self.stride))
        return features

    def decode(self, features: Sequence[Tensor], contexts: Sequence[BlockContext] | None = None) -> Tensor:
        """Compute logits, still padded, from features and contexts."""
        e1, e2, e3, e4 = features
        k4, k3, k2, k1 = contexts if contexts is not None else (None,) * 4
        x = self.attention4(e4, k4)
        x = self.decoder4(x) + self.attention3(e3, k3)
        x = self.decoder3(x) + self.attention2(e2, k2)
        x = self.decoder2(x) + self.attention1(e1, k1)
        logits: Tensor = self.head(self.decoder1(x))
        return logits


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad (..., H, W) with zeros (False) on the right and at the bottom to multiples of `multiple`."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return functional.pad(x, (0, right, 0, bottom)) if bottom or right else x


def reduce_valid(valid: Tensor, *, stride: int) -> Tensor:
    """Reduce (N, H, W) bool to positions `stride` pixels apart: True where all pixels under a position are."""
    padded = pad_to_multiple(valid, STRIDES[-1])
    n, height, width = padded.shape
    squares = padded.reshape(n, height // stride, stride, width // stride, stride)
    return squares.all(dim=4).all(dim=2)  # (N, H / stride, W / stride)
