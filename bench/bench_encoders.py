"""What the encoders cost: a forward pass of a whole tile and a step of training, processor seconds of one thread.

    python bench/bench_encoders.py [--model manet] [--encoders resnet18,efficientnet-lite0] [--tile 512] [--rounds 3]

All in turn, in one process, in bf16 and fp32; the least of the rounds. A step is forward and backward with four windows
of 384 px. The last line is why EfficientNet-Lite learns channels by themselves in float32 (`DepthwiseConv`): the same
step with torch's convolution in its place.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

from rsseg.models.efficientnet import DepthwiseConv
from rsseg.models.network import Network
from rsseg.models.registry import build_network

TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    encoders = args.encoders.split(",")
    networks = {name: channels_last(build_network(args.model, encoder=name, classes=6)) for name in encoders}
    tile, windows = image(1, args.tile), image(4, 384)
    work: dict[tuple[str, str], Callable[[], object]] = {}
    for kind in TYPES:
        for name, network in networks.items():
            work[f"{args.model}, {name}", f"forward {kind}"] = lambda n=network, k=kind: see(n, tile, k)
            work[f"{args.model}, {name}", f"step {kind}"] = lambda n=network, k=kind: learn(n, windows, k)
    lite = next((name for name in encoders if name.startswith("efficientnet")), None)
    if lite is not None:
        work[f"{args.model}, {lite}, torch's convolution", "step bf16"] = lambda: plain(
            networks[lite], windows
        )
    best = dict.fromkeys(work, float("inf"))
    for _ in range(args.rounds):
        for key, job in work.items():
            best[key] = min(best[key], seconds(job))
    for (what, how), taken in best.items():
        print(f"{what:<55} {how:<13} {taken:6.2f} s")


def see(network: Network, x: Tensor, kind: str) -> None:
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", dtype=TYPES[kind], enabled=kind != "fp32"):
        network(x)


def learn(network: Network, x: Tensor, kind: str) -> None:
    network.train()
    with torch.autocast("cpu", dtype=TYPES[kind], enabled=kind != "fp32"):
        loss = network(x).main.float().square().mean()
    loss.backward()


def plain(network: Network, x: Tensor) -> None:
    with mock.patch.object(DepthwiseConv, "forward", nn.Conv2d.forward):
        learn(network, x, "bf16")


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def image(samples: int, side: int) -> Tensor:
    noise = torch.randn(samples, 3, side, side, generator=torch.Generator().manual_seed(0))
    return noise.contiguous(memory_format=torch.channels_last)


def channels_last(network: Network) -> Network:
    converted: Network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return converted


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="manet")
    parser.add_argument("--encoders", default="resnet18,efficientnet-lite0")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
