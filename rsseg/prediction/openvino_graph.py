"""Graphs run by OpenVINO, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rsseg.errors import ResourceError, WeightsError

_TYPES = {"fp32": "f32", "bf16": "bf16"}


def open_openvino(graph: Path | bytes, *, name: str, precision: str) -> Callable[[Tensor], Tensor]:
    """Compile an ONNX graph of one input and one output, with as many threads as torch.

    Args:
        graph: the file, or its content.
        name: what errors call it.
        precision: `fp32` or `bf16`.

    Raises:
        WeightsError: OpenVINO cannot run the graph.
        ResourceError: the package is missing, or the processor has no such precision.
    """
    try:
        import openvino
    except ModuleNotFoundError as err:
        raise ResourceError(
            f"--runtime openvino needs the package {err.name}", hint="pip install 'rsseg[openvino]'"
        ) from err
    settings = {
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    try:
        model = core.read_model(graph)
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as err:  # all that OpenVINO raises
        raise WeightsError(f"{name}: OpenVINO cannot run this graph ({err})") from err
    found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if found != _TYPES[precision]:  # it takes another without an error
        raise ResourceError(
            f"precision {precision}: OpenVINO computes in {found} on this processor",
            hint="use --precision fp32",
        )
    request = compiled.create_infer_request()

    def run(x: Tensor) -> Tensor:
        request.infer([x.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return run
