"""What a network costs and how far it sees, measured: for the comparison with the registry's table."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from rsseg.models.attention import PositionAttention
from rsseg.models.context import AnyContext
from rsseg.models.network import Network
from rsseg.models.registry import NetworkEntry, build_network


def measure_cost(entry: NetworkEntry, encoder: str) -> tuple[int, float]:
    """Parameters for three bands and six classes, and GMAC of one image of 512 x 512 pixels in eval mode."""
    side = entry.side or 512
    with torch.no_grad(), torch.device("meta"):
        network = build_network(entry.name, encoder=encoder, classes=6).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, side, side))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() / 2e9


def measure_reach(entry: NetworkEntry, encoder: str, *, axis: int, expected: int) -> int:
    """How many pixels beside an aligned square of `stride` pixels its logits depend on, the contexts being given.

    Found by the gradient of one square in a strip of one stride's width: of pixels that no layer looks at, it is zero
    exactly. So that no other is, layers are made linear: no ReLU, averages instead of maxima.

    Args:
        entry: the network.
        encoder: one of its encoders.
        axis: along which to look, 2 for rows and 3 for columns.
        expected: the strip is just long enough to find another value.
    """
    network = _thin_network(entry, encoder)
    margin = (expected // entry.stride + 2) * entry.stride
    shape = [1, 1, entry.stride, entry.stride]
    shape[axis] += 2 * margin
    x = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    with pytest.MonkeyPatch.context() as patch:
        for name in ("relu", "relu6"):
            patch.setattr(functional, name, lambda x, inplace=False: x)
        patch.setattr(functional, "max_pool2d", _average_pool)
        contexts = take_contexts(network, x)
        logits = network(x.requires_grad_(), contexts)
        logits.narrow(axis, margin, entry.stride).sum().backward()

    assert x.grad is not None
    seen = x.grad.abs().amax(dim=(0, 1, 5 - axis)).nonzero().flatten()
    first, last = int(seen[0]), int(seen[-1])
    assert first > 0, "sees more than expected"
    assert last < shape[axis] - 1, "sees more than expected"
    return max(margin - first, last - (margin + entry.stride - 1))


def _thin_network(entry: NetworkEntry, encoder: str) -> Network:
    """Build a network whose convolutions take the average of their channels, which reaches as far and costs little.

    Those of attention stay as they are, with random weights: attention to channels that are all alike has no gradient.
    """
    with torch.device("meta"):
        network = build_network(entry.name, encoder=encoder, bands=1, classes=1).eval()
    projections = {
        child for m in network.modules() if isinstance(m, PositionAttention) for child in m.children()
    }
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module not in projections:
            module.forward = partial(_convolve_average, module)  # type: ignore[method-assign]
            continue
        for name, tensor in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ):
            value = torch.rand(tensor.shape, dtype=torch.float64, generator=generator)
            if tensor.ndim > 1:
                value /= tensor[0].numel()
            setattr(module, name, nn.Parameter(value) if isinstance(tensor, nn.Parameter) else value)
    return network


def _convolve_average(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    weight = torch.full((1, 1, *conv.kernel_size), 1 / math.prod(conv.kernel_size), dtype=x.dtype)
    x = x.mean(dim=1, keepdim=True)
    if isinstance(conv, nn.Conv2d):
        y = functional.conv2d(x, weight, stride=conv.stride, padding=conv.padding)
    else:
        y = functional.conv_transpose2d(
            x, weight, stride=conv.stride, padding=conv.padding, output_padding=conv.output_padding
        )
    return y.repeat(1, conv.out_channels, 1, 1)


def _average_pool(
    x: Tensor, kernel_size: int, stride: int | None = None, padding: int = 0, *_: object, **__: object
) -> Tensor:
    return functional.avg_pool2d(x, kernel_size, stride, padding)


def take_contexts(network: Network, x: Tensor) -> tuple[AnyContext, ...]:
    """The contexts of an image, from all its passes."""
    known: tuple[AnyContext, ...] = ()
    with torch.no_grad():
        for _ in range(network.context_passes or 0):
            known += network.summarise(x, None, known)
    return known
