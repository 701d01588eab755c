"""What a network's scores become in the rasters that are written: class ids, and probabilities in 8 bits.

Shapes: N tiles, K classes, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rsseg.classes import NODATA_CLASS
from rsseg.raster.layers import CERTAIN, CLASSES, CONFIDENCE, PROBABILITIES


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """How classes are decided, and what is told besides.

    Args:
        threshold: of two classes, the id of one and the probability from which on it is taken; None: the more probable.
        layers: what to give besides the classes: `probabilities` of all classes, `confidence` in the decided one.
    """

    threshold: tuple[int, float] | None = None
    layers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        assert self.layers <= {PROBABILITIES, CONFIDENCE}
        assert self.threshold is None or self.threshold[0] in (0, 1)

    @property
    def needs_probabilities(self) -> bool:
        """Whether the order of the scores does not say all."""
        return self.threshold is not None or bool(self.layers)


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the classes of (N, K, H, W), in float32 whatever the logits are."""
    return torch.softmax(logits.float(), dim=1)


def decide(
    scores: Tensor, wanted: Tensor, rule: DecisionRule, *, are_probabilities: bool
) -> dict[str, Tensor]:
    """Decide every pixel; equal scores go to the lower class id, and the layers asked for never change the classes.

    Args:
        scores: (N, K, H, W), logits or probabilities; with a threshold K is 2.
        wanted: (N, H, W), True where a pixel is to be decided.
        rule: what to decide and to tell.
        are_probabilities: whether the scores already are.

    Returns:
        By name, uint8 on the device of the scores, 255 where not wanted: `classes` (N, 1, H, W), and where asked for
        `probabilities` (N, K, H, W) and `confidence` (N, 1, H, W), in which 0 to 254 stand for 0 to 1.
    """
    layers: dict[str, Tensor] = {}
    if not rule.needs_probabilities:
        layers[CLASSES] = _most_probable(scores)
    else:
        probs = scores.float() if are_probabilities else probabilities(scores)
        if rule.threshold is None:
            layers[CLASSES], sure = _most_probable(scores), probs.amax(1, keepdim=True)
        else:
            layers[CLASSES], sure = _at_threshold(probs, *rule.threshold)
        if PROBABILITIES in rule.layers:
            layers[PROBABILITIES] = _in_8_bits(probs)
        if CONFIDENCE in rule.layers:
            layers[CONFIDENCE] = _in_8_bits(sure)
    missing = ~wanted.unsqueeze(1)  # (N, 1, H, W)
    return {name: layer.masked_fill_(missing, NODATA_CLASS) for name, layer in layers.items()}


def _most_probable(scores: Tensor) -> Tensor:
    if scores.shape[1] == 2:  # ten times quicker than to ask for a maximum
        return (scores[:, 1:] > scores[:, :1]).to(torch.uint8)
    # Classes last: argmax over the fastest dimension is several times quicker on a CPU, copying included.
    classes_last = scores.permute(0, 2, 3, 1).contiguous()
    return classes_last.argmax(-1).to(torch.uint8).unsqueeze(1)


def _at_threshold(probs: Tensor, chosen: int, least: float) -> tuple[Tensor, Tensor]:
    """Which of two classes is taken, and how probable it is."""
    of_chosen, of_other = probs[:, chosen, None], probs[:, 1 - chosen, None]  # (N, 1, H, W)
    taken = of_chosen >= least
    classes = torch.where(taken, chosen, 1 - chosen).to(torch.uint8)
    return classes, torch.where(taken, of_chosen, of_other)


def _in_8_bits(probs: Tensor) -> Tensor:
    return (probs * CERTAIN).round_().to(torch.uint8).contiguous()
