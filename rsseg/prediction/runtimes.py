"""Networks that another runtime than torch runs: as ONNX graphs, each for one shape of input, made when it comes.

Shapes: N samples, B bands, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor

from rsseg.graphs.tracing import trace_shape
from rsseg.models.network import Network
from rsseg.prediction.openvino_graph import open_openvino
from rsseg.prediction.options import Runtime
from rsseg.weights.exported import ExportedNetwork, OnnxNetwork, open_session, run_session
from rsseg.weights.onnx_file import GraphInput, onnx_packages

_OPSET = 20

_KEPT = 2
"""Graphs that are held: a raster has but one shape of tiles, which `--tta d4` also turns where it is no square."""

Run = Callable[[Tensor], Tensor]
"""(N, B, H, W), float32 on the CPU, to logits (N, classes, H, W)."""


class TracedNetwork(ExportedNetwork):
    """A network's forward pass in another runtime: without training, features or contexts.

    Args:
        network: in eval mode, in float32 on the CPU.
        runtime: `openvino` or `onnxruntime`.
        precision: in which it computes: see `check_runtime`.
    """

    def __init__(self, network: Network, *, runtime: Runtime, precision: str) -> None:
        super().__init__(GraphInput(multiple=network.padding))
        self._network = network
        self._open = partial(_open, runtime=runtime, precision=precision)
        self._graph = lru_cache(maxsize=_KEPT)(self._make_graph)

    def run(self, x: Tensor) -> Tensor:
        """Run as many samples of such a size as there are; a new shape takes seconds.

        Raises:
            ResourceError: a package is missing.
        """
        return self._graph(tuple(x.shape))(x)

    def _make_graph(self, shape: tuple[int, ...]) -> Run:
        return self._open(_to_onnx(self._network, shape), name="the network's graph")


class OpenVinoFile(ExportedNetwork):
    """An exported ONNX file run by OpenVINO.

    Raises:
        WeightsError: it cannot.
        ResourceError: the package is missing.
    """

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__(network.takes)
        self._run = open_openvino(network.graph, name=network.name, precision="fp32")

    def run(self, x: Tensor) -> Tensor:
        """Run as many samples of such a size as the graph takes."""
        return self._run(x)


def _open(graph: Path | bytes, *, name: str, runtime: Runtime, precision: str) -> Run:
    if runtime == "openvino":
        return open_openvino(graph, name=name, precision=precision)
    return partial(run_session, open_session(graph, name=name))


def _to_onnx(network: Network, shape: tuple[int, ...]) -> bytes:
    with onnx_packages():
        from rsseg.graphs.onnx import to_onnx
    # The caller's autocast would become part of the graph.
    with torch.inference_mode(mode=False), torch.autocast("cpu", enabled=False):
        return to_onnx(trace_shape(network, shape), metadata={}, opset=_OPSET)
