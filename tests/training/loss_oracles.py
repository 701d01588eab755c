"""Slow, obvious versions of the losses: their definitions, pixel by pixel, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Pixels = Sequence[tuple[NDArray[np.float64], int]]
"""(probabilities, label) of each labelled pixel."""


def pixels_of(logits: Tensor, labels: Tensor) -> Pixels:
    """The labelled pixels of logits (N, K, H, W) and labels (N, H, W)."""
    n, _, h, w = logits.shape
    values = logits.detach().double().numpy()
    places = [(i, r, c) for i in range(n) for r in range(h) for c in range(w)]
    return [
        (_softmax(values[i, :, r, c]), int(labels[i, r, c])) for i, r, c in places if labels[i, r, c] != 255
    ]


def cross_entropy(pixels: Pixels, *, label_smoothing: float = 0.0) -> float:
    """The mean of -sum_k t_k log p_k, the truth t with its smoothed share spread over all classes."""
    terms = []
    for probs, label in pixels:
        truth = np.full(len(probs), label_smoothing / len(probs))
        truth[label] += 1 - label_smoothing
        terms.append(-(truth * np.log(probs)).sum())
    return float(np.mean(terms))


def dice(pixels: Pixels, *, smooth: float = 0.0) -> float:
    """1 - Dice with soft counts, the mean over the classes present."""
    terms = []
    for k in sorted({label for _, label in pixels}):
        overlap = sum(p[k] for p, label in pixels if label == k)
        total = sum(p[k] + (label == k) for p, label in pixels)
        terms.append(1 - (2 * overlap + smooth) / (total + smooth))
    return float(np.mean(terms))


def ohem(pixels: Pixels, *, threshold: float, least: int) -> float:
    """The mean of the losses above -log threshold if they are more than `least`, else of the `least` largest."""
    losses = sorted((-math.log(p[label]) for p, label in pixels), reverse=True)
    hard = [loss for loss in losses if loss > -math.log(threshold)]
    return float(np.mean(hard if len(hard) > least else losses[:least]))


def focal(pixels: Pixels, *, gamma: float) -> float:
    """Lin et al. 2017, equation 4: the mean of -(1 - p)^gamma log p."""
    return float(np.mean([-((1 - p[label]) ** gamma) * math.log(p[label]) for p, label in pixels]))


def lovasz(pixels: Pixels) -> float:
    """Berman et al. 2018: the Lovasz extension of the Jaccard loss at the errors, the mean over the classes present.

    The extension (their equation 6) adds the pixels by falling error, each with its error times what it adds to the
    Jaccard loss of the set of pixels taken for wrong: its size over the size of its union with the class (equation 5).
    """
    terms = []
    for k in sorted({label for _, label in pixels}):
        truth = {i for i, (_, label) in enumerate(pixels) if label == k}
        errors = [1 - p[k] if label == k else p[k] for p, label in pixels]
        wrong: set[int] = set()
        before = total = 0.0
        for i in sorted(range(len(pixels)), key=lambda i: -errors[i]):
            wrong.add(i)
            after = len(wrong) / len(truth | wrong)
            total += errors[i] * (after - before)
            before = after
        terms.append(total)
    return float(np.mean(terms))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
