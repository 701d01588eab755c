"""The training loop a user would write with rasterio and torch: random windows, flips, AdamW, cross-entropy and Dice.

    python bench/naive_training.py DATA [--steps 20] [--bf16] [--device cpu]

DATA has images/ and labels/ of equal names. Batches are read ahead by the processes of torch's DataLoader; the network
is rsseg's MAResU-Net with ResNet-18. Prints samples a second.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from rsseg.models.registry import build_network

CLASSES = 2
MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))


@dataclass
class Watched:
    """When each step ended, by the clock and in processor time of the thread that learns, and how long it waited."""

    clock: list[float]
    processor: list[float]
    waited: list[float]

    def note(self, waited: float) -> None:
        """A step has ended that waited so long."""
        self.clock.append(time.perf_counter())
        self.processor.append(time.thread_time())
        self.waited.append(waited)


class Windows(Dataset):
    """Random windows of tiles, turned over at random."""

    def __init__(self, data: Path, *, window: int, count: int) -> None:
        self.images = sorted((data / "images").glob("*.tif"))
        self.labels = [data / "labels" / path.name for path in self.images]
        self.window = window
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(number)
        tile = rng.integers(len(self.images))
        with rasterio.open(self.images[tile]) as image, rasterio.open(self.labels[tile]) as label:
            row = rng.integers(image.height - self.window + 1)
            col = rng.integers(image.width - self.window + 1)
            window = Window(col, row, self.window, self.window)
            pixels, ids = image.read((1, 2, 3), window=window), label.read(1, window=window)
        pixels, ids = torch.from_numpy(pixels).float(), torch.from_numpy(ids).long()
        pixels = (pixels - MEAN) / STD
        if rng.random() < 0.5:
            pixels, ids = pixels.flip(-1), ids.flip(-1)
        if rng.random() < 0.5:
            pixels, ids = pixels.flip(-2), ids.flip(-2)
        return pixels, ids


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    valid = labels != 255
    truth = functional.one_hot(labels.masked_fill(~valid, 0), logits.shape[1]).permute(0, 3, 1, 2)
    probs = logits.float().softmax(dim=1) * valid[:, None]
    truth = truth * valid[:, None]
    overlap = (probs * truth).sum(dim=(0, 2, 3))
    return 1 - (2 * overlap / (probs + truth).sum(dim=(0, 2, 3)).clamp(min=1e-6)).mean()


def learn(
    data: Path, *, steps: int, batch: int, window: int, bf16: bool, device: str, threads: int, workers: int
) -> Watched:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build_network("maresunet", encoder="resnet18", bands=3, classes=CLASSES).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    samples = Windows(data, window=window, count=steps * batch)
    loader = DataLoader(samples, batch_size=batch, num_workers=workers, pin_memory=device != "cpu")
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16) if bf16 else nullcontext()
    watched = Watched([], [], [])
    batches = iter(loader)
    for _ in range(steps):
        started = time.perf_counter()
        pixels, labels = next(batches)
        waited = time.perf_counter() - started
        pixels, labels = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad()
        with autocast:
            logits = network(pixels).main
        loss = functional.cross_entropy(logits.float(), labels, ignore_index=255) + dice_loss(logits, labels)
        loss.backward()
        optimizer.step()
        loss.item()
        watched.note(waited)
    return watched


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    watched = learn(**vars(args))
    print(f"{args.batch * (args.steps - 1) / (watched.clock[-1] - watched.clock[0]):.2f}")


if __name__ == "__main__":
    main()
