"""The instance-contrastive loss of MaskAttn-UNet: pixels of one instance lie closer together than to any other.

Shapes: N images, E numbers that embed a pixel, H rows, W columns, T triplets.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.classes import IGNORE_INDEX

STUFF = 0
"""The id of pixels that are labelled and belong to no instance."""


def instance_contrastive_loss(embedding: Tensor, instances: Tensor, *, generator: torch.Generator) -> Tensor:
    """Triplet margin loss (p = 2, margin 1), the mean over the instances of at least two pixels.

    For each of them two distinct pixels are drawn as anchor and positive, and as negative a pixel of the same image
    that belongs to another instance or to none. An instance that is all that is labelled in its image has no negative
    and is left out.

    Source: arXiv:2503.10686, as the published code means it: that code mixes the images of a batch and always takes
    an instance's first two pixels.

    Args:
        embedding: (N, E, H, W); computed in float32 whatever its type.
        instances: (N, H, W) int64: 0 is stuff, 255 is void and never drawn, any other id an instance of its image.
        generator: draws the triplets, on the CPU, so that they are the same on every device.

    Returns:
        A scalar; 0, with a gradient of 0, where no instance counts.
    """
    places = torch.tensor(list(_draw_triplets(instances, generator)), dtype=torch.int64)
    places = places.reshape(-1, 3).to(embedding.device)  # (T, 3)
    pixels = embedding.float().permute(0, 2, 3, 1).flatten(0, 2)  # (N * H * W, E)
    anchor, positive, negative = (pixels[column] for column in places.unbind(dim=1))
    losses = functional.triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, reduction="none")
    return losses.sum() / max(1, len(losses))


def _draw_triplets(instances: Tensor, generator: torch.Generator) -> Iterator[list[int]]:
    """Places of anchor, positive and negative among the N * H * W pixels, for each instance that has them."""
    for image, ids in enumerate(instances.flatten(1).cpu()):
        for instance in ids.unique().tolist():
            if instance in (STUFF, IGNORE_INDEX):
                continue
            own = (ids == instance).nonzero().flatten()
            others = ((ids != instance) & (ids != IGNORE_INDEX)).nonzero().flatten()
            if len(own) < 2 or not len(others):
                continue
            first, second = torch.randperm(len(own), generator=generator)[:2].tolist()
            other = int(torch.randint(len(others), (1,), generator=generator))
            drawn = torch.stack((own[first], own[second], others[other])) + image * len(ids)
            yield drawn.tolist()
