"""The skeleton that MAResU-Net and MANet share, and its parts.

Shapes: N samples, B bands, C channels, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from torch import Tensor, nn

from rsseg.models.attention import ChannelAttention, PositionAttention
from rsseg.models.blocks import ConvUnit, TransposedConv
from rsseg.models.context import AnyContext, BlockContext
from rsseg.models.encoders import STRIDES, build_encoder
from rsseg.models.network import Network, reduce_valid


class DecoderBlock(nn.Module):
    """Double height and width: (N, C, H, W) to (N, out, 2 H, 2 W), through C // 4 channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        inner = channels // 4
        self.reduce = ConvUnit(nn.Conv2d(channels, inner, 1), norm=True)
        self.upsample = ConvUnit(
            TransposedConv(inner, inner, 3, stride=2, padding=1, output_padding=1), norm=True
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
        self.upsample = ConvUnit(TransposedConv(channels, 32, 4, stride=2, padding=1), norm=False)
        self.refine = ConvUnit(nn.Conv2d(32, 32, 3, padding=1), norm=False)
        self.classify = nn.Conv2d(32, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the head."""
        logits: Tensor = self.classify(self.refine(self.upsample(x)))
        return logits


class AttentionBlock(nn.Module):
    """Position and channel attention to the same map; subclasses say how the two are joined.

    Shape: (N, C, H, W) to the same.

    Args:
        mix: what comes before both.
        position: between positions.
        energy_positions: see `ChannelAttention`.
    """

    def __init__(
        self, mix: nn.Module, position: PositionAttention, *, energy_positions: float | None
    ) -> None:
        super().__init__()
        self.mix = mix
        self.position = position
        self.channel = ChannelAttention(energy_positions=energy_positions)

    def forward(self, x: Tensor, context: BlockContext | None = None) -> Tensor:
        """Attend to `context`, or to `x` itself where there is none."""
        mixed = self.mix(x)
        known = self._summarise(mixed, None) if context is None else context
        return self._join(
            self.position.attend(mixed, known.position), self.channel.attend(mixed, known.channel)
        )

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> BlockContext:
        """Take the sums that attention needs; `valid` (N, H, W) leaves positions out."""
        return self._summarise(self.mix(x), valid)

    def _summarise(self, mixed: Tensor, valid: Tensor | None) -> BlockContext:
        return BlockContext(
            position=self.position.summarise(mixed, valid), channel=self.channel.summarise(mixed, valid)
        )

    def _join(self, position: Tensor, channel: Tensor) -> Tensor:
        """Join the results of the two branches."""
        raise NotImplementedError


class BuildAttention(Protocol):
    """Makes the attention block for features of so many channels."""

    def __call__(self, channels: int, *, energy_positions: float | None) -> AttentionBlock:
        """Make one."""
        ...


class AttentionUNet(Network):
    """Encoder, attention on each of its features, decoder with added skips.

    All attention reads encoder features, so one pass over an image's tiles suffices for its contexts: one for each
    attention block, the coarsest first.

    Args:
        encoder: a key of `rsseg.models.encoders.ENCODERS`.
        bands: input channels.
        classes: output channels.
        attention: makes the blocks.
        energy_positions: pixels of the images the network was trained on, of which each block takes its own number of
            positions; None leaves the energies of channel attention as they are.
    """

    stride: ClassVar[int] = STRIDES[-1]
    padding: ClassVar[int] = STRIDES[-1]
    context_passes: ClassVar[int | None] = 1

    def __init__(
        self,
        encoder: str,
        *,
        bands: int,
        classes: int,
        attention: BuildAttention,
        energy_positions: int | None,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, bands=bands)
        c1, c2, c3, c4 = self.encoder.channels
        p1, p2, p3, p4 = (energy_positions and energy_positions / stride**2 for stride in STRIDES)
        self.attention4 = attention(c4, energy_positions=p4)
        self.attention3 = attention(c3, energy_positions=p3)
        self.attention2 = attention(c2, energy_positions=p2)
        self.attention1 = attention(c1, energy_positions=p1)
        self.decoder4 = DecoderBlock(c4, c3)
        self.decoder3 = DecoderBlock(c3, c2)
        self.decoder2 = DecoderBlock(c2, c1)
        self.decoder1 = DecoderBlock(c1, c1)
        self.head = Head(c1, classes=classes)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the features of the four stages, the finest first."""
        features: Sequence[Tensor] = self.encoder(x)
        return features

    def decode(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext] | None = None
    ) -> Sequence[Tensor]:
        """Join the features, from the coarsest to the finest, to one map at half the input's size."""
        e1, e2, e3, e4 = features
        k4, k3, k2, k1 = contexts if contexts is not None else (None,) * 4
        x = self.attention4(e4, k4)
        x = self.decoder4(x) + self.attention3(e3, k3)
        x = self.decoder3(x) + self.attention2(e2, k2)
        x = self.decoder2(x) + self.attention1(e1, k1)
        return (self.decoder1(x),)

    def summarise_features(
        self,
        features: Sequence[Tensor],
        valid: Tensor | None = None,
        known: Sequence[AnyContext] = (),  # noqa: ARG002 - one pass takes all
    ) -> tuple[AnyContext, ...]:
        """Take the four contexts; see `Network`."""
        modules = (self.attention1, self.attention2, self.attention3, self.attention4)
        contexts = (
            module.summarise(feature, reduce_valid(valid, stride=stride, padding=self.padding))
            for module, feature, stride in zip(modules, features, STRIDES, strict=True)
        )
        return tuple(contexts)[::-1]
