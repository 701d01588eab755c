"""ABCNet, Attentive Bilateral Contextual Network: a shallow path for detail beside a deep one for context.

Source: Li et al. 2021, ISPRS J. P&RS 181, 84-98, doi 10.1016/j.isprsjprs.2021.09.005, arXiv:2102.02531. Follows the
published code where the figures differ: the spatial path ends in a 1 x 1 convolution, no batch norm follows the
attention that joins the paths, and the auxiliary heads read the context path instead of the encoder. Departures: all
other encoders than ResNet-18, any number of bands, any height and width.

Shapes: N samples, B bands, C channels, H rows, W columns; f8, f16, f32 are maps with positions 8, 16, 32 pixels apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.models.attention import GlobalMean, LinearAttention
from rsseg.models.blocks import ConvHead, ConvUnit, conv_unit, enlarge
from rsseg.models.context import AnyContext, MeanContext, PositionContext
from rsseg.models.encoders import build_encoder
from rsseg.models.network import Network, reduce_valid

WIDTH = 128
"""Channels of either path."""


class MeanUnit(nn.Module):
    """The average of a map through a 1 x 1 unit: (N, C, H, W) to (N, out, 1, 1)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mean = GlobalMean()
        self.project = conv_unit(channels, out, 1)

    def forward(self, x: Tensor, context: MeanContext | None = None) -> Tensor:
        """Use the average of `context`, or that of `x` itself where there is none."""
        y: Tensor = self.project(self.mean(x) if context is None else self.mean.attend(context).to(x.dtype))
        return y

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> MeanContext:
        """Take the sum of `x`; `valid` (N, H, W) leaves positions out."""
        return self.mean.summarise(x, valid)


class AttentionEnhancement(nn.Module):
    """What linear attention makes of a 3 x 3 unit's map, normalised: (N, C, H, W) to (N, out, H, W).

    The map itself is not added back. Batch norm takes away in training whatever the attention's scale is; while the
    scale is still zero its gradient is up to 1 / sqrt(1e-5) = 316 times larger. Published like that; clip gradients.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = conv_unit(channels, out, 3)
        self.attention = LinearAttention(out, residual=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor, context: PositionContext | None = None) -> Tensor:
        """Attend to `context`, or to `x` itself where there is none."""
        mixed = self.mix(x)
        known = self.attention.summarise(mixed) if context is None else context
        y: Tensor = self.norm(self.attention.attend(mixed, known))
        return y

    def summarise(self, x: Tensor, valid: Tensor | None = None) -> PositionContext:
        """Take the sums that attention needs; `valid` (N, H, W) leaves positions out."""
        return self.attention.summarise(self.mix(x), valid)


class FeatureAggregation(nn.Module):
    """Join two maps of one size, and let linear attention say what of the result to amplify.

    Shape: two of (N, C, H, W) that have `channels` together to (N, out, H, W).
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = conv_unit(channels, out, 1)
        self.attention = LinearAttention(out, residual=False)

    def forward(self, spatial: Tensor, deep: Tensor, context: PositionContext | None = None) -> Tensor:
        """Attend to `context`, or to the joined map itself where there is none."""
        joined = self._join(spatial, deep)
        known = self.attention.summarise(joined) if context is None else context
        return joined + joined * self.attention.attend(joined, known)

    def summarise(self, spatial: Tensor, deep: Tensor, valid: Tensor | None = None) -> PositionContext:
        """Take the sums that attention needs; `valid` (N, H, W) leaves positions out."""
        return self.attention.summarise(self._join(spatial, deep), valid)

    def _join(self, spatial: Tensor, deep: Tensor) -> Tensor:
        joined: Tensor = self.mix(torch.cat([spatial, deep], dim=1))
        return joined


