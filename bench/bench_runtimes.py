"""Runtimes and precisions on one CPU: milliseconds a tile, ratio to plain fp32, and pixels that get another class.

    python bench/bench_runtimes.py [IMAGE] [--weights buildings] [--tiles 512,1024] [--rounds 5] [--threads 2]

Plain fp32 is the network as `rsseg.load_network` gives it. All ways run in turn in every round; the ratio is the median
over the rounds. `processor` seconds count what all threads work, and say the truth where others use the machine, too.
Without IMAGE the pixels are those of a synthetic town. The pixels that differ are counted on three tiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window as RasterioWindow
from torch import Tensor

import rsseg
from rsseg.data.synthetic import Scene, render_window
from rsseg.errors import ResourceError
from rsseg.models.network import Network
from rsseg.prediction.prepare import prepare
from rsseg.tiling import Window
from rsseg.weights import Weights

TILES = 3
WAYS: dict[str, dict[str, Any]] = {
    "torch fp32": {"precision": "fp32"},
    "torch fp32 compiled": {"precision": "fp32", "compile": True},
    "torch bf16": {"precision": "bf16"},
    "torch bf16 compiled": {"precision": "bf16", "compile": True},
    "openvino fp32": {"precision": "fp32", "runtime": "openvino"},
    "openvino bf16": {"precision": "bf16", "runtime": "openvino"},
    "onnxruntime fp32": {"precision": "fp32", "runtime": "onnxruntime"},
}


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    weights = rsseg.load_weights(args.weights)
    for side in map(int, args.tiles.split(",")):
        tiles = [scaled(weights, pixels) for pixels in cut(args.image, side)]
        print(f"{args.weights}, tiles of {side} px, {args.threads} threads, {args.image or 'synthetic town'}")
        print(f"{'way':<22} {'first s':>8} {'ms':>8} {'processor ms':>13} {'ratio':>6} {'changed':>9}")
        with torch.inference_mode():
            compare(weights, tiles, rounds=args.rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--weights", default="buildings")
    parser.add_argument("--tiles", default="512,1024")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ways", default=",".join(WAYS), help="which to take, separated by commas")
    return parser.parse_args()


def compare(weights: Weights, tiles: list[Tensor], *, rounds: int) -> None:
    ways: dict[str, Callable[[Tensor], Tensor]] = {"plain fp32": weights.network}
    first = {"plain fp32": 0.0}
    for name in arguments().ways.split(","):
        started = time.perf_counter()
        try:
            ways[name] = way(weights, WAYS[name])
        except ResourceError as err:
            print(f"{name:<22} left out: {err}")
            continue
        ways[name](tiles[0])
        first[name] = time.perf_counter() - started
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            run(tiles[0])
            spent[name].append((time.perf_counter() - wall, time.process_time() - processor))
    plain = [classes(weights.network(tile)) for tile in tiles]
    for name, run in ways.items():
        changed = np.mean([(classes(run(x)) != p).float().mean() for x, p in zip(tiles, plain, strict=True)])
        wall, processor = (1000 * statistics.median(times) for times in zip(*spent[name], strict=True))
        pairs = zip(spent["plain fp32"], spent[name], strict=True)
        ratio = statistics.median(a[1] / b[1] for a, b in pairs)
        row = f"{first[name]:8.1f} {wall:8.0f} {processor:13.0f} {ratio:6.2f} {changed:9.4%}"
        print(f"{name:<22} {row}", flush=True)


def way(weights: Weights, wish: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    network: Network = prepare(
        weights.network, device=torch.device("cpu"), channels=len(weights.card.bands), **wish
    )
    half = wish["precision"] == "bf16" and "runtime" not in wish

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            logits: Tensor = network(x)
        return logits

    return run


def classes(logits: Tensor) -> Tensor:
    return logits.permute(0, 2, 3, 1).argmax(-1)


def cut(image: Path | None, side: int) -> list[np.ndarray[Any, Any]]:
    """Tiles (bands, side, side) side by side in the middle of an image, as far as there are any."""
    if image is None:
        scene = Scene(width=TILES * side, height=side)
        return [render_window(scene, Window(n * side, 0, side, side)).rgb for n in range(TILES)]
    with rasterio.open(image) as source:
        count = min(TILES, source.width // side)
        left, top = (source.width - count * side) // 2, max(0, (source.height - side) // 2)
        return [
            source.read((1, 2, 3), window=RasterioWindow(left + n * side, top, side, side))
            for n in range(count)
        ]


def scaled(weights: Weights, pixels: np.ndarray[Any, Any]) -> Tensor:
    valid = torch.ones(1, *pixels.shape[1:], dtype=torch.bool)
    return weights.card.scaling.apply(torch.from_numpy(pixels)[None], valid).contiguous()


if __name__ == "__main__":
    main()
