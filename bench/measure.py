"""What benchmarks share: whole commands, with time and peak memory as the operating system tells them, and scenes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio
import rasterio.windows

RSSEG = (sys.executable, "-m", "rsseg")


@dataclass(frozen=True)
class Cost:
    """Wall time, time of all processors, and the largest resident memory of one process."""

    seconds: float
    peak_mib: float
    cpu_seconds: float


def run(command: Sequence[str | Path]) -> Cost:
    """Run a command to its end; it must succeed."""
    started = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    talk = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{talk.decode()}")
    return Cost(time.monotonic() - started, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def scene(folder: Path, *, size: int) -> Path:
    """A synthetic orthophoto of `size` x `size` pixels."""
    run([*RSSEG, "synth", folder / f"town{size}", "--size", str(size), "--overwrite"])
    return folder / f"town{size}" / "image.tif"


def cut_part(image: Path, part: Path, *, side: int) -> Path:
    """The middle of an image, at most `side` pixels wide and high."""
    with rasterio.open(image) as source:
        width, height = min(side, source.width), min(side, source.height)
        window = rasterio.windows.Window(
            (source.width - width) // 2, (source.height - height) // 2, width, height
        )
        pixels = source.read(window=window)
        profile = {"count": len(pixels), "dtype": pixels.dtype, "width": width, "height": height}
        place = {"crs": source.crs, "transform": source.window_transform(window), "nodata": source.nodata}
    with rasterio.open(part, "w", driver="GTiff", **profile, **place) as target:
        target.write(pixels)
    return part


def linear_weights(folder: Path) -> Path:
    """Weights of the one-layer network, which leaves nothing to hide behind."""
    path = folder / "linear.safetensors"
    run([*RSSEG, "weights", "init", "--model", "linear", "--classes", "2", "-o", path, "--overwrite"])
    return path
