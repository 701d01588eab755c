"""MANet, Multiattention Network: the skeleton of MAResU-Net with a lighter attention block.

Source: Li et al. 2021, IEEE TGRS, doi 10.1109/TGRS.2021.3093977, arXiv:2009.02130. Follows the published code: no
residual path around the decoder blocks. Not the "MA-Net" of segmentation_models_pytorch.

Shapes: N samples, C channels, H rows, W columns.
"""

from __future__ import annotations

from torch import Tensor, nn

from rsseg.models.attention import KernelAttention
from rsseg.models.attention_unet import AttentionBlock, AttentionUNet


class MANetAttention(AttentionBlock):
    """Kernel position attention plus channel attention, both with their residual.

    Shape: (N, C, H, W) to the same. With both scales at zero it returns 2 x, as published.
    """

    def __init__(self, channels: int, *, energy_positions: float | None = None) -> None:
        super().__init__(nn.Identity(), KernelAttention(channels), energy_positions=energy_positions)

    def _join(self, position: Tensor, channel: Tensor) -> Tensor:
        return position + channel


class MANet(AttentionUNet):
    """MANet with an encoder of one's choice; see `AttentionUNet` for shapes and contexts.

    Args:
        encoder: a key of `rsseg.models.encoders.ENCODERS`; the paper's is `resnet50`.
        bands: input channels.
        classes: output channels.
        energy_positions: makes channel attention independent of the image's size: the number of pixels of the
            images the network was trained on, from which each attention block takes its own number of positions.
    """

    def __init__(
        self,
        *,
        encoder: str = "resnet50",
        bands: int = 3,
        classes: int,
        energy_positions: int | None = None,
    ) -> None:
        super().__init__(
            encoder,
            bands=bands,
            classes=classes,
            attention=MANetAttention,
            energy_positions=energy_positions,
        )
