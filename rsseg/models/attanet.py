"""AttaNet: strip attention over the columns of an image, and a gate that fuses features of two scales.

Source: Song et al. 2021, AAAI, arXiv:2103.05930. Follows the published code: batch norm in the gate, which the poster
does not draw. Departures: auxiliary logits in training only, no unused classifier in the encoder, encoders other than
ResNet-18, any number of bands.

Every enlargement is to a size and not by a factor, so any height and width go through without padding. Strips are
tied to the columns of one image, so there is no context to add up over tiles.

Shapes: N samples, B bands, C channels, H rows, W columns; f8, f16, f32 are maps with positions 8, 16, 32 pixels apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.models.attention import StripAttention
from rsseg.models.blocks import ConvHead, conv_unit, enlarge
from rsseg.models.context import AnyContext
from rsseg.models.encoders import build_encoder
from rsseg.models.network import Network

DROPOUT = 0.1
"""In the heads of AttaNet; the light variant has none."""


class FusionGate(nn.Module):
    """How much of the coarse features to take, channel by channel; the rest, 1 minus it, goes to the fine ones.

    Shape: (N, C, H, W) and (N, D, h, w), which have `channels` together, to (N, out, 1, 1) in (0, 1).
    """

    def __init__(self, channels: int, out: int, *, kernel_size: int) -> None:
        super().__init__()
        self.mix = conv_unit(channels, out, kernel_size)
        self.project = nn.Conv2d(out, out, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(out)
        nn.init.kaiming_normal_(self.project.weight, a=1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Compute the gate."""
        mixed = self.mix(torch.cat([fine, enlarge(coarse, like=fine)], dim=1))
        return torch.sigmoid(self.norm(self.project(mixed.mean(dim=(2, 3), keepdim=True))))


class StripNetwork(Network):
    """What both variants share: gated fusion, strip attention on its result, three heads.

    Args:
        channels: of the fused map.
        gate: of the variant, `channels` wide.
        heads: the main one and the two auxiliary ones.
    """

    padding: ClassVar[int] = 1
    context_passes: ClassVar[int | None] = None
    least_batch: ClassVar[int] = 2

    def __init__(self, channels: int, *, gate: FusionGate, heads: Sequence[ConvHead]) -> None:
        super().__init__()
        self.gate = gate
        self.mix = conv_unit(channels, channels, 3)
        self.strip = StripAttention(channels)
        self.refine = conv_unit(channels, channels, 3)
        self.head, *auxiliary = heads
        self.auxiliary_heads.extend(auxiliary)
        for head in heads:
            nn.init.kaiming_normal_(head.classify.weight, a=1)

    def fit(self, logits: Tensor, *, height: int, width: int) -> Tensor:
        """Bring a head's output to the input's size: bilinear, corner on corner."""
        return functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=True)

    def _join(self, fine: Tensor, coarse: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse two maps and attend: to a map for `refine`, and the gated coarse one, both as large as `fine`."""
        coarse = enlarge(coarse * gate, like=fine)
        return self.strip(self.mix(fine * (1 - gate) + coarse)), coarse


class AttaNet(StripNetwork):
    """AttaNet with an encoder of one's choice; auxiliary heads on the gated f32 and on f8, in training only.

    Args:
        encoder: a key of `rsseg.models.encoders.ENCODERS`; the paper's is `resnet18`.
        bands: input channels.
        classes: output channels.
    """

    stride: ClassVar[int] = 32

    def __init__(self, *, encoder: str = "resnet18", bands: int = 3, classes: int) -> None:
        built = build_encoder(encoder, bands=bands)
        _, c2, c3, c4 = built.channels
        super().__init__(
            128,
            gate=FusionGate(128 + c4, 128, kernel_size=1),
            heads=[
                ConvHead(channels, inner, classes, bias=False, dropout=DROPOUT)
                for channels, inner in ((128, 128), (128, 64), (c2, 64))
            ],
        )
        self.encoder = built
        self.fine = conv_unit(c3, 128, 3)
        self.coarse = conv_unit(c4, 128, 3)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute f8, f16 and f32."""
        features: Sequence[Tensor] = self.encoder(x)[1:]
        return features

    def decode(
        self,
        features: Sequence[Tensor],
        contexts: Sequence[AnyContext] | None = None,  # noqa: ARG002 - it has none
    ) -> Sequence[Tensor]:
        """Join the features to the main head's map; the auxiliary heads read the gated f32, and f8."""
        f8, f16, f32 = features
        fine = self.fine(f16)
        joined, coarse = self._join(fine, self.coarse(f32), self.gate(fine, f32))
        return self.refine(enlarge(joined, like=f8)), coarse, f8


class LightEncoder(nn.Module):
    """Eight plain convolutions: (N, B, H, W) to maps of 64 channels at stride 8 and twice 128 at stride 16."""

    def __init__(self, *, bands: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            conv_unit(bands, 32, 7, stride=2),
            conv_unit(32, 64, 3, stride=2),
            conv_unit(64, 64, 3, stride=2),
            conv_unit(64, 64, 3),
            conv_unit(64, 64, 3),
        )
        self.coarse = nn.Sequential(conv_unit(64, 128, 3, stride=2), conv_unit(128, 128, 3))
        self.last = conv_unit(128, 128, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute f8, the map before the last convolution, and f16."""
        f8 = self.fine(x)
        before = self.coarse(f8)
        return f8, before, self.last(before)


class AttaNetLight(StripNetwork):
    """The light variant of AttaNet, with an encoder of its own; auxiliary heads in training only.

    Args:
        bands: input channels.
        classes: output channels.
    """

    stride: ClassVar[int] = 16

    def __init__(self, *, bands: int = 3, classes: int) -> None:
        super().__init__(
            64,
            gate=FusionGate(2 * 64, 64, kernel_size=3),
            heads=[ConvHead(channels, 64, classes, bias=False) for channels in (64, 64, 128)],
        )
        self.encoder = LightEncoder(bands=bands)
        self.fine = conv_unit(64, 64, 3)
        self.coarse = conv_unit(128, 64, 3)
        self.fine_out = conv_unit(64, 64, 3)
        self.coarse_out = conv_unit(64, 64, 3)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute f8, the map before the last convolution, and f16."""
        features: Sequence[Tensor] = self.encoder(x)
        return features

    def decode(
        self,
        features: Sequence[Tensor],
        contexts: Sequence[AnyContext] | None = None,  # noqa: ARG002 - it has none
    ) -> Sequence[Tensor]:
        """Join the features to the main head's map; the auxiliary heads read the gated f16, and what precedes it."""
        f8, before, f16 = features
        fine, coarse = self.fine(f8), self.coarse(f16)
        joined, coarse = self._join(self.fine_out(fine), self.coarse_out(coarse), self.gate(fine, coarse))
        return self.refine(joined), coarse, before
