"""Training runs that are killed: the code that kills them, and what must be equal in the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rsseg.training.checkpoint import load_checkpoint
from rsseg.training.events import read_events
from rsseg.training.history import TIMES
from rsseg.training.run_folder import FILES
from tests.data.labelled import write_tiles
from tests.laws.processes import Commands, Ended
from tests.training.runs import SPLIT

RECIPE = """
[train]
model = "linear"
epochs = 2
steps_per_epoch = 5
batch_size = 4
window = 32
tile = 32
halo = 0
ema = 0.9
precision = "fp32"
sampling = "balanced"
loss = {name = "ohem", ohem_kept = 0.5}
[train.optimizer]
name = "sgd"
lr = 0.05
nesterov = true
parts = 2
schedule = "restarts"
cycles = 2
[train.augment]
zoom = 1.4
rotation = 20.0
blur = 1.0
noise = 0.1
jpeg = 60
drop_band = 0.3
cutmix = 0.4
paste = 0.4
paste_classes = ["green"]
"""
"""Everything that has a state, or is random, takes part."""

STEPS = 5
"""Of an epoch."""

REAL = {
    "model": "maresunet", "epochs": 1, "steps_per_epoch": 3, "batch_size": 2,
    "optimizer.name": "adamw", "optimizer.nesterov": False, "optimizer.parts": 1,
}  # fmt: skip
"""What changes for a network of 12 million parameters, with dropout and batch norms."""

SOON = """
from rsseg.training import curves, diary
from rsseg.training.session import Machine
curves.draw_curves = lambda history: b""  # drawing takes most of the time of such small runs
diary.draw_sheet = lambda *args, **options: bytes(24)
Machine.__init__.__kwdefaults__["checkpoint_s"] = {checkpoint_s}
"""

# What changes a folder, as the interpreter announces it just before: between two changes all moments are the same.
CHANGES = """
import atexit, json, os, signal, sys

def changes(event, args):
    writes = event in ("os.mkdir", "os.rename", "os.rmdir") or event == "open" and args[2] & os.O_ACCMODE
    return writes and str(args[0]).startswith({run!r})
"""

KILLED_BEFORE = """
def watch(event, args):
    global left
    if changes(event, args):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

left = {number}
sys.addaudithook(watch)
"""

LISTED = """
def watch(event, args):
    if changes(event, args):
        names.append([event, os.path.basename(args[event == "os.rename"])])

def write():
    with open("/proc/self/schedstat") as file:
        spent = int(file.read().split()[0])
    with open({listed!r}, "w") as file:
        json.dump([names, spent], file)

names = []
sys.addaudithook(watch)
atexit.register(write)
"""

# A moment is a share of the processor time of a whole run: the clock's depends on what else the machine does.
KILLED_AFTER = """
import os, signal, time

def spent():
    with open(f"/proc/{{watched}}/schedstat") as file:
        return int(file.read().split()[0])

watched = os.getpid()
if os.fork() == 0:
    while os.getppid() == watched and spent() < {nanoseconds}:
        time.sleep(0.001)
    if os.getppid() == watched:
        os.kill(watched, signal.SIGKILL)
    os._exit(0)
"""


@dataclass(frozen=True)
class Recipe:
    """Data and a recipe in a file."""

    data: Path
    path: Path
    changed: Mapping[str, Any]

    def begin(self, run: Path, *more: str) -> list[object]:
        """The command that starts the run in a folder."""
        settings = [f"--set={name}={json.dumps(value)}" for name, value in self.changed.items()]
        return ["train", self.data, "-o", run, "--config", self.path, *settings, *MACHINE, *more]


MACHINE = ("--device", "cpu", "--threads", "1")


def resume(run: Path) -> list[object]:
    return ["train", "--resume", run, *MACHINE]


@dataclass(frozen=True)
class Whole:
    """A run that was never stopped, what it changed in its folder, and the processor time that it took."""

    recipe: Recipe
    run: Path
    changes: list[tuple[str, str]]
    nanoseconds: int

    def renames(self, name: str) -> list[int]:
        """Which changes put a file in its place."""
        return [number for number, change in enumerate(self.changes) if change == ("os.rename", name)]


def run_whole(trainings: Commands, folder: Path, changed: Mapping[str, Any]) -> Whole:
    (folder / "recipe.toml").write_text(RECIPE)
    recipe = Recipe(write_tiles(folder / "d", split=SPLIT), folder / "recipe.toml", changed)
    run, listed = folder / "run", folder / "listed.json"
    first = SOON.format(checkpoint_s=1e9) + CHANGES.format(run=str(run)) + LISTED.format(listed=str(listed))
    ended = trainings.run(*recipe.begin(run), first=first)
    assert ended.code == 0, ended.stderr
    changes, nanoseconds = json.loads(listed.read_text())
    return Whole(recipe, run, [(event, name) for event, name in changes], nanoseconds)


def killed_before(number: int, run: Path, *, checkpoint_s: float = 1e9) -> str:
    """Code that has the process killed before its n-th change (from 0) to the folder of a run."""
    watch = CHANGES.format(run=str(run)) + KILLED_BEFORE.format(number=number)
    return SOON.format(checkpoint_s=checkpoint_s) + watch


def killed_after(nanoseconds: float, *, checkpoint_s: float = 1e9) -> str:
    """Code that has the process killed after some processor time."""
    return SOON.format(checkpoint_s=checkpoint_s) + KILLED_AFTER.format(nanoseconds=nanoseconds)


def assert_killed(ended: Ended) -> None:
    assert ended.code == -signal.SIGKILL, ended.stderr


def assert_equal(run: Path, whole: Whole) -> None:
    """Weights, states, losses and scores are the same to the bit, and nothing else is left behind."""
    for name in ("best.safetensors", "card.json"):
        assert (run / name).read_bytes() == (whole.run / name).read_bytes()
    assert state(run) == state(whole.run)
    assert rows(run) == rows(whole.run)
    assert points(run) == points(whole.run)
    assert sorted(path.name for path in run.iterdir()) == sorted([".lock", *FILES])


def state(run: Path) -> Any:
    """All that the checkpoint holds, but for times."""
    return plain(asdict(load_checkpoint(run / "last.ckpt")))


def plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.dtype, value.shape, value.contiguous().numpy().tobytes()
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items() if name not in TIMES}
    return [plain(item) for item in value] if isinstance(value, list) else value


def rows(run: Path) -> list[Any]:
    return [plain(json.loads(line)) for line in (run / "log.jsonl").read_text().splitlines()]


def points(run: Path) -> list[Any]:
    """What TensorBoard would draw, in the order of the file, but for times."""
    times = {"train/images per second", "train/waiting"}
    events = [event for event in read_events(run / "events.out.tfevents.rsseg") if event.step]
    return [
        (event.step, value.tag, value.simple_value)
        for event in events
        for value in event.summary.value
        if value.tag not in times
    ]
