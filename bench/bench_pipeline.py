"""How fast pixels move through everything around the network: a prediction with the one-layer network.

    python bench/bench_pipeline.py [IMAGE] [--size 6144] [--threads 1,2] [--readers 1,2] [--rounds 2]

Without IMAGE: a synthetic town, tiled DEFLATE RGB. Whole processes are timed, the import of torch included; the
settings are taken in turn: threads of torch, and threads that read. The ratio is to the first of them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from pathlib import Path

import rasterio
from measure import Cost, linear_weights, run, scene

PREDICT = """
import sys, torch, rsseg
image, output, weights, threads, readers = sys.argv[1:]
torch.set_num_threads(int(threads))
options = rsseg.PredictOptions(readers=int(readers), overwrite=True, resume=False)
rsseg.predict_raster(image, output, weights=rsseg.load_weights(weights), options=options)
"""


def main() -> None:
    args = arguments()
    settings = list(itertools.product(args.threads.split(","), args.readers.split(",")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, weights = args.image or scene(folder, size=args.size), linear_weights(folder)
        with rasterio.open(image) as dataset:
            megapixels = dataset.width * dataset.height / 1e6
        costs: dict[tuple[str, str], list[Cost]] = {setting: [] for setting in settings}
        for _ in range(args.rounds):
            for threads, readers in settings:
                command = [
                    sys.executable,
                    "-c",
                    PREDICT,
                    image,
                    folder / "map.tif",
                    weights,
                    threads,
                    readers,
                ]
                costs[threads, readers].append(run(command))
    print(f"{megapixels:.1f} Mpx, medians of {args.rounds}")
    print(
        f"{'threads':>8} {'readers':>8} {'seconds':>8} {'Mpx/s':>7} {'CPU s':>7} {'peak MiB':>9} {'ratio':>6}"
    )
    first = costs[settings[0]]
    for (threads, readers), taken in costs.items():
        seconds = statistics.median(cost.seconds for cost in taken)
        cpu = statistics.median(cost.cpu_seconds for cost in taken)
        ratio = statistics.median(a.seconds / b.seconds for a, b in zip(first, taken, strict=True))
        print(
            f"{threads:>8} {readers:>8} {seconds:8.1f} {megapixels / seconds:7.1f} {cpu:7.1f}"
            f" {max(cost.peak_mib for cost in taken):9.0f} {ratio:6.2f}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=6144)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--readers", default="1,2")
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
