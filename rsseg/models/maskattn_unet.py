"""MaskAttn-UNet: a U-Net with self-attention at most scales, to those positions only that a mask leaves active.

Source: MaskAttn-UNet 2025, arXiv:2503.10686, and its published code. The two disagree, so there are two networks:
`MaskAttnUNet` is what the paper describes, with a mask that is learned, and `PublishedMaskAttnUNet` is what the code
computes. What they share is the skeleton.

Attention is quadratic in the positions, so no context of it adds up over tiles.

Shapes: N samples, B bands, C channels, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.attention import MaskAttention, PublishedMaskAttention
from rsseg.models.context import AnyContext
from rsseg.models.network import Network, pad_to_multiple

WIDTH = 64
"""Channels of the first and of the last map."""

DROPOUT = 0.3


class DoubleConv(nn.Sequential):
    """3 x 3 convolution, batch norm, GELU, 3 x 3 convolution, batch norm: C channels to `inner`, then to `out`."""

    def __init__(self, channels: int, out: int, *, inner: int | None = None) -> None:
        inner = inner or out
        super().__init__(
            nn.Conv2d(channels, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.GELU(),
            nn.Conv2d(inner, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )


class Residual(DoubleConv):
    """A double convolution whose result is added to its input, then GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return functional.gelu(x + super().forward(x))  # type: ignore[no-untyped-call]


class Down(nn.Sequential):
    """Halve height and width by max pooling, then mix: C channels to `out`."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(nn.MaxPool2d(2), *_mix(channels, out, inner=out))


class Up(nn.Module):
    """Double height and width, join with the skip, mix.

    As published, the bilinear sampling lays the corner pixels of both grids on one another, so that how it samples
    depends on the size of the map.
    """

    def __init__(self, channels: int, out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.mix = nn.Sequential(*_mix(channels, out, inner=channels // 2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join `skip` (N, A, 2 H, 2 W) with `x` (N, C - A, H, W) to (N, out, 2 H, 2 W)."""
        raised = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        y: Tensor = self.dropout(self.mix(torch.cat([skip, raised], dim=1)))
        return y


def _mix(channels: int, out: int, *, inner: int) -> tuple[nn.Module, ...]:
    """A residual block, a double convolution and one more batch norm."""
    return Residual(channels), DoubleConv(channels, out, inner=inner), nn.BatchNorm2d(out)


class MaskAttnSkeleton(Network):
    """Three halvings and three doublings, skips by concatenation, attention at each of the resulting scales.

    Subclasses give the `norm` of the last map and the `head`.

    Args:
        bands: input channels.
        attention: makes the attention for so many channels.
        full_attention: attention also where the published code has none: after the first block, at the input's size,
            and after the bottleneck.
    """

    stride: ClassVar[int] = 8
    padding: ClassVar[int] = 8
    context_passes: ClassVar[int | None] = None

    norm: nn.Module

    def __init__(
        self, *, bands: int, attention: Callable[[int], nn.Module], full_attention: bool = False
    ) -> None:
        super().__init__()
        at_ends = attention if full_attention else _no_attention
        self.down = nn.ModuleList(
            [DoubleConv(bands, WIDTH), Down(WIDTH, 128), Down(128, 256), Down(256, 256)]
        )
        self.down_attention = nn.ModuleList([at_ends(WIDTH), attention(128), attention(256), attention(256)])
        self.bottom = nn.Sequential(DoubleConv(256, 512), DoubleConv(512, 512), DoubleConv(512, 256))
        self.bottom_attention = at_ends(256)
        self.up = nn.ModuleList([Up(512, 128, dropout=DROPOUT), Up(256, 64, dropout=DROPOUT), Up(128, WIDTH)])
        self.up_attention = nn.ModuleList([attention(128), attention(64), attention(WIDTH)])

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the features of the four scales, and last what `_attend` has left for the decoder, if anything."""
        features, before = [], None
        for block, attention in zip(self.down, self.down_attention, strict=True):
            x, before = self._attend(attention, block(x), before)
            features.append(x)
        return features if before is None else [*features, before]

    def decode(
        self,
        features: Sequence[Tensor],
        contexts: Sequence[AnyContext] | None = None,  # noqa: ARG002 - there are none
    ) -> Sequence[Tensor]:
        """Join the features, from the coarsest to the finest, to one normalised map of the input's size."""
        x1, x2, x3, x4, *left = features
        x, before = self._attend(self.bottom_attention, self.bottom(x4), left[0] if left else None)
        for up, attention, skip in zip(self.up, self.up_attention, (x3, x2, x1), strict=True):
            x, before = self._attend(attention, up(x, skip), before)
        return (self.norm(x),)

    def _attend(
        self,
        attention: nn.Module,
        x: Tensor,
        before: Tensor | None,  # noqa: ARG002 - for subclasses
    ) -> tuple[Tensor, Tensor | None]:
        """Apply an attention module to `x`, given what the preceding one left; give what this one leaves as well."""
        return attention(x), None


