"""Trained weights: one safetensors file with tensors and a card that says all that prediction must know.

An ONNX file that `rsseg export` made of them can stand in their place. Loading never executes anything: other formats
are refused, not unpickled. Torch is imported only where tensors are touched: it takes over a second, and a refusal
must not wait for it.
"""

from rsseg.weights.card import CARD_KEY, WeightCard, build_from_card, init_weights, with_scores
from rsseg.weights.files import Limits, Weights, build_unfilled, read_card, read_limits, save_weights
from rsseg.weights.store import (
    IndexEntry,
    default_weights,
    find_tensors,
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
    "Limits",
    "WeightCard",
    "Weights",
    "build_from_card",
    "build_unfilled",
    "default_weights",
    "find_tensors",
    "find_weights",
    "init_weights",
    "list_weights",
    "load_card",
    "load_network",
    "load_weights",
    "read_card",
    "read_limits",
    "save_weights",
    "verify_weights",
    "with_scores",
]
