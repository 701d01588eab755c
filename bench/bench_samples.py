"""Samples a second, by how a raster is stored: what the readers of a training run can give, and where the time goes.

    python bench/bench_samples.py [--seconds 3] [--data ../shared/data/buildings_banepa/manifest.toml ...]

Rasters of noise, 8192 x 8192 px and labelled all over by a raster, are made in a temporary folder; `--data` measures
others besides. Columns: the data set, side of the window, threads, for each sampling samples a second and milliseconds
of computing for one, and the share of one thread's time that goes to finding the pixel (of balanced samples, which
read a cell) and to reading labels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from rsseg.data.options import SAMPLINGS, SampleOptions
from rsseg.data.places import LabelledPixels
from rsseg.data.samplers import Sampler
from rsseg.data.scenes import DataSet, open_dataset, plan_dataset
from rsseg.raster import gdal_env

SIDE, BLOCK = 8192, 512
CACHE_BYTES = 512 * 2**20
TILED = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
STORED: dict[str, tuple[str, dict[str, Any]]] = {
    "tiled JPEG": ("uint8", {**TILED, "compress": "jpeg", "photometric": "ycbcr"}),
    "tiled DEFLATE uint16": ("uint16", {**TILED, "compress": "deflate"}),
    "strips uint8": ("uint8", {"blockysize": 1, "interleave": "pixel"}),
    "strips DEFLATE uint16": ("uint16", {"blockysize": 4, "compress": "deflate", "interleave": "pixel"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    print(f"{'data':>22} {'px':>4} {'threads':>7}", *(f"{s:>12}" for s in SAMPLINGS), " finding  labels")
    for path in args.data:
        measure(path.parent.name, path, seconds=args.seconds)
    for name, (dtype, profile) in STORED.items():
        with tempfile.TemporaryDirectory() as folder:
            measure(name, write_data(Path(folder), dtype, profile), seconds=args.seconds)


def measure(name: str, path: Path, *, seconds: float) -> None:
    with gdal_env(cache_bytes=CACHE_BYTES), open_dataset(plan_dataset(path)) as data:
        for window in (256, 512):
            options = {s: SampleOptions(window=window, sampling=s) for s in SAMPLINGS}
            samplers = {s: Sampler(data, chosen) for s, chosen in options.items()}
            rate(samplers["area"].sample, threads=2, seconds=seconds)  # fill GDAL's cache
            for threads in (1, 2):
                rates = [
                    rate(sampler.sample, threads=threads, seconds=seconds) for sampler in samplers.values()
                ]
                shares = parts(data, samplers["balanced"], seconds=seconds) if threads == 1 else []
                print(
                    f"{name:>22} {window:>4} {threads:>7}",
                    *(f"{r.wall:>6.0f} {r.cpu_ms:>5.2f}" for r in rates),
                    *(f"{share:>8.0%}" for share in shares),
                    flush=True,
                )


@dataclass(frozen=True)
class Rate:
    """Samples a second, and milliseconds of computing for one, which do not depend on what else the machine does."""

    wall: float
    cpu_ms: float


def rate(sample: Callable[[int], object], *, threads: int, seconds: float) -> Rate:
    """Take samples for some time."""
    started, computed = time.perf_counter(), time.process_time()

    def work(first: int) -> int:
        number = first
        while time.perf_counter() < started + seconds:
            sample(number)
            number += threads
        return (number - first) // threads

    with ThreadPoolExecutor(threads) as pool:
        count = sum(pool.map(work, range(threads)))
    return Rate(count / (time.perf_counter() - started), (time.process_time() - computed) / count * 1e3)


def parts(data: DataSet, sampler: Sampler, *, seconds: float) -> list[float]:
    """The shares of the time of a sample that go to finding its pixel, and to reading its labels."""
    with (
        timed(LabelledPixels, "draw") as finding,
        timed(type(data.train[0].labels), "read") as reading,
    ):
        started = time.perf_counter()
        rate(sampler.sample, threads=1, seconds=seconds)
        total = time.perf_counter() - started
    return [sum(finding) / total, sum(reading) / total]


@contextmanager
def timed(owner: Any, name: str) -> Iterator[list[float]]:
    """Take down how long each call of a method takes."""
    method, times = getattr(owner, name), []

    def call(*args: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args)
        finally:
            times.append(time.perf_counter() - started)

    setattr(owner, name, call)
    try:
        yield times
    finally:
        setattr(owner, name, method)


def write_data(folder: Path, dtype: str, profile: dict[str, Any]) -> Path:
    """A manifest of two rasters that are alike, with labels of four classes in patches of 64 px."""
    noise = np.random.default_rng(0)
    texture = noise.integers(1, 255, (3, BLOCK, SIDE)).astype(dtype) // np.dtype(dtype).type(8) * 8
    labels = (
        noise.integers(0, 4, (BLOCK // 64, SIDE // 64)).astype(np.uint8).repeat(64, 0).repeat(64, 1)[None]
    )
    rows = [{"id": i, "name": f"{i}", "color": "#000000"} for i in range(4)]
    (folder / "classes.json").write_text(json.dumps({"classes": rows}))
    entries = []
    for number, part in enumerate(("train", "val")):
        height = SIDE if part == "train" else BLOCK
        place = {"crs": "EPSG:32645", "transform": from_origin(350_000 + 1e5 * number, 3e6, 0.2, 0.2)}
        write(folder / f"{part}.tif", texture, height, {**profile, **place})
        write(folder / f"{part}_labels.tif", labels, height, {**TILED, "compress": "deflate", **place})
        entries.append(f'[[{part}]]\nimage = "{part}.tif"\nlabels = "{part}_labels.tif"\n')
    (folder / "manifest.toml").write_text('classes = "classes.json"\n' + "".join(entries))
    return folder / "manifest.toml"


def write(path: Path, band: np.ndarray, height: int, profile: dict[str, Any]) -> None:
    size = {"width": SIDE, "height": height, "count": len(band), "dtype": band.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **profile) as dataset:
        for row in range(0, height, BLOCK):
            dataset.write(band, window=Window(0, row, SIDE, BLOCK))


if __name__ == "__main__":
    main()
