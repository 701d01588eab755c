"""State dicts as others would write them, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rsseg.models.resnet import ResNet


def torchvision_state(encoder: str = "resnet18", *, bands: int = 3) -> dict[str, Tensor]:
    """What torchvision's file of a ResNet holds: no counters of batches, and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = ResNet(encoder, bands=bands)
    kept = {name: t for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    return {**kept, "fc.weight": torch.ones(10, network.channels[-1]), "fc.bias": torch.zeros(10)}


def write_torchvision(path: Path, encoder: str = "resnet18", *, bands: int = 3) -> dict[str, Tensor]:
    """Write that file, and give what it holds."""
    state = torchvision_state(encoder, bands=bands)
    torch.save(state, path)
    return state
