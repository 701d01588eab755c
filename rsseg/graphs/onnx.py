"""Traced networks as ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch
from onnx import ModelProto
from onnxscript import opset18
from torch.export import ExportedProgram

from rsseg.errors import OptionError
from rsseg.graphs.tracing import quiet_torch
from rsseg.version import __version__

op: Any = opset18  # its types do not fit values that are still being traced

SCORES_BYTES = 256 * 2**20
"""Attention between positions is computed for so many queries at a time that their scores take no more than this."""


def to_onnx(program: ExportedProgram, *, metadata: Mapping[str, str], opset: int) -> bytes:
    """Write a program as one ONNX file with the weights inside; the same program gives the same bytes.

    Args:
        program: see `rsseg.graphs.tracing.trace`.
        metadata: what the file says about itself.
        opset: version of ONNX's operators.

    Raises:
        OptionError: the exporter has no such version.
    """
    with torch.no_grad(), quiet_torch():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=["pixels"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
            custom_translation_table=_TRANSLATIONS,
        )
    assert made is not None
    model: ModelProto = made.model_proto
    found = next(entry.version for entry in model.opset_import if entry.domain == "")
    if found != opset:
        raise OptionError(
            f"opset {opset}: torch could only write {found}", hint=f"leave --opset out, or choose {found}"
        )
    _strip(model)
    model.producer_name, model.producer_version = "rsseg", __version__
    for key, value in sorted(metadata.items()):
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _strip(model: ModelProto) -> None:
    """Leave only what is needed to run: no stack traces, no shapes that follow from others."""
    del model.graph.value_info[:]
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    names = {0: "samples", 2: "height", 3: "width"}
    for tensor in (*graph.input, *graph.output):
        for axis, dim in enumerate(tensor.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = names[axis]


def _attend(  # noqa: PLR0917 - torch's signature
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: FBT001, FBT002
) -> Any:
    """Softmax attention (M, heads, T, size) whose scores (M, heads, T, T) are never all in memory, as in torch.

    `attn_mask`, if any, is boolean and the same for all queries, (M, 1, 1, T): True where they see the key.
    """
    assert not (dropout_p or is_causal or enable_gqa)
    assert attn_mask is None or (attn_mask.dtype == onnx_ir.DataType.BOOL and attn_mask.shape[2] == 1)
    windows, heads, tokens, size = query.shape
    rows = max(1, SCORES_BYTES // (4 * windows * heads * tokens))
    factor = op.Constant(value_float=size**-0.5 if scale is None else scale)
    keys = op.Mul(op.Transpose(key, perm=[0, 1, 3, 2]), factor)
    parts = []
    for start in range(0, tokens, rows):
        end = min(start + rows, tokens)
        first, last, axis = (op.Constant(value_ints=[n]) for n in (start, end, 2))
        block = op.Slice(query, first, last, axis)
        scores = op.MatMul(block, keys)
        if attn_mask is not None:
            scores = op.Where(attn_mask, scores, op.Constant(value_float=-math.inf))
        parts.append(op.MatMul(op.Softmax(scores, axis=-1), value))
    return op.Concat(*parts, axis=2)


def _where(condition: Any, first: Any, second: Any) -> Any:
    """Choose between two tensors; onnxruntime cannot where they are boolean."""
    if first.dtype != onnx_ir.DataType.BOOL:
        return op.Where(condition, first, second)
    return op.Or(op.And(condition, first), op.And(op.Not(condition), second))


_TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scaled_dot_product_attention.default: _attend,
    torch.ops.aten.where.self: _where,
}
"""What takes the place of the exporter's own translations."""
