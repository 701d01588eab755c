"""What changing a batch costs, beside the scaling that every batch needs: milliseconds on one thread, or on a GPU.

    python bench/bench_augment.py [--batch 8] [--window 256] [--device cpu]

`more` is the time over that of the plain batch: of the processor, or with a GPU of the clock, the least of several. All
samples of a batch have the change; in training, a share of 0.3 has each of blur, noise and jpeg. `all` draws with
everything on, the mean of many batches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from rsseg.data.augment import Change, Mix, draw_change, draw_mix
from rsseg.data.options import AugmentOptions
from rsseg.data.samplers import Sample
from rsseg.preprocess import default_scaling
from rsseg.training.augmentation import make_changes
from rsseg.training.loader import Batch, stack_samples

ROUNDS = 15
QUALITY = 50
PLAIN = Change(zoom=1, angle=0, gain=1, offset=(0.0,) * 3, blur=0, noise=0, quality=0, dropped=-1, seed=0)
EVERYTHING = AugmentOptions(
    zoom=1.5,
    rotation=15,
    blur=2,
    noise=0.3,
    jpeg=40,
    drop_band=0.1,
    cutmix=0.3,
    paste=0.3,
    paste_classes=("1",),
)
SCALING = default_scaling(3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(args.device)
    ways = {"plain": PLAIN, "light": replace(PLAIN, gain=1.1, offset=(0.1, 0.2, 0.3))}
    ways |= {f"rotation, zoom {zoom}": replace(PLAIN, angle=10.0, zoom=zoom) for zoom in (0.7, 1.4, 2.0, 4.0)}
    ways |= {f"blur {sigma}": replace(PLAIN, blur=sigma) for sigma in (1.0, 2.0, 8.0)}
    ways |= {"noise": replace(PLAIN, noise=0.3), "jpeg": replace(PLAIN, quality=QUALITY)}
    batches = {name: [same(change, args.batch, args.window)] for name, change in ways.items()}
    mixes = {"cutmix": Mix(top=0.2, left=0.3, bottom=0.8, right=0.9), "paste": Mix(classes=(1,))}
    batches |= {name: [same(PLAIN, args.batch, args.window, mix=mix)] for name, mix in mixes.items()}
    batches["all"] = [drawn(seed, args.batch, args.window) for seed in range(ROUNDS)]
    spent: dict[str, list[float]] = {name: [] for name in batches}
    for _ in range(ROUNDS):
        for name, some in batches.items():
            spent[name].append(sum(milliseconds(batch, args.window, device) for batch in some) / len(some))
    best = {name: min(times) for name, times in spent.items()}
    print(f"{args.batch} x 3 x {args.window} x {args.window} uint8, {args.device}")
    print(f"{'':<20} {'ms':>7} {'more':>7}")
    for name, least in best.items():
        print(f"{name:<20} {least:>7.1f} {least - best['plain']:>7.1f}")


def sample(change: Change, window: int, *, seed: int, mix: Mix | None = None) -> Sample:
    rng, side = np.random.default_rng(seed), change.read_side(window)
    return Sample(
        pixels=rng.integers(0, 256, (3, side, side)).astype(np.uint8),
        valid=np.ones((side, side), np.bool_),
        labels=rng.integers(0, 6, (side, side)).astype(np.uint8),
        change=change,
        mix=mix,
        donor=None if mix is None else sample(PLAIN, window, seed=seed + 1000),
    )


def same(change: Change, size: int, window: int, *, mix: Mix | None = None) -> Batch:
    return stack_samples([sample(change, window, seed=seed, mix=mix) for seed in range(size)])


def drawn(seed: int, size: int, window: int) -> Batch:
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(size):
        mix = draw_mix(rng, options=EVERYTHING, paste_ids=(1,))
        change, other = (draw_change(rng, 3, options=EVERYTHING) for _ in range(2))
        donor = None if mix is None else sample(other, window, seed=number + 1000)
        samples.append(replace(sample(change, window, seed=number), mix=mix, donor=donor))
    return stack_samples(samples)


def milliseconds(batch: Batch, window: int, device: torch.device) -> float:
    return least(lambda: make_changes(batch, SCALING, window=window, device=device), device, rounds=1)


def least(work: Callable[[], object], device: torch.device, *, rounds: int = ROUNDS) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = []
    for _ in range(rounds):
        started = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - started)
    return min(times) * 1000


if __name__ == "__main__":
    main()
