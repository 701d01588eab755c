"""Megapixels per second of `rsseg predict` and of a naive loop over the same raster, taken in turn in one run.

The naive loop reads tiles of 512 pixels without a halo, so it runs the network over fewer pixels, leaves seams, and
ignores nodata.

    python bench/bench_throughput.py [SIZE]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from measure import RSSEG, linear_weights, run, scene

ROUNDS = 3


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    naive = Path(__file__).with_name("naive.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = scene(folder, size=size)
        print(f"{'weights':>12} {'naive Mpx/s':>12} {'rsseg Mpx/s':>12} {'ratio':>6}   (median of {ROUNDS})")
        for label, weights in (("linear", linear_weights(folder)), ("buildings", "buildings")):
            pairs = []
            for _ in range(ROUNDS):
                slow = run([sys.executable, naive, image, folder / "naive.tif", weights])
                fast = run(
                    [
                        *RSSEG,
                        "predict",
                        image,
                        "-o",
                        folder / "rsseg.tif",
                        "--weights",
                        weights,
                        "--overwrite",
                    ]
                )
                pairs.append((slow.seconds, fast.seconds))
            rates = [statistics.median(size * size / 1e6 / pair[side] for pair in pairs) for side in (0, 1)]
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{label:>12} {rates[0]:12.2f} {rates[1]:12.2f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
