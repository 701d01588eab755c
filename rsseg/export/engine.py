"""Weights to a graph: trace, write, compare with the original; the file appears only if both agree."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch.export import ExportedProgram

from rsseg.errors import WeightsError
from rsseg.export.options import DEFAULT_OPSET, ExportOptions
from rsseg.export.parity import Parity, compare, make_cases
from rsseg.files import write_file
from rsseg.graphs.tracing import plan_input, trace
from rsseg.log import logger
from rsseg.version import __version__
from rsseg.weights import CARD_KEY, Weights
from rsseg.weights.exported import ExportedNetwork, OnnxNetwork
from rsseg.weights.onnx_file import GraphInput


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What came of an export; `opset` is None for a torch program."""

    output: Path
    takes: GraphInput
    opset: int | None
    size_bytes: int
    sha256: str
    parity: tuple[Parity, ...]
    seconds: float


def export_weights(
    weights: Weights,
    output: Path,
    *,
    options: ExportOptions,
    on_progress: Callable[[float], None] = lambda _: None,
) -> ExportSummary:
    """Write weights as a graph that takes scaled pixels to logits, if it says what the network says.

    The graph maps `pixels`, float32 (N, bands, H, W), to `logits` (N, classes, H, W); see `rsseg.graphs.tracing` for
    the sizes. The file's metadata hold the card, the sizes, rsseg's version and the hash of the weights.

    Args:
        weights: from a file of tensors; see `check_export`.
        output: the file to write, .onnx or .pt2.
        options: see there.
        on_progress: is told the share done, from 0 to 1.

    Raises:
        WeightsError: the graph's logits differ by more than the tolerance.
        RasterError: the image to compare on cannot be read or does not fit.
        ResourceError: the disk does not take the file.
    """
    started = time.monotonic()
    card, network = weights.card, weights.network
    takes = plan_input(card, network)
    if takes.fixed:
        logger.info(f"{card.architecture} is exported for one size only, {takes.side} x {takes.side} px")
    cases = make_cases(card, takes, image=options.image)
    on_progress(0.1)
    program = trace(network, takes, bands=len(card.bands))
    on_progress(0.4)
    opset = (options.opset or DEFAULT_OPSET) if output.suffix.lower() == ".onnx" else None
    content, exported = _write(program, weights, takes, opset=opset)
    on_progress(0.8)
    parity = [compare(network, exported, case) for case in cases]
    _check(parity, tolerance=options.tolerance, output=output)
    write_file(output, content)
    on_progress(1.0)
    return ExportSummary(
        output=output,
        takes=takes,
        opset=opset,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        parity=tuple(parity),
        seconds=time.monotonic() - started,
    )


def _write(
    program: ExportedProgram, weights: Weights, takes: GraphInput, *, opset: int | None
) -> tuple[bytes, ExportedNetwork]:
    """The content of the file to be, and the network that runs it."""
    metadata: Mapping[str, str] = {
        CARD_KEY: weights.card.to_json(),
        "rsseg_version": __version__,
        "rsseg_weights_sha256": weights.sha256,
        **takes.to_metadata(),
    }
    if opset is None:
        from rsseg.export.program import ProgramNetwork, to_pt2

        content = to_pt2(program, metadata=metadata)
        return content, ProgramNetwork(content, takes)

    from rsseg.graphs.onnx import to_onnx

    content = to_onnx(program, metadata=metadata, opset=opset)
    return content, OnnxNetwork(content, weights.card, takes, name="the exported graph")


def _check(parity: Sequence[Parity], *, tolerance: float, output: Path) -> None:
    for found in parity:
        if not found.difference <= tolerance:  # NaN is not
            size = " x ".join(map(str, found.shape))
            raise WeightsError(
                f"{output}: not written, since the graph is not the network: on {size} values of {found.source} logits"
                f" differ by {found.difference:.2g} of their spread, more than {tolerance:.2g};"
                f" {found.changed:.2%} of the pixels get another class",
                hint="if that is close enough for you, say --tolerance",
            )
