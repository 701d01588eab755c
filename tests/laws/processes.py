"""Whole commands in processes of their own, which are forked from one that has imported torch already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]

PREDICTION = ("rsseg.cli.predict", "rsseg.prediction.engine", "rsseg.raster")

SERVER = """
import gc, importlib, json, os, signal, sys
from rsseg.cli.main import main

for name in sys.argv[1:]:
    importlib.import_module(name)

def run(order):
    for descriptor, path in enumerate(["/dev/null", order["stdout"], order["stderr"]]):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whoever runs the tests may ignore some
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    exec(order["first"], {})
    main(order["args"], prog_name="rsseg")

gc.freeze()
for line in sys.stdin:
    order = json.loads(line)
    answer = os.waitpid(order["wait"], 0)[1] if "wait" in order else os.fork()
    if answer == 0 and "wait" not in order:
        run(order)
    print(answer, flush=True)
"""
"""Forked before torch has begun any thread. What is frozen is not looked through, page by page, when a child ends."""


@dataclass(frozen=True)
class Ended:
    """What came of a command: its exit code (negative: the signal that ended it), and what it said."""

    code: int
    stdout: str
    stderr: str


class Running:
    """A command that runs."""

    def __init__(self, pid: int, said: Path, ask: Callable[..., int]) -> None:
        self.pid = pid
        self._said = said
        self._ask = ask

    def wait(self) -> Ended:
        """Wait for its end."""
        code = os.waitstatus_to_exitcode(self._ask(wait=self.pid))
        return Ended(code, *((self._said / name).read_text() for name in ("stdout", "stderr")))


class Commands:
    """Starts commands; made once for many tests, for it imports torch.

    Args:
        folder: where what the commands say is kept.
        under: the command under which all of them run, such as `unshare`.
        imports: modules that every command finds imported.
    """

    def __init__(
        self, folder: Path, *, under: Sequence[str] = (), imports: Sequence[str] = PREDICTION
    ) -> None:
        self._folder = folder
        self._count = 0
        self._server = subprocess.Popen(
            [*under, sys.executable, "-c", SERVER, *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        self.pid = self._server.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._server:  # closes both pipes, at which it ends
            pass

    def start(self, *args: object, first: str = "") -> Running:
        """Start `rsseg` with arguments, after running the code `first`, which brings a fault."""
        self._count += 1
        said = self._folder / str(self._count)
        said.mkdir()
        files = {"stdout": str(said / "stdout"), "stderr": str(said / "stderr")}
        return Running(self._ask(args=[str(a) for a in args], first=first, **files), said, self._ask)

    def run(self, *args: object, first: str = "") -> Ended:
        """Start it and wait for its end."""
        return self.start(*args, first=first).wait()

    def _ask(self, **order: object) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())
