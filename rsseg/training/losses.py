"""What training makes small: cross-entropy and Dice over the pixels that are labelled.

Shapes: N samples, K classes, H rows, W columns. Labels are class ids, 255 is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.classes import IGNORE_INDEX


def segmentation_loss(logits: Tensor, labels: Tensor, *, dice: float) -> Tensor:
    """Cross-entropy plus `dice` times the Dice loss, in float32 whatever the logits' type.

    Args:
        logits: (N, K, H, W).
        labels: (N, H, W) int64.
        dice: weight of the Dice loss; 0 leaves it out.

    Returns:
        A scalar; 0 where no pixel is labelled.
    """
    logits = logits.float()
    loss = cross_entropy(logits, labels)
    return loss + dice * dice_loss(logits, labels) if dice else loss


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the labelled pixels; 0, not NaN, where there are none."""
    total = functional.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss: 1 - 2 |P * Y| / (|P| + |Y|), the mean over the classes present in the batch.

    Sums run over all labelled pixels of the batch together, so small samples of a class do not dominate.
    Source: Milletari et al. 2016, arXiv:1606.04797, section 3, with |P| for |P|^2.

    Args:
        logits: (N, K, H, W) float32.
        labels: (N, H, W) int64.

    Returns:
        A scalar from 0 to 1; 0 where no pixel is labelled.
    """
    valid = (labels != IGNORE_INDEX).unsqueeze(1)  # (N, 1, H, W)
    classes = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    truth = labels.unsqueeze(1) == classes  # (N, K, H, W)
    probs = logits.softmax(dim=1) * valid
    overlap = (probs * truth).sum(dim=(0, 2, 3))  # (K,)
    true_pixels = truth.sum(dim=(0, 2, 3))
    score = 2 * overlap / (probs.sum(dim=(0, 2, 3)) + true_pixels).clamp(min=1e-6)
    present = true_pixels > 0
    return ((1 - score) * present).sum() / present.sum().clamp(min=1)
