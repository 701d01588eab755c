"""A prediction that is killed, at any moment, and started again gives the same bytes as one that never was."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.laws.faults import COMMIT_AT_ONCE, HEIGHT, WIDTH, Scene, stopped
from tests.laws.processes import Commands

TRIALS = 10

# A moment is a share of the journal, or of the encoded map with its overviews, that is on the disk: not a time.
WATCHED = """
import os, signal
from pathlib import Path

def size():
    total = 0
    for path in Path({folder!r}).glob({pattern!r}):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass
    return total

watched = os.getpid()
if os.fork() == 0:
    while size() < {enough} and os.getppid() == watched:
        os.sched_yield()
    if os.getppid() == watched:
        os.kill(watched, signal.SIGKILL)
    os._exit(0)
os.nice(5)
"""
"""Has a process kill this one, which is nicer, when files of a folder have enough bytes."""


def test_a_run_that_was_killed_at_any_moment_gives_the_same_bytes(
    commands: Commands, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stopped").mkdir()
    journal = (stopped(scene, tmp_path / "stopped" / "map.tif", monkeypatch) / "journal.jsonl").stat().st_size
    moments, stages, resumed = random.Random(4), Counter[str](), []
    for trial in range(TRIALS):
        output = tmp_path / str(trial) / "map.tif"
        output.parent.mkdir()
        folder, moment = output.with_name("map.tif.part"), 2 * (trial + moments.random()) / TRIALS
        pattern, enough = "journal.jsonl", moment * journal
        if moment >= 1:
            pattern, enough = "encoded*", (moment - 1) * len(scene.expected)
        watched = WATCHED.format(folder=str(folder), pattern=pattern, enough=max(enough, 1))

        ended = commands.run(*scene.command(output), first=COMMIT_AT_ONCE + watched)

        assert ended.code in (0, -signal.SIGKILL), ended.stderr
        if output.exists():
            stages["nothing left to do"] += 1
            continue
        stages["encoding" if list(folder.glob("encoded*")) else "staging"] += 1
        again = commands.run(*scene.command(output))
        assert again.code == 0, again.stderr
        summary = json.loads(again.stdout)
        assert sum(summary["classes"].values()) == HEIGHT * WIDTH
        assert output.read_bytes() == scene.expected
        assert not folder.exists()
        resumed.append(summary["resumed_blocks"])

    print(f"kills by stage: {dict(stages)}; blocks gone on with: {resumed}")  # noqa: T201 - for `pytest -s`
    assert stages["staging"] >= 2
    assert stages["encoding"] >= 2
    assert sum(count > 0 for count in resumed) >= 3
