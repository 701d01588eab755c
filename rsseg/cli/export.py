"""`rsseg export`: weights to a graph for other programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options as opt
from rsseg.cli.console import emit_json, progress_bar, say

if TYPE_CHECKING:
    from rsseg.export.engine import ExportSummary


@click.command(short_help="Turn weights into a graph for other programs.")
@click.argument("weights", metavar="WEIGHTS")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.onnx|FILE.pt2",
    help="Graph to write: ONNX, or a program of torch.export.",
)
@click.option("--opset", type=int, metavar="N", help="Version of ONNX's operators. [default: 20]")
@click.option(
    "--image", metavar="IMAGE", help="Raster to compare graph and network on. [default: a synthetic town]"
)
@click.option(
    "--tolerance",
    type=float,
    default=1e-3,
    show_default=True,
    metavar="F",
    help="How far logits may be apart, as a part of their standard deviation.",
)
@opt.overwrite
@opt.as_json
@opt.verbose
@opt.quiet
def export(weights: str, *, output: Path, as_json: bool, quiet: bool, **settings: Any) -> None:
    """Write WEIGHTS (bundled ones by name, or a .safetensors file) as a graph that other programs can run.

    The graph takes scaled pixels, float32 (N, bands, H, W), to logits (N, classes, H, W), for any N and for H and W in
    multiples of what its metadata say. It is compared with the network on random and on real pixels, and is
    not written if they differ. `rsseg predict --weights FILE.onnx` runs it.

    \b
    Examples:
      rsseg export buildings -o buildings.onnx
      rsseg export runs/first/best.safetensors -o first.onnx --image ortho.tif
    """
    from rsseg.export.options import ExportOptions, check_export
    from rsseg.weights import find_tensors, read_card

    options = ExportOptions(**settings)
    check_export(output, options)
    read_card(find_tensors(weights))

    from rsseg.export.engine import export_weights
    from rsseg.weights import load_weights

    with progress_bar("export", quiet=quiet) as on_progress:
        summary = export_weights(load_weights(weights), output, options=options, on_progress=on_progress)
    _report(summary, as_json=as_json, quiet=quiet)


def _report(summary: ExportSummary, *, as_json: bool, quiet: bool) -> None:
    for parity in summary.parity:
        size = " x ".join(map(str, parity.shape))
        say(
            f"{parity.source} ({size}): logits differ by {parity.difference:.1e} of their spread,"
            f" {parity.changed:.4%} of the pixels get another class",
            quiet=quiet,
        )
    say(f"{summary.output}: {summary.size_bytes / 1e6:.1f} MB in {summary.seconds:.1f} s", quiet=quiet)
    if not as_json:
        click.echo(summary.output)
        return
    emit_json(
        {
            "output": str(summary.output),
            "opset": summary.opset,
            "fixed_size": summary.takes.fixed,
            "multiple": summary.takes.multiple,
            "bytes": summary.size_bytes,
            "sha256": summary.sha256,
            "parity": [asdict(parity) for parity in summary.parity],
            "seconds": round(summary.seconds, 3),
        }
    )
