"""Networks with made-up weights and maps of features for the tests of this folder."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from rsseg.models.network import Network
from rsseg.models.registry import build_network, network_entry
from tests.models.published import normal, weight_rule

Module = TypeVar("Module", bound=nn.Module)


def filled(module: Module, *, dtype: torch.dtype = torch.float64) -> Module:
    """Give a module the same weights every time, all attention scales far from zero, and set it to eval mode."""
    rng = np.random.Generator(np.random.PCG64(0))
    weights = {}
    for name, tensor in module.state_dict().items():
        # Uniform numbers of variance 1: a network has millions of weights, and normal ones take seconds.
        z = (rng.random(tuple(tensor.shape), dtype=np.float32) - np.float32(0.5)) * np.float32(12**0.5)
        made = torch.from_numpy(np.asarray(weight_rule(name, z, gain=1.25)))
        weights[name] = made if tensor.is_floating_point() else torch.zeros_like(tensor)
    module.load_state_dict(weights)
    return module.to(dtype).eval()


def network(
    architecture: str, *, bands: int = 3, classes: int = 4, dtype: torch.dtype = torch.float32, **options: Any
) -> Network:
    """A network with seeded weights, on the smallest ResNet unless an encoder is given."""
    options.setdefault("encoder", next(iter(network_entry(architecture).sizes)))
    return filled(build_network(architecture, bands=bands, classes=classes, **options), dtype=dtype)


def image(*shape: int, seed: int = 7, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor of standard normal numbers."""
    return torch.from_numpy(normal(seed, shape)).to(dtype)
