"""What `rsseg predict --dry-run` tells of each raster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli.console import emit_json

if TYPE_CHECKING:
    from rsseg.prediction.plan import Plan

_WHEN = {
    "always": "held all the time",
    "predicting": "while tiles are predicted",
    "finishing": "while the map is finished",
}


def report_plan(image: str, output: Path, plan: Plan, *, as_json: bool) -> None:
    """Print how a raster would be predicted and what that takes: a table for people, or one JSON object."""
    if as_json:
        emit_json(_as_json(image, output, plan))
    else:
        click.echo(_as_table(image, output, plan))


def _as_json(image: str, output: Path, plan: Plan) -> dict[str, Any]:
    return {
        "image": image,
        "output": str(output),
        "dry_run": True,
        "tile": plan.sizes.tile,
        "halo": plan.sizes.halo,
        "keep": plan.sizes.keep,
        "stride": plan.sizes.stride,
        "tiles": len(plan.decided),
        "context": plan.context,
        "context_passes": plan.context_passes,
        "batch_size": plan.pipeline.batch_size,
        "readers": plan.readers,
        "tiles_ahead": plan.pipeline.ahead,
        "tiles_behind": plan.pipeline.behind,
        "cache_bytes": plan.pipeline.cache_bytes,
        "memory": [
            {"part": part.name, "when": part.when, "bytes": part.memory_bytes} for part in plan.memory.parts
        ],
        "memory_bytes": plan.memory.total_bytes,
        "max_memory_bytes": plan.bound_bytes,
        "disk": {
            "staged_bytes": plan.disk.staged_bytes,
            "final_bytes": plan.disk.final_bytes,
            "feature_bytes": plan.disk.feature_bytes,
            "free_bytes": plan.disk.free_bytes,
        },
        "seconds": None if plan.seconds is None else round(plan.seconds, 1),
        "warnings": [{"text": warning.text, "hint": warning.hint} for warning in plan.warnings],
    }


def _as_table(image: str, output: Path, plan: Plan) -> str:
    sizes, disk, queues = plan.sizes, plan.disk, plan.pipeline
    passes = f", {plan.context_passes} of {plan.context_passes + 1} passes for the context"
    lines = [
        f"{image} -> {output}",
        *_rows(
            [
                (
                    "tiles",
                    f"{len(plan.decided):,} of {sizes.tile} px, each decides {sizes.keep} px (halo {sizes.halo})",
                ),
                ("attention", f"to the {plan.context}{passes * bool(plan.context_passes)}"),
                ("batches", f"{queues.batch_size} tile{'s' * (queues.batch_size > 1)}"),
                ("queues", f"{plan.readers} readers, {queues.ahead} tiles ahead, {queues.behind} behind"),
                ("time", "unknown" if plan.seconds is None else f"about {_duration(plan.seconds)}"),
            ]
        ),
        f"memory: at most {_mb(plan.memory.total_bytes)} of {_mb(plan.bound_bytes)}",
        *_memory_rows(plan),
        f"disk: {_mb(disk.total_bytes)} of {_mb(disk.free_bytes)} free",
        *_rows(
            [
                ("staged blocks", _mb(disk.staged_bytes)),
                *[("features, until then", _mb(disk.feature_bytes))] * bool(disk.feature_bytes),
                ("finished files, about", _mb(disk.final_bytes)),
            ]
        ),
    ]
    for warning in plan.warnings:
        lines += [f"Warning: {warning.text}", f"Hint: {warning.hint}"]
    return "\n".join(lines)


def _memory_rows(plan: Plan) -> list[str]:
    lines = []
    for when, title in _WHEN.items():
        parts = [(part.name, _mb(part.memory_bytes)) for part in plan.memory.parts if part.when == when]
        lines += [f"  {title}", *(f"  {row}" for row in _rows(parts))]
    return lines


def _rows(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names to the left, and what belongs to them below one another; amounts of memory to the right."""
    names = max(len(name) for name, _ in pairs)
    amounts = all(text.endswith(" MB") for _, text in pairs)
    width = max(len(text) for _, text in pairs)
    return [
        f"  {name:<{names}}  {text:>{width}}" if amounts else f"  {name:<{names}}  {text}"
        for name, text in pairs
    ]


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
