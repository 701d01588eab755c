"""What a prediction costs over its network: the time of a whole prediction over that of its forward calls alone.

    python bench/bench_overhead.py [IMAGE] [--size 1024] [--weights buildings] [--context tile] [--rounds 3]

Without IMAGE: a synthetic town. Network and torch are loaded before. In turn, in one process: a prediction with
reading, stitching, writing and encoding; the same number of forward calls alone, over the same tiles held in memory;
and as many sums for the context of a raster, where the network has any, in passes of prediction.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import scene

import rsseg
from rsseg.machine import keep_freed_memory
from rsseg.models.registry import network_entry
from rsseg.prediction.engine import Predictor
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.reading import Batch, TileReader
from rsseg.raster import gdal_env


def main() -> None:
    args = arguments()
    options = rsseg.PredictOptions(context=args.context, overwrite=True, resume=False)
    weights = rsseg.load_weights(args.weights)
    predictor = Predictor(weights, options)
    if predictor.device_type == "cpu":
        keep_freed_memory()  # as the command does
    forward = predictor._setup.forward
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, output = args.image or scene(folder, size=args.size), folder / "map.tif"
        plan = predictor.plan(image, output)
        with gdal_env(), open_imagery(image, weights.card, options) as imagery:
            reader = TileReader(imagery, batch_size=plan.pipeline.batch_size, threads=plan.readers)
            batches = [batch for batch in reader.batches(plan.tiles) if batch.with_data]

        def decide(batch: Batch) -> None:
            pixels, valid = batch.arrays()
            forward.decide(pixels, valid, wanted=batch.wanted())

        def summarise(batch: Batch) -> None:
            forward.summarise(*batch.arrays(), counted=batch.counted())

        has_context = bool(network_entry(weights.card.architecture).context_passes)
        whole, alone, sums = [], [], []
        for _ in range(args.rounds):
            whole.append(seconds(lambda: predictor.predict(image, output)))
            alone.append(seconds(lambda: [decide(batch) for batch in batches]))
            if has_context:
                sums.append(seconds(lambda: [summarise(batch) for batch in batches]))
    print(f"{args.weights}, tiles of {plan.sizes.tile} px, halo {plan.sizes.halo}, {len(plan.tiles)} tiles")
    print(f"{'':>24} {'seconds':>8} {'ratio':>6}   (medians of {args.rounds})")
    for what, taken in (("forward calls alone", alone), ("first pass, context", sums), ("prediction", whole)):
        if taken:
            ratio = np.median(np.divide(taken, alone))
            print(f"{what:>24} {statistics.median(taken):8.2f} {ratio:6.3f}")


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--weights", default="buildings")
    parser.add_argument("--context", choices=["tile", "raster"], default="tile")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
