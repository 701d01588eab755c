"""Weights to export: made-up ones whose attention matters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from rsseg.classes import ClassTable
from rsseg.models import efficientnet, resnet
from rsseg.models.registry import network_entry
from rsseg.preprocess import default_scaling
from rsseg.weights import Weights, build_from_card, load_weights, save_weights
from rsseg.weights.card import new_card
from tests.models.making import filled

SHALLOW = ("resnet18", resnet.Layout(resnet.BasicBlock, (1, 1, 1, 1)))
"""A ResNet-18 with one block in each stage, to be set in `resnet.LAYOUTS`: what its others would add is time."""

SHALLOW_LITE = ("efficientnet-lite0", efficientnet.Layout(1.0, 0.25))
"""Likewise, in `efficientnet.LAYOUTS`."""


def make_weights(
    path: Path, architecture: str, *, encoder: str = "", tile: int = 64, **options: int
) -> Weights:
    """Write seeded weights of a network, with its smallest ResNet unless an encoder is given, and load them."""
    card = new_card(
        architecture,
        encoder=encoder or next(iter(network_entry(architecture).sizes)),
        classes=ClassTable.unnamed(3),
        scaling=default_scaling(3),
        description="made up",
    )
    card = replace(card, tile=network_entry(architecture).side or tile, halo=0, network_options=options)
    save_weights(path, filled(build_from_card(card), dtype=torch.float32), card)
    return load_weights(str(path))
