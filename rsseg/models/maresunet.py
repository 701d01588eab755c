"""MAResU-Net: a U-shaped network with linear position attention and channel attention on every skip.

Source: Li et al. 2022, IEEE GRSL 19, 8009205, arXiv:2011.14302. Follows the published code, whose attention block has
dropout where the paper's figure has batch norm (`attention_norm="batch"`).

Shapes: N samples, C channels, H rows, W columns.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from rsseg.errors import OptionError
from rsseg.models.attention import LinearAttention
from rsseg.models.attention_unet import AttentionBlock, AttentionUNet
from rsseg.models.blocks import ConvUnit

DROPOUT = 0.1


class MAResUNetAttention(AttentionBlock):
    """A 3 x 3 convolution, then position and channel attention side by side, mixed and added.

    Shape: (N, C, H, W) to the same; the input is not added back.
    """

    def __init__(self, channels: int, *, norm: bool = False, energy_positions: float | None = None) -> None:
        super().__init__(
            ConvUnit(nn.Conv2d(channels, channels, 3, padding=1), norm=norm),
            LinearAttention(channels),
            energy_positions=energy_positions,
        )
        self.dropout = nn.Identity() if norm else nn.Dropout2d(DROPOUT)
        self.position_out = ConvUnit(nn.Conv2d(channels, channels, 1), norm=norm)
        self.channel_out = ConvUnit(nn.Conv2d(channels, channels, 1), norm=norm)
        self.out = ConvUnit(nn.Conv2d(channels, channels, 1), norm=norm)

    def _join(self, position: Tensor, channel: Tensor) -> Tensor:
        joined = self.position_out(self.dropout(position)) + self.channel_out(self.dropout(channel))
        y: Tensor = self.out(self.dropout(joined))
        return y


class MAResUNet(AttentionUNet):
    """MAResU-Net with an encoder of one's choice; see `AttentionUNet` for shapes and contexts.

    Args:
        encoder: a key of `rsseg.models.encoders.ENCODERS`; the paper's is `resnet34`.
        bands: input channels.
        classes: output channels.
        attention_norm: `none` as in the published code, or `batch` as in the paper's figure, which then
            replaces the dropout.
        energy_positions: makes channel attention independent of the image's size: the number of pixels of the
            images the network was trained on, from which each attention block takes its own number of positions.

    Raises:
        OptionError: `attention_norm` is something else.
    """

    def __init__(
        self,
        *,
        encoder: str = "resnet34",
        bands: int = 3,
        classes: int,
        attention_norm: Literal["none", "batch"] = "none",
        energy_positions: int | None = None,
    ) -> None:
        if attention_norm not in ("none", "batch"):
            raise OptionError(f"attention_norm is {attention_norm!r}; it must be 'none' or 'batch'")

        super().__init__(
            encoder,
            bands=bands,
            classes=classes,
            attention=partial(MAResUNetAttention, norm=attention_norm == "batch"),
            energy_positions=energy_positions,
        )