class ShuffleHead(ConvHead):
    """A head that classifies factor^2 pixels at every position: (N, C, H, W) to (N, classes, factor H, factor W)."""

    def __init__(self, channels: int, inner: int, *, classes: int, factor: int) -> None:
        super().__init__(channels, inner, classes * factor**2, bias=True)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Apply the head."""
        return functional.pixel_shuffle(super().forward(x), self.factor)


class ABCNet(Network):
    """ABCNet with an encoder of one's choice in its context path; auxiliary heads on c8 and c16, in training only.

    Its contexts, in order: of f32 the mean and the enhancement's, of f16 the enhancement's (first pass), and that
    of the aggregation (second pass), whose input depends on the first three.

    Args:
        encoder: a key of `rsseg.models.encoders.ENCODERS`; the paper's is `resnet18`.
        bands: input channels.
        classes: output channels.
    """

    stride: ClassVar[int] = 32
    padding: ClassVar[int] = 32
    context_passes: ClassVar[int | None] = 2
    least_batch: ClassVar[int] = 2

    def __init__(self, *, encoder: str = "resnet18", bands: int = 3, classes: int) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, bands=bands)
        _, _, c3, c4 = self.encoder.channels
        self.spatial = nn.Sequential(
            conv_unit(bands, 64, 7, stride=2),
            conv_unit(64, 64, 3, stride=2),
            conv_unit(64, 64, 3, stride=2),
            conv_unit(64, WIDTH, 1),
        )
        self.mean = MeanUnit(c4, WIDTH)
        self.enhance32 = AttentionEnhancement(c4, WIDTH)
        self.refine32 = conv_unit(WIDTH, WIDTH, 3)
        self.enhance16 = AttentionEnhancement(c3, WIDTH)
        self.refine16 = conv_unit(WIDTH, WIDTH, 3)
        self.aggregation = FeatureAggregation(2 * WIDTH, 2 * WIDTH)
        self.head = ShuffleHead(2 * WIDTH, 256, classes=classes, factor=8)
        self.auxiliary_heads.append(ShuffleHead(WIDTH, 64, classes=classes, factor=8))
        self.auxiliary_heads.append(ShuffleHead(WIDTH, 64, classes=classes, factor=16))
        self.apply(_initialise)

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the spatial path's map (at f8's size), f16 and f32."""
        _, _, f16, f32 = self.encoder(x)
        return self.spatial(x), f16, f32

    def decode(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext] | None = None
    ) -> Sequence[Tensor]:
        """Join the features to the main head's map and, for the auxiliary heads, c8 and c16."""
        *first, last = contexts if contexts is not None else (None,) * 4
        c8, c16 = self._context_path(features, first)
        return self.aggregation(features[0], c8, last), c8, c16

    def summarise_features(
        self, features: Sequence[Tensor], valid: Tensor | None = None, known: Sequence[AnyContext] = ()
    ) -> tuple[AnyContext, ...]:
        """Take the contexts of the first pass or, with those known, of the second; see `Network`."""
        spatial, f16, f32 = features
        valid8, valid16, valid32 = (
            reduce_valid(valid, stride=stride, padding=self.padding) for stride in (8, 16, 32)
        )
        if not known:
            return (
                self.mean.summarise(f32, valid32),
                self.enhance32.summarise(f32, valid32),
                self.enhance16.summarise(f16, valid16),
            )
        c8, _ = self._context_path(features, known)
        return (self.aggregation.summarise(spatial, c8, valid8),)

    def _context_path(
        self, features: Sequence[Tensor], contexts: Sequence[AnyContext | None]
    ) -> tuple[Tensor, Tensor]:
        """Compute c8 and c16 with the contexts of the first pass, or each map's own where they are None."""
        spatial, f16, f32 = features
        mean, at32, at16 = contexts
        c16 = self.refine32(enlarge(self.enhance32(f32, at32) + self.mean(f32, mean), like=f16))
        c8 = self.refine16(enlarge(self.enhance16(f16, at16) + c16, like=spatial))
        return c8, c16


def _initialise(module: nn.Module) -> None:
    """Start as published: normal weights that keep the variance; the projections of attention stay as they are."""
    if isinstance(module, ConvUnit):
        nn.init.kaiming_normal_(module.conv.weight, a=1)
    elif isinstance(module, ConvHead):
        nn.init.kaiming_normal_(module.classify.weight, a=1)
        assert module.classify.bias is not None
        nn.init.zeros_(module.classify.bias)
