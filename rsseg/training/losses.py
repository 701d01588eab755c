"""What training makes small, over the pixels that are labelled.

Every loss is computed in float32 whatever the logits' type, leaves the pixels labelled 255 out, and is 0, with a
gradient of 0, where no pixel is labelled.

Shapes: N samples, K classes, H rows, W columns, P labelled pixels. Logits are (N, K, H, W), labels (N, H, W) int64
class ids; a loss is a scalar.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.classes import IGNORE_INDEX
from rsseg.models.network import Logits
from rsseg.training.options import LossOptions
from rsseg.training.world import ALONE, World


def segmentation_loss(
    logits: Logits, labels: Tensor, *, options: LossOptions, world: World = ALONE
) -> Tensor:
    """The loss of the main head plus `aux_weight` times that of each auxiliary head.

    Of several processes each has a part of the batch; the mean of what they get is the loss of the whole. That is
    exact for cross-entropy, the focal loss and Dice, value and gradient. Hard pixels are looked for, and the Lovasz
    loss is taken, in each process by itself: then it is the mean over processes, by how many labelled pixels they have.
    """
    share = _share(labels, world)
    loss = _loss_of_head(logits.main, labels, options, share, world)
    if options.aux_weight:
        for auxiliary in logits.auxiliary:
            loss = loss + options.aux_weight * _loss_of_head(auxiliary, labels, options, share, world)
    return loss


def count_labelled(labels: Tensor) -> Tensor:
    """How many pixels are learnt from, as a scalar on the device of the labels."""
    return _labelled(labels).sum()


def _share(labels: Tensor, world: World) -> Tensor | float:
    """How many labelled pixels this process has, as a multiple of the mean over all."""
    if world.size == 1:
        return 1.0
    here = count_labelled(labels)
    return world.size * here / world.sum(here).clamp(min=1)


def _loss_of_head(
    logits: Tensor, labels: Tensor, options: LossOptions, share: Tensor | float, world: World
) -> Tensor:
    """The chosen loss plus `dice` times the Dice loss; a weight of 0 leaves that out."""
    loss = _chosen_loss(logits, labels, options) * share
    return loss + options.dice * dice_loss(logits, labels, world=world) if options.dice else loss


def _chosen_loss(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    if options.name == "ohem":
        return ohem_loss(logits, labels, threshold=options.ohem_threshold, kept=options.ohem_kept)
    if options.name == "focal":
        return focal_loss(logits, labels, gamma=options.focal_gamma)
    if options.name == "lovasz":
        return lovasz_loss(logits, labels)
    return cross_entropy(logits, labels, label_smoothing=options.label_smoothing)


def cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of the labelled pixels.

    `label_smoothing` is the share of the truth that is spread evenly over all classes (Szegedy et al. 2016,
    arXiv:1512.00567, section 7).
    """
    total = functional.cross_entropy(
        logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum", label_smoothing=label_smoothing
    )
    return total / count_labelled(labels).clamp(min=1)


def dice_loss(logits: Tensor, labels: Tensor, *, smooth: float = 0.0, world: World = ALONE) -> Tensor:
    """Soft Dice loss: 1 - (2 |P * Y| + smooth) / (|P| + |Y| + smooth), the mean over the classes present in the batch.

    Sums run over all labelled pixels of the batch together, so small samples of a class do not dominate; also over
    those of other processes, which all get the same loss.
    Source: Milletari et al. 2016, arXiv:1606.04797, section 3, with |P| for |P|^2.
    """
    valid = _labelled(labels).unsqueeze(1)  # (N, 1, H, W)
    classes = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    truth = labels.unsqueeze(1) == classes  # (N, K, H, W)
    probs = logits.float().softmax(dim=1) * valid
    sums = torch.stack([(probs * truth).sum(dim=(0, 2, 3)), probs.sum(dim=(0, 2, 3))])  # (2, K)
    overlap, guessed = world.sum_with_gradient(sums).unbind()
    true_pixels = world.sum(truth.sum(dim=(0, 2, 3)))
    total = guessed + true_pixels
    score = (2 * overlap + smooth) / (total + smooth).clamp(min=1e-6)
    present = true_pixels > 0
    return ((1 - score) * present).sum() / present.sum().clamp(min=1)


def ohem_loss(logits: Tensor, labels: Tensor, *, threshold: float, kept: float) -> Tensor:
    """Mean cross-entropy of the hard pixels: online hard example mining.

    Hard are the labelled pixels whose true class has a probability below `threshold`; if they are fewer than the share
    `kept` of the labelled pixels, then so many of the hardest.

    Source: Shrivastava et al. 2016, arXiv:1604.03540, in the form of AttaNet's training. Departure: there the least
    number is half the pixels of one crop, whatever the batch, and ignored pixels fill it up with zeros; here it is a
    share of what is labelled, so it grows with the batch. The default of 1/16 is GeoSeg's: half a crop of 8.
    """
    losses = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="none")
    losses = losses[_labelled(labels)]  # (P,)
    least = max(1, round(kept * len(losses)))
    hard = int((losses > -math.log(threshold)).sum())
    hardest = losses.topk(min(max(hard, least), len(losses)), sorted=False).values
    return hardest.sum() / max(1, len(hardest))


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """Mean of (1 - p)^gamma times the cross-entropy, p the probability of the true class; gamma = 0 is cross-entropy.

    Source: Lin et al. 2017, arXiv:1708.02002, equation 4, for the probabilities of a softmax.
    """
    from kornia.losses import focal_loss as kornia_focal_loss

    terms = kornia_focal_loss(logits.float(), labels, alpha=None, gamma=gamma, ignore_index=IGNORE_INDEX)
    return terms.sum() / count_labelled(labels).clamp(min=1)


def lovasz_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovasz-softmax loss: what the error of IoU becomes for probabilities, the mean over the classes present.

    The pixels of the whole batch count together, as they do in the score.
    Source: Berman et al. 2018, arXiv:1705.08790, equation 11.
    """
    from kornia.losses import lovasz_softmax_loss

    labelled = _labelled(labels)
    ids = labels[labelled]  # (P,)
    chosen = logits.float().permute(0, 2, 3, 1)[labelled]  # (P, K)
    classes = chosen.shape[1]
    if not len(ids) or classes == 1:  # a single class is never wrong
        return chosen.sum() * 0.0
    present = torch.bincount(ids, minlength=classes) > 0
    weight = present * (classes / present.sum())  # kornia takes the mean over all classes
    return lovasz_softmax_loss(chosen.T[None, :, :, None], ids[None, :, None], weight=weight)


def _labelled(labels: Tensor) -> Tensor:
    return labels != IGNORE_INDEX
