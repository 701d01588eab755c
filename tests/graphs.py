"""Small ONNX files that tests make by hand, without torch's exporter, which takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rsseg.preprocess import Scaling
from rsseg.weights import CARD_KEY, WeightCard
from rsseg.weights.onnx_file import GraphInput
from tests.making import THREE

CARD = WeightCard(
    architecture="linear",
    encoder="",
    classes=THREE,
    bands=("red", "green", "blue"),
    scaling=Scaling(mean=(0.0,) * 3, std=(1.0,) * 3),
    tile=64,
    halo=0,
)
ANY_SIZE = GraphInput(multiple=1)


def metadata(card: WeightCard = CARD, takes: GraphInput = ANY_SIZE) -> dict[str, str]:
    """What `rsseg export` writes, as far as it is read again."""
    return {CARD_KEY: card.to_json(), **takes.to_metadata()}


def write_graph(
    path: Path, entries: dict[str, str], *, classes: int = 3, side: int | None = None, operator: str = "Conv"
) -> Path:
    """Write a graph of one 1 x 1 convolution, whose largest logit is that of the brightest of three bands."""
    kernel = np.eye(classes, 3, dtype=np.float32)[:, :, None, None]
    samples, height, width = ("samples", "height", "width") if side is None else (1, side, side)
    graph = helper.make_graph(
        [helper.make_node(operator, ["pixels", "kernel"], ["logits"])],
        "brightest",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [samples, 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [samples, classes, height, width])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, entries)
    onnx.save(model, path)
    return path


def write_fixed_graph(path: Path, *, side: int) -> Path:
    """The same for squares of one side."""
    takes = GraphInput(multiple=side, fixed=True)
    return write_graph(path, metadata(replace(CARD, tile=side), takes), side=side)
