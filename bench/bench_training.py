"""Samples a second of `rsseg train` and of a plain loop of torch with the same network, taken in turn in one run.

    python bench/bench_training.py [--steps 10] [--rounds 2] [--window 256] [--batch 8] [--threads 1] [--readers 1]
                                   [--device cpu] [--precisions fp32,bf16]

Data: tiles of synthetic towns, written by `rsseg synth`. Both learn in a process of its own, MAResU-Net with ResNet-18;
the plain loop (`bench/naive_training.py`) changes samples by flips alone, rsseg by its default, and once with
everything on. The first two steps are left out.

Columns: samples a second by the clock; milliseconds of processor time of the learning thread for a sample (on a CPU
with one thread that is its own work, whatever else the machine does), and how many times the plain loop of the same
precision needs that; the share of the time that waits for samples; the share of the processor time that goes to
changing them; and the seconds of one validation, of the tiles that are left out of training.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import naive_training
import torch
from bench_augment import EVERYTHING
from measure import RSSEG, run
from naive_training import Watched

from rsseg.data.options import AugmentOptions
from rsseg.machine import keep_freed_memory
from rsseg.training import learner
from rsseg.training.engine import Machine, train
from rsseg.training.options import TrainOptions
from rsseg.training.session import Session

WARM_UP = 2
TILES, SIDE = 8, 1024
CHANGES = {"default": AugmentOptions(), "everything": replace(EVERYTHING, paste_classes=("building",))}


@dataclass(frozen=True)
class Speed:
    """What one run took."""

    rate: float
    ms: float
    waiting: float
    changing: float = 0.0
    validation_s: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("steps", 10), ("rounds", 2), ("window", 256), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("threads", "readers"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", default="fp32,bf16")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = ("--tiles", str(TILES), "--size", str(SIDE))
        run([*RSSEG, "synth", folder / "town", *size])
        for precision in args.precisions.split(","):
            compare(folder, precision, args)


def compare(folder: Path, precision: str, args: argparse.Namespace) -> None:
    shared = vars(args) | {"steps": args.steps + WARM_UP, "precision": precision}
    del shared["rounds"], shared["precisions"]
    ways: dict[str, Callable[..., Speed]] = {"plain loop, flips": plain, **dict.fromkeys(CHANGES, ours)}
    speeds: dict[str, list[Speed]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            speeds[name].append(alone(way, folder, **shared, changes=CHANGES.get(name)))
    print(
        f"\n{precision}, {args.batch} x 3 x {args.window} x {args.window}, {args.device}, threads {args.threads},"
        f" readers {args.readers}, medians of {args.rounds} x {args.steps} steps"
    )
    print(
        f"{'':<22} {'samples/s':>9} {'ms':>7} {'ratio':>6} {'waiting':>8} {'changing':>8} {'validation s':>12}"
    )
    plain_ms = median(speeds["plain loop, flips"], "ms")
    for name, some in speeds.items():
        label = name if ways[name] is plain else f"rsseg, {name}"
        rate, ms, waiting, changing, seconds = (
            median(some, field) for field in ("rate", "ms", "waiting", "changing", "validation_s")
        )
        print(
            f"{label:<22} {rate:>9.2f} {ms:>7.1f} {plain_ms / ms:>6.2f} {waiting:>8.1%} {changing:>8.1%}"
            f" {seconds:>12.1f}",
            flush=True,
        )


def median(speeds: list[Speed], field: str) -> float:
    return statistics.median(getattr(speed, field) for speed in speeds)


def alone(way: Callable[..., Speed], *args: Any, **options: Any) -> Speed:
    """Call it in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(way, *args, **options).result()


def plain(folder: Path, *, precision: str, readers: int, changes: None, **options: Any) -> Speed:
    assert changes is None
    watched = naive_training.learn(folder / "town", bf16=precision == "bf16", workers=readers, **options)
    return speed(watched, options["batch"])


def ours(
    folder: Path,
    *,
    steps: int,
    batch: int,
    window: int,
    device: str,
    threads: int,
    readers: int,
    precision: str,
    changes: AugmentOptions,
) -> Speed:
    options = TrainOptions(
        epochs=1,
        steps_per_epoch=steps,
        batch_size=batch,
        window=window,
        precision=precision,
        augment=changes,
    )
    if device == "cpu":
        keep_freed_memory()  # as the command does
    machine = Machine(device=device, threads=threads, readers=readers)
    watched = Watched([], [], [])
    learn = Session._learn_next

    def noted(session: Session, batches: Any) -> None:
        before = session._tally.waited
        learn(session, batches)
        watched.note(session._tally.waited - before)

    Session._learn_next = noted  # type: ignore[method-assign]
    with (
        timed(learner, "make_changes", device) as changing,
        timed(Session, "_validate", device) as validating,
        tempfile.TemporaryDirectory(dir=folder) as run,
    ):
        train(folder / "town", Path(run), options=options, machine=machine)
    found = speed(watched, batch)
    spent = watched.processor[-1] - watched.processor[WARM_UP - 1]
    return replace(
        found, changing=sum(c for c, _ in changing[WARM_UP:]) / spent, validation_s=validating[0][1]
    )


def speed(watched: Watched, batch: int) -> Speed:
    """Of the steps after the first ones."""
    last, first = len(watched.clock) - 1, WARM_UP - 1
    samples, seconds = (last - first) * batch, watched.clock[last] - watched.clock[first]
    return Speed(
        rate=samples / seconds,
        ms=(watched.processor[last] - watched.processor[first]) / samples * 1000,
        waiting=sum(watched.waited[WARM_UP:]) / seconds,
    )


@contextmanager
def timed(owner: Any, name: str, device: str) -> Iterator[list[tuple[float, float]]]:
    """Take down the processor time of this thread, and that of the clock, of each call."""
    method, times = getattr(owner, name), []

    def call(*args: Any, **options: Any) -> Any:
        started = time.thread_time(), time.perf_counter()
        try:
            return method(*args, **options)
        finally:
            if device != "cpu":
                torch.cuda.synchronize(device)
            times.append((time.thread_time() - started[0], time.perf_counter() - started[1]))

    setattr(owner, name, call)
    try:
        yield times
    finally:
        setattr(owner, name, method)


if __name__ == "__main__":
    main()
