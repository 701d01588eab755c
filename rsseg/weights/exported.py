"""Exported graphs in the place of networks: they pad their input, run it through the graph, and crop the logits.

Shapes: N samples, B bands, H rows, W columns; `classes` logits per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.models.context import AnyContext
from rsseg.models.network import Network, pad_to_multiple
from rsseg.weights.card import WeightCard
from rsseg.weights.onnx_file import GraphInput, onnx_packages, read_onnx


class ExportedNetwork(Network):
    """A network of which only the forward pass is left: no training, no features, no contexts.

    (N, B, H, W) to logits (N, classes, H, W), any H and W, or up to the side of a graph that takes one side only.
    """

    context_passes: ClassVar[int | None] = None

    def __init__(self, takes: GraphInput) -> None:
        super().__init__()
        self.takes = takes
        self.eval()

    def forward(
        self,
        x: Tensor,
        contexts: Sequence[AnyContext] | None = None,
        *,
        merge: bool = False,  # noqa: ARG002 - it has no contexts
    ) -> Tensor:
        """Compute logits.

        Raises:
            OptionError: the graph takes one side only, and the input is larger; or there are contexts.
        """
        if contexts:
            raise OptionError(
                "an exported graph takes no contexts", hint="use the .safetensors file it was made of"
            )
        height, width = x.shape[2:]
        if self.takes.fixed and max(height, width) > self.takes.multiple:
            raise OptionError(
                f"the exported graph takes squares of {self.takes.multiple} px only, found {width} x {height}"
            )
        padded = pad_to_multiple(x, self.takes.multiple)
        batches = torch.split(padded, 1) if self.takes.fixed else (padded,)
        return torch.cat([self.run(batch) for batch in batches])[:, :, :height, :width]

    def run(self, x: Tensor) -> Tensor:
        """Run as many samples of such a size as the graph takes."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> ExportedNetwork:  # noqa: FBT001, FBT002 - torch's signature
        """Set the mode, which can only be eval.

        Raises:
            OptionError: training is asked for.
        """
        if mode:
            raise OptionError(
                "an exported network cannot be trained", hint="use the .safetensors file it was made of"
            )
        super().train(mode)
        return self


class OnnxNetwork(ExportedNetwork):
    """An ONNX graph run by onnxruntime in float32, with as many threads as torch, on the device of its input.

    Args:
        graph: the file, or its content.
        card: what describes it.
        takes: the sizes it takes.
        name: what errors call it.

    Raises:
        WeightsError: onnxruntime cannot run it, or its bands or classes are not the card's.
    """

    def __init__(self, graph: Path | bytes, card: WeightCard, takes: GraphInput, *, name: str) -> None:
        super().__init__(takes)
        self.graph, self.name = graph, name
        self._session = open_session(graph, name=name)
        self._opened_for = ("cpu", torch.get_num_threads())
        self._check(card)

    def run(self, x: Tensor) -> Tensor:
        """Run as many samples of such a size as the graph takes.

        Raises:
            MemoryError: there is not enough for it.
        """
        return run_session(self._session_for(x.device), x)

    def _session_for(self, device: torch.device) -> Any:
        """The session, opened anew where the device or the number of torch's threads is another by now."""
        wanted = (str(device), torch.get_num_threads())
        if wanted != self._opened_for:
            self._session, self._opened_for = self._open(device), wanted
        return self._session

    def _open(self, device: torch.device) -> Any:
        if device.type == "cpu":
            return open_session(self.graph, name=self.name)
        cuda = ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0})
        session = open_session(self.graph, name=self.name, before=[cuda])
        if session.get_providers()[0] != cuda[0]:  # onnxruntime takes the next provider without an error
            raise ResourceError(f"onnxruntime cannot use device {device}", hint="use --device cpu")
        return session

    def _check(self, card: WeightCard) -> None:
        session = self._session
        shapes = [[tensor.shape for tensor in side] for side in (session.get_inputs(), session.get_outputs())]
        found = [[shape[1] for shape in side if len(shape) == 4] for side in shapes]
        if found != [[len(card.bands)], [len(card.classes)]]:
            raise WeightsError(
                f"{self.name}: its graph takes {shapes[0]} to {shapes[1]}; the card has {len(card.bands)} bands and"
                f" {len(card.classes)} classes"
            )


def load_onnx(path: Path) -> OnnxNetwork:
    """Load an exported network.

    Raises:
        WeightsError: missing, foreign or damaged file.
        ResourceError: the packages for ONNX are not installed.
    """
    file = read_onnx(path)
    return OnnxNetwork(path, file.card, file.input, name=str(path))


def open_session(graph: Path | bytes, *, name: str, before: Sequence[Any] = ()) -> Any:
    """Open a graph in onnxruntime, with as many threads as torch.

    Args:
        graph: the file, or its content.
        name: what errors call it.
        before: execution providers that come before the one of the CPU.

    Raises:
        WeightsError: onnxruntime cannot run it.
        ResourceError: there is no onnxruntime.
    """
    with onnx_packages():
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is fatal is raised as well
    content = str(graph) if isinstance(graph, Path) else graph
    try:
        return onnxruntime.InferenceSession(content, options, providers=[*before, "CPUExecutionProvider"])
    except _runtime_errors() as err:
        raise WeightsError(f"{name}: onnxruntime cannot run this graph ({err})") from err


def run_session(session: Any, x: Tensor) -> Tensor:
    """Run a graph of one input and one output in onnxruntime.

    Raises:
        MemoryError: there is not enough for it.
    """
    (feed,) = session.get_inputs()
    try:
        (logits,) = session.run(None, {feed.name: x.contiguous().cpu().numpy()})
    except _runtime_errors() as err:
        if "alloc" not in str(err).lower():  # onnxruntime has no class of its own for this
            raise
        raise MemoryError(str(err)) from err
    return torch.from_numpy(logits).to(x.device)


def _runtime_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its classes have no common ancestor."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    )