def _no_attention(_: int) -> nn.Module:
    return nn.Identity()


class MaskAttnUNet(MaskAttnSkeleton):
    """MaskAttn-UNet as the paper means it: any size, a mask computed from the features and learned.

    What the public material leaves open is decided here: the last layer norm takes each pixel by itself, so that any
    size will do, and a plain 1 x 1 convolution follows; for the masks see `MaskAttention`.

    Args:
        bands: input channels.
        classes: output channels.
        full_attention: attention also after the first block, at the input's size, and after the bottleneck.
        mask_source: whether a module masks by its `own` probabilities, or by those of the `previous` module, resized
            (the first one by its own); the public material can be read either way.
        max_tokens: larger maps attend within windows of at most so many positions.
        embeddings: channels of an embedding head for telling instances apart, 0 for none; see `embed`.

    Raises:
        OptionError: `mask_source` is something else, or a number is too small.
    """

    def __init__(
        self,
        *,
        bands: int = 3,
        classes: int,
        full_attention: bool = False,
        mask_source: Literal["own", "previous"] = "own",
        max_tokens: int = 16384,
        embeddings: int = 0,
    ) -> None:
        if mask_source not in ("own", "previous"):
            raise OptionError(f"mask_source is {mask_source!r}; it must be 'own' or 'previous'")
        if embeddings < 0:
            raise OptionError(f"embeddings is {embeddings}; it must be at least 0")

        super().__init__(
            bands=bands,
            attention=lambda channels: MaskAttention(channels, max_tokens=max_tokens),
            full_attention=full_attention,
        )
        self.mask_source = mask_source
        if mask_source == "previous":
            del self.up_attention[-1].mask  # no module follows to use it
        self.norm = PixelNorm(WIDTH)
        self.head = nn.Conv2d(WIDTH, classes, kernel_size=1)
        self.embedding = nn.Conv2d(WIDTH, embeddings, kernel_size=1) if embeddings else None

    def embed(self, x: Tensor) -> Tensor:
        """Compute the embeddings (N, E, H, W) of an image (N, B, H, W).

        For loops of one's own: no command calls it, so `rsseg train` leaves its head as it was made, and the logits
        do not depend on it. It takes a whole pass of its own. `rsseg.training.contrastive` has the loss that trains it.

        Raises:
            OptionError: the network was built without.
        """
        if self.embedding is None:
            raise OptionError(
                "MaskAttnUNet: has no embeddings", hint="build it with embeddings=16, for instance"
            )
        maps = self.decode(self.encode(pad_to_multiple(x, self.padding)))
        return self.fit(self.embedding(maps[0]), height=x.shape[2], width=x.shape[3])

    def _attend(self, attention: nn.Module, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.mask_source == "own" or not isinstance(attention, MaskAttention):
            return attention(x), before
        own = None if attention is self.up_attention[-1] else attention.mask_probs(x)
        probs = own if before is None else functional.interpolate(before, size=x.shape[2:], mode="bilinear")
        return attention(x, probs), own


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of every pixel by itself; (N, C, H, W) to the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the norm."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class PublishedMaskAttnUNet(MaskAttnSkeleton):
    """MaskAttn-UNet as the published code computes it, for images of 128 x 128 pixels.

    The masks are no weights: the code draws them at random when they are first used. Here every position is active
    until the `mask` of the attention modules is set. Batch norm and ReLU make the last map the logits, which so are
    never negative.

    Args:
        bands: input channels.
        classes: output channels.
        permute: mend the last step of attention, which as published mixes up positions and channels.
    """

    padding: ClassVar[int] = 1
    side: ClassVar[int] = 128

    def __init__(self, *, bands: int = 3, classes: int, permute: bool = False) -> None:
        super().__init__(
            bands=bands, attention=lambda channels: PublishedMaskAttention(channels, permute=permute)
        )
        self.norm = nn.LayerNorm((WIDTH, self.side, self.side))
        self.head = nn.Sequential(
            nn.Conv2d(WIDTH, classes, kernel_size=1), nn.BatchNorm2d(classes), nn.ReLU()
        )

    def encode(self, x: Tensor) -> Sequence[Tensor]:
        """Compute the features of the four scales.

        Raises:
            OptionError: the input is no square of 128 pixels.
        """
        height, width = x.shape[2:]
        if (height, width) != (self.side, self.side):
            raise OptionError(
                f"maskattn-unet-published: takes {self.side} x {self.side} px only, found {width} x {height}",
                hint="use maskattn-unet, which takes any size",
            )
        return super().encode(x)
