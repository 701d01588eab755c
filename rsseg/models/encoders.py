"""The encoders by name: four features, at strides 4, 8, 16 and 32, for any number of bands.

Shapes: B bands, C channels, K rows and columns of a filter.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rsseg.models import efficientnet, resnet
from rsseg.models.efficientnet import EfficientNetLite
from rsseg.models.resnet import ResNet

Encoder = ResNet | EfficientNetLite

STRIDES = (4, 8, 16, 32)
"""Input pixels per feature position, stage by stage."""

ENCODERS: dict[str, type[ResNet] | type[EfficientNetLite]] = {
    **dict.fromkeys(resnet.LAYOUTS, ResNet),
    **dict.fromkeys(efficientnet.LAYOUTS, EfficientNetLite),
}


def build_encoder(name: str, *, bands: int) -> Encoder:
    """Build an untrained encoder: (N, bands, H, W) to a feature (N, C_i, H / s, W / s) for each s of `STRIDES`.

    Args:
        name: a key of `ENCODERS`.
        bands: input channels.
    """
    return ENCODERS[name](name, bands=bands)


def encoder_name(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The encoder that tensors with these names and shapes belong to, whatever stands before the names; or None."""
    return resnet.layout_name(shapes) or efficientnet.layout_name(shapes)


def repeat_bands(filters: Tensor, *, bands: int) -> Tensor:
    """Adapt filters (C, B, K, K) of a first convolution to another number of bands.

    The B bands are repeated in turn and weighed by B / `bands`, so that sums over bands keep their size. For B bands
    the filters stay as they are.
    """
    found = filters.shape[1]
    return filters[:, torch.arange(bands) % found] * (found / bands)
