"""Peak memory of `rsseg predict` beside what its dry run says, against the raster's size; with the one-layer network.

    python bench/bench_memory.py [WIDTHxHEIGHT ...] [--weights W] [--options "--tile 1024 ..." ...] [--strips]
                                 [--sparse SIDE]

Every raster is predicted as it comes and with `--max-memory 1GB` or, with `--options`, once with each of them; `{}` in
them is a folder for further files. With `--strips` rasters lie in strips of 16 rows instead of blocks. `--sparse
100000` adds a raster of so many pixels of which one block in 400 was ever written. The default takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from measure import RSSEG, linear_weights, run
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

BLOCK = 512
MB = 1e6


def main() -> None:
    args = arguments()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = args.weights or linear_weights(folder)
        rasters = [
            write_raster(folder / f"{size}.tif", *map(int, size.split("x")), strips=args.strips)
            for size in args.sizes
        ]
        if args.sparse:
            rasters.append(write_raster(folder / "sparse.tif", args.sparse, args.sparse, every=20))
        print(f"{'raster':>16} {'seconds':>8} {'Mpx/s':>7} {'planned MB':>11} {'peak MB':>8}  options")
        for raster in rasters:
            for options in args.options or ["", "--max-memory 1GB"]:
                row(raster, weights, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", default=["6144x6144", "50000x2000"])
    parser.add_argument("--weights")
    parser.add_argument("--options", nargs="*")
    parser.add_argument("--strips", action="store_true")
    parser.add_argument("--sparse", type=int)
    return parser.parse_args()


def row(raster: Path, weights: str | Path, options: str) -> None:
    output = raster.with_name("map.tif")
    command = [*RSSEG, "predict", raster, "-o", output, "--weights", weights, "--no-resume"]
    command += shlex.split(options.replace("{}", str(raster.parent)))
    told = subprocess.run(
        [*map(str, command), "--overwrite", "--dry-run", "--json"], check=True, capture_output=True
    )
    planned = json.loads(told.stdout)["memory_bytes"]
    cost = run([*command, "--overwrite"])
    peak = cost.peak_mib * 2**20
    with rasterio.open(raster) as dataset:
        size, rate = (
            f"{dataset.width} x {dataset.height}",
            dataset.width * dataset.height / 1e6 / cost.seconds,
        )
    mark = "" if peak <= planned else "  more than planned"
    print(
        f"{size:>16} {cost.seconds:8.1f} {rate:7.1f} {planned / MB:11.0f} {peak / MB:8.0f}  {options}{mark}",
        flush=True,
    )


def write_raster(path: Path, width: int, height: int, *, every: int = 1, strips: bool = False) -> Path:
    """An RGB raster in blocks; with `every` only each so-manieth block of each so-manieth row of blocks is written."""
    profile = {"width": width, "height": height, "count": 3, "dtype": "uint8", "interleave": "pixel"}
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "zlevel": 1}
    if strips:
        blocks |= {"tiled": False, "blockxsize": width, "blockysize": 16}
    holes = {"sparse_ok": True, "nodata": 0} if every > 1 else {}
    patterns = [pattern(seed) for seed in range(4)]
    with rasterio.open(path, "w", driver="GTiff", bigtiff="yes", **profile, **blocks, **holes) as dataset:
        for row in range(0, height, every * BLOCK):
            for col in range(0, width, every * BLOCK):
                cols, rows = min(BLOCK, width - col), min(BLOCK, height - row)
                pixels = patterns[(row + col) // BLOCK % 4][:, :rows, :cols]
                dataset.write(pixels, window=Window(col, row, cols, rows))
    return path


def pattern(seed: int) -> NDArray[np.uint8]:
    """Squares of 8 pixels in random colours, one block of them."""
    colors = np.random.default_rng(seed).integers(1, 255, (3, BLOCK // 8, BLOCK // 8), dtype=np.uint8)
    return colors.repeat(8, axis=1).repeat(8, axis=2)


if __name__ == "__main__":
    main()
