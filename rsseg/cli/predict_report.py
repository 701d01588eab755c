"""What `rsseg predict` tells of each raster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli.console import emit_json, say
from rsseg.errors import RssegError

if TYPE_CHECKING:
    from rsseg.prediction.summary import PredictSummary

_M2_PER_HA = 10_000


def report_map(
    image: str, summary: PredictSummary, *, names: Sequence[str], as_json: bool, quiet: bool
) -> None:
    """Print the path of a finished map, or all that is known of it as JSON, and a line for people."""
    if as_json:
        emit_json(_as_json(image, summary, names))
    else:
        click.echo(summary.output)
    say(_as_line(summary, names), quiet=quiet)


def report_failure(image: str, err: RssegError, *, as_json: bool) -> None:
    """Say why one of several rasters failed."""
    say(f"Error: {err}" + (f"\nHint: {err.hint}" if err.hint else ""))
    if as_json:
        emit_json({"image": image, "error": str(err), "hint": err.hint, "exit_code": err.exit_code})


def _as_json(image: str, summary: PredictSummary, names: Sequence[str]) -> dict[str, Any]:
    areas = summary.class_areas_m2
    return {
        "image": image,
        "output": str(summary.output),
        "layers": {name: str(path) for name, path in summary.layers.items()},
        "preview": _path(summary.preview),
        "saved_context": _path(summary.saved_context),
        "width": summary.width,
        "height": summary.height,
        "classes": dict(zip(names, summary.class_pixels, strict=True)),
        "hectares": None if areas is None else dict(zip(names, map(_hectares, areas), strict=True)),
        "nodata": summary.nodata_pixels,
        "tile": summary.tile,
        "halo": summary.halo,
        "tiles": summary.tiles,
        "skipped_tiles": summary.skipped_tiles,
        "context": summary.context,
        "precision": summary.precision,
        "runtime": summary.runtime,
        "seam_change": summary.seam_change,
        "resumed_blocks": summary.resumed_blocks,
        "seconds": round(summary.seconds, 3),
    }


def _as_line(summary: PredictSummary, names: Sequence[str]) -> str:
    pixels = summary.width * summary.height
    areas: Sequence[float | None] = summary.class_areas_m2 or [None] * len(names)
    told = [
        f"{name} {count / pixels:.1%}" + ("" if area is None else f" ({_hectares(area):,.2f} ha)")
        for name, count, area in zip(names, summary.class_pixels, areas, strict=True)
    ]
    told.append(f"no data {summary.nodata_pixels / pixels:.1%}")
    if summary.seam_change is not None:
        told.append(f"seams change {summary.seam_change:.3%}")
    rate = pixels / 1e6 / summary.seconds
    return f"{summary.output}: {pixels / 1e6:.1f} Mpx in {summary.seconds:.1f} s ({rate:.1f} Mpx/s); {', '.join(told)}"


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _hectares(area_m2: float) -> float:
    return round(area_m2 / _M2_PER_HA, 4)
