"""Megapixels per second of `rsseg predict` and of a naive loop over the same raster, taken in turn in one run.

    python bench/bench_throughput.py [IMAGE] [--size 2048] [--weights linear,buildings] [--tile N --halo N] [--rounds 3]
                                     [--options "--context raster ..."]

Without IMAGE: a synthetic town. Both see tiles of the same side with the same halo, those of the weights' card unless
told otherwise; the naive loop is in float32. Whole commands are timed, so both pay for their start.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
from pathlib import Path

import rasterio
from measure import RSSEG, Cost, linear_weights, run, scene

import rsseg

NAIVE = Path(__file__).with_name("naive.py")


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = args.image or scene(folder, size=args.size)
        with rasterio.open(image) as dataset:
            megapixels = dataset.width * dataset.height / 1e6
        print(
            f"{megapixels:.1f} Mpx, medians of {args.rounds}; Mpx/s by the clock, seconds of all processors, peak MiB"
        )
        print(f"{'weights':>12} {'tile/halo':>10} {'':>6} {'Mpx/s':>7} {'CPU s':>7} {'MiB':>6} {'ratio':>6}")
        for label in args.weights.split(","):
            weights = linear_weights(folder) if label == "linear" else label
            card = rsseg.load_card(weights)
            tile, halo = args.tile or card.tile, card.halo if args.halo is None else args.halo
            sizes = ["--tile", str(tile), "--halo", str(halo)]
            theirs: list[Cost] = []
            ours: list[Cost] = []
            for _ in range(args.rounds):
                theirs.append(run([sys.executable, NAIVE, image, folder / "naive.tif", weights, *sizes]))
                ours.append(
                    run(
                        [
                            *(*RSSEG, "predict", image, "-o", folder / "map.tif", "--weights", weights),
                            *(*sizes, "--overwrite", "--no-resume", *shlex.split(args.options)),
                        ]
                    )
                )
            ratio = statistics.median(a.seconds / b.seconds for a, b in zip(theirs, ours, strict=True))
            print(row(label, f"{tile}/{halo}", "naive", theirs, megapixels))
            print(f"{row(label, f'{tile}/{halo}', 'rsseg', ours, megapixels)} {ratio:6.2f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--weights", default="linear,buildings")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--halo", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="")
    return parser.parse_args()


def row(label: str, sizes: str, who: str, costs: list[Cost], megapixels: float) -> str:
    rate = statistics.median(megapixels / cost.seconds for cost in costs)
    cpu = statistics.median(cost.cpu_seconds for cost in costs)
    peak = max(cost.peak_mib for cost in costs)
    return f"{label:>12} {sizes:>10} {who:>6} {rate:7.2f} {cpu:7.1f} {peak:6.0f}"


if __name__ == "__main__":
    main()
