"""Weights for other classes: all is kept but what belongs to a class, and of that the classes with the same name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rsseg.classes import ClassTable
from rsseg.models.network import Network
from rsseg.weights import WeightCard, Weights, build_unfilled


def fill_from_other_classes(network: Network, card: WeightCard, weights: Weights) -> tuple[str, ...]:
    """Fill a network with weights of the same architecture, encoder and bands, but of other classes.

    The rows of all heads, main and auxiliary, that give the logits of a class are copied where the weights have a class
    of its name; the other rows stay as they are. All other tensors are copied.

    Args:
        network: what `card` describes, untrained.
        card: with the new classes.
        weights: with the old ones.

    Returns:
        The names of the classes that both have.
    """
    old, new = weights.card.classes.names, card.classes.names
    shared = tuple(name for name in new if name in old)
    taken = [old.index(name) for name in shared]
    filled = [new.index(name) for name in shared]
    tensors, by_class = weights.network.state_dict(), set(_class_tensors(card))
    for name, tensor in network.state_dict().items():
        if name in by_class:  # a class has one row or several side by side, as where pixels are shuffled
            tensor.unflatten(0, (len(new), -1))[filled] = tensors[name].unflatten(0, (len(old), -1))[taken]
        else:
            tensor.copy_(tensors[name])
    return shared


def _class_tensors(card: WeightCard) -> Iterator[str]:
    """The tensors whose size depends on the number of classes."""
    other = replace(card, classes=ClassTable.unnamed(2 if len(card.classes) == 1 else 1))
    left, right = (build_unfilled(c).state_dict() for c in (card, other))
    return (name for name in left if left[name].shape != right[name].shape)
