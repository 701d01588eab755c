"""The graph of a network: on pixels that need no padding.

Padding and cropping stay outside, so the graph has one path for all sizes. What it takes are multiples of the network's
padding. A network that decides by the size of its input what to compute gives a graph for one size.

Shapes: N samples, B bands, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rsseg.models.network import Network
from rsseg.models.registry import network_entry
from rsseg.weights import WeightCard
from rsseg.weights.onnx_file import GraphInput

CUTS_WINDOWS = frozenset({"maskattn-unet"})
"""Networks that cut large maps into windows, as many as the size asks for."""


class Graph(nn.Module):
    """(N, B, H, W), scaled, H and W multiples of the network's padding, to logits (N, classes, H, W)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits of the main head."""
        height, width = pixels.shape[2:]
        maps = self.network.decode(self.network.encode(pixels))
        return self.network.fit(self.network.head(maps[0]), height=height, width=width)


def plan_input(card: WeightCard, network: Network) -> GraphInput:
    """The sizes that the graph of a network will take: the card's tile where it can be one only."""
    entry = network_entry(card.architecture)
    if entry.side is not None or entry.name in CUTS_WINDOWS:
        return GraphInput(multiple=entry.side or card.tile, fixed=True)
    return GraphInput(multiple=network.padding)


def trace(network: Network, takes: GraphInput, *, bands: int) -> ExportedProgram:
    """Trace the network for any number of samples of any size that the graph is to take, or for one of the only size.

    Sizes at which the coarsest features have a single row or column are left out: there torch would decide differently.
    """
    dims: dict[int, Any] = {}
    shape = (1, bands, takes.multiple, takes.multiple)
    if not takes.fixed:
        least = network.stride // takes.multiple + 1
        height, width = (_multiple_of(takes.multiple, Dim(name, min=least)) for name in ("height", "width"))
        dims = {0: Dim("samples", min=1), 2: height, 3: width}
        unit = max(takes.multiple, network.stride)
        shape = (2, bands, 4 * unit, 3 * unit)
    with torch.no_grad(), quiet_torch():
        program = torch.export.export(
            Graph(network).eval(), (torch.zeros(shape),), dynamic_shapes={"pixels": dims}, strict=False
        )
    return _without_traces(program)


def trace_shape(network: Network, shape: tuple[int, ...]) -> ExportedProgram:
    """Trace the network for inputs of one shape, which takes a fraction of the time."""
    with torch.inference_mode(mode=False), torch.no_grad(), quiet_torch():
        return torch.export.export(Graph(network).eval(), (torch.zeros(shape),), strict=False)


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Keep what torch's exporters say about themselves from the user."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)  # that torchvision is not installed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
            yield
    finally:
        exporter.setLevel(level)


def _multiple_of(multiple: int, dim: Any) -> Any:
    """Torch refuses to multiply a size by 1."""
    return dim if multiple == 1 else multiple * dim


def _without_traces(program: ExportedProgram) -> ExportedProgram:
    """Drop where in the code each step came from: paths of this machine, which would also differ on another."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program
