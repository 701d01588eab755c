"""Peak memory of `rsseg predict` against the size of the raster, with the one-layer network.

python bench/bench_memory.py [SIZE ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measure import RSSEG, linear_weights, run, scene


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [4096, 16384]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = linear_weights(folder)
        peaks = []
        print(f"{'raster':>16} {'seconds':>8} {'Mpx/s':>7} {'peak MiB':>9}")
        for size in sizes:
            image = scene(folder, size=size)
            cost = run([*RSSEG, "predict", image, "-o", folder / f"{size}.tif", "--weights", weights])
            peaks.append(cost.peak_mib)
            rate = size * size / 1e6 / cost.seconds
            print(f"{size:>7} x {size:<6} {cost.seconds:8.1f} {rate:7.1f} {cost.peak_mib:9.0f}", flush=True)
            image.unlink()
        print(f"largest over smallest peak: {max(peaks) / min(peaks):.3f}")


if __name__ == "__main__":
    main()
