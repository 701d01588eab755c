"""Traced networks as torch programs, `.pt2`."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.export import ExportedProgram

from rsseg.graphs.tracing import quiet_torch
from rsseg.weights.exported import ExportedNetwork
from rsseg.weights.onnx_file import GraphInput


def to_pt2(program: ExportedProgram, *, metadata: Mapping[str, str]) -> bytes:
    """Write a program as one file; `metadata` become its extra files."""
    content = io.BytesIO()
    with quiet_torch():
        torch.export.save(program, content, extra_files=dict(sorted(metadata.items())))
    return content.getvalue()


class ProgramNetwork(ExportedNetwork):
    """A program run by torch; only for content that this process wrote, since loading can run code."""

    def __init__(self, content: bytes, takes: GraphInput) -> None:
        super().__init__(takes)
        with quiet_torch():
            self._program = torch.export.load(io.BytesIO(content)).module()

    def run(self, x: Tensor) -> Tensor:
        """Run as many samples of such a size as the program takes."""
        logits: Tensor = self._program(x)
        return logits
