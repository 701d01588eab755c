"""Trained weights: one safetensors file with tensors and a card that says all that prediction must know.

Loading never executes anything: other formats are refused, not unpickled. Torch is imported only where tensors are
touched: it takes over a second, and a refusal must not wait for it.
"""

from rsseg.weights.card import WeightCard, build_from_card, init_weights, with_scores
from rsseg.weights.files import CARD_KEY, Weights, read_card, save_weights
from rsseg.weights.store import (
    IndexEntry,
    default_weights,
    find_weights,
    list_weights,
    load_card,
    load_network,
    load_weights,
    verify_weights,
)

__all__ = [
    "CARD_KEY",
    "IndexEntry",
    "WeightCard",
    "Weights",
    "build_from_card",
    "default_weights",
    "find_weights",
    "init_weights",
    "list_weights",
    "load_card",
    "load_network",
    "load_weights",
    "read_card",
    "save_weights",
    "verify_weights",
    "with_scores",
]
