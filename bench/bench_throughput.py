"""Megapixels per second of `rsseg predict` and of a naive loop over the same raster, taken in turn in one run.

    python bench/bench_throughput.py [IMAGE] [--size 2048] [--weights linear,buildings] [--tile N --halo N] [--rounds 3]
                                     [--naive-tile N] [--options "--context raster ..."] [--agreement SIDE]

Without IMAGE: a synthetic town. Both see tiles of the same side with the same halo, those of the weights' card unless
told otherwise (with `--context raster` rsseg chooses larger ones unless told); the naive loop is in float32. Whole
commands are timed, so both pay for their start.

With `--agreement`, both maps of the middle SIDE x SIDE px are compared with the network run once on all of them, in
float32: the share of pixels that differ.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import rasterio
from measure import RSSEG, Cost, cut_part, linear_weights, run, scene

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
            naive_sizes = ["--tile", str(args.naive_tile or tile), "--halo", str(halo)]
            sizes = [*(["--tile", str(tile)] if args.tile else []), "--halo", str(halo)]
            naive = partial(naive_loop, weights=weights, sizes=naive_sizes)
            predict = partial(rsseg_predict, weights=weights, options=[*sizes, *shlex.split(args.options)])
            theirs: list[Cost] = []
            ours: list[Cost] = []
            for _ in range(args.rounds):
                theirs.append(naive(image, folder / "naive.tif"))
                ours.append(predict(image, folder / "map.tif"))
            ratio = statistics.median(a.seconds / b.seconds for a, b in zip(theirs, ours, strict=True))
            print(row(label, f"{args.naive_tile or tile}/{halo}", "naive", theirs, megapixels))
            print(f"{row(label, f'{tile}/{halo}', 'rsseg', ours, megapixels)} {ratio:6.2f}", flush=True)
            if args.agreement:
                part = cut_part(image, folder / "part.tif", side=args.agreement)
                run_whole(part, folder / "whole.tif", weights)
                naive(part, folder / "naive.tif")
                predict(part, folder / "map.tif")
                for who in ("naive", "map"):
                    share = differing(folder / f"{who}.tif", folder / "whole.tif")
                    print(f"{who}: {share:.3%} of the pixels are not those of the whole", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--weights", default="linear,buildings")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--halo", type=int)
    parser.add_argument("--naive-tile", type=int)
    parser.add_argument("--agreement", type=int, metavar="SIDE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", default="")
    return parser.parse_args()


def naive_loop(image: Path, output: Path, *, weights: str | Path, sizes: list[str]) -> Cost:
    return run([sys.executable, NAIVE, image, output, weights, *sizes])


def rsseg_predict(image: Path, output: Path, *, weights: str | Path, options: list[str]) -> Cost:
    command = [*RSSEG, "predict", image, "-o", output, "--weights", weights, "--overwrite", "--no-resume"]
    return run([*command, *options])


def run_whole(image: Path, output: Path, weights: str | Path) -> None:
    """One tile that covers the image; its context is that of the image, without what pads it."""
    with rasterio.open(image) as dataset:
        side = -(-max(dataset.width, dataset.height) // 32) * 32
    whole = ["--tile", str(side), "--halo", "0", "--context", "raster", "--max-memory", "1TB"]
    rsseg_predict(image, output, weights=weights, options=[*whole, "--precision", "fp32"])


def differing(one: Path, other: Path) -> float:
    with rasterio.open(one) as a, rasterio.open(other) as b:
        left, right = a.read(1), b.read(1)
    return float((left != right)[right != 255].mean())


def row(label: str, sizes: str, who: str, costs: list[Cost], megapixels: float) -> str:
    rate = statistics.median(megapixels / cost.seconds for cost in costs)
    cpu = statistics.median(cost.cpu_seconds for cost in costs)
    peak = max(cost.peak_mib for cost in costs)
    return f"{label:>12} {sizes:>10} {who:>6} {rate:7.2f} {cpu:7.1f} {peak:6.0f}"


if __name__ == "__main__":
    main()
