"""What the system says about memory, read from made-up files."""

from __future__ import annotations

import json
import mmap
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rsseg import machine


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in place of /proc and, below `cgroup`, of /sys/fs/cgroup."""
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cgroup")
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    5000 kB\n")
    (tmp_path / "self").mkdir()
    return tmp_path


def put_group(folder: Path, *, version: int, limit: str, used: int, stat: str = "") -> None:
    names = ("memory.max", "memory.current") if version == 2 else machine._VERSION_1
    folder.mkdir(parents=True)
    for name, value in zip((*names, "memory.stat"), (limit, str(used), stat), strict=True):
        (folder / name).write_text(value + "\n")


def test_without_a_container_memory_is_the_machines(system: Path) -> None:
    assert machine.total_memory() == 9000 * 1024
    assert machine.free_memory() == 5000 * 1024


@pytest.mark.parametrize(("limit", "free"), [("1500000", 500_000), ("900000", 0), ("max", 5000 * 1024)])
def test_the_limit_of_a_container_counts(system: Path, limit: str, free: int) -> None:
    (system / "self" / "cgroup").write_text("1:cpu:/\n0::/\n")
    put_group(system / "cgroup", version=2, limit=limit, used=1_000_000)

    assert machine.free_memory() == free
    assert machine.total_memory() == (9000 * 1024 if limit == "max" else int(limit))


def test_the_limit_of_a_group_above_counts_too(system: Path) -> None:
    (system / "self" / "cgroup").write_text("0::/user/job\n")
    put_group(system / "cgroup" / "user", version=2, limit="3000000", used=0)
    put_group(system / "cgroup" / "user" / "job", version=2, limit="4000000", used=3_500_000)

    assert (machine.total_memory(), machine.free_memory()) == (3_000_000, 500_000)


def test_groups_of_version_1_are_read_though_a_container_sees_only_the_uppermost(system: Path) -> None:
    (system / "self" / "cgroup").write_text("0::/\n4:cpu,memory:/docker/5f\n")
    put_group(system / "cgroup" / "memory", version=1, limit="2000000", used=1_500_000)

    assert (machine.total_memory(), machine.free_memory()) == (2_000_000, 500_000)


def test_cached_files_give_way_and_so_are_free(system: Path) -> None:
    (system / "self" / "cgroup").write_text("0::/\n")
    stat = "anon 700000\ninactive_file 300000\nactive_file 1"
    put_group(system / "cgroup", version=2, limit="1200000", used=1_000_000, stat=stat)

    assert machine.free_memory() == 500_000


def test_where_the_system_does_not_say_half_of_the_memory_is_free(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (system / "meminfo").unlink()
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 100}.__getitem__)

    assert (machine.total_memory(), machine.free_memory()) == (100_000, 50_000)


def test_a_process_holds_what_it_fills() -> None:
    before = machine.held_memory()

    with mmap.mmap(-1, 2**26) as fresh:  # what was freed before may be given to an array, and is held already
        np.frombuffer(fresh, dtype=np.uint8)[::4096] = 1
        held = machine.held_memory() - before

    assert held > 0.9 * 2**26


def test_where_there_is_no_proc_a_process_holds_the_most_it_ever_did(system: Path) -> None:
    assert machine.held_memory() > 2**20


ASKS_AGAIN = """
import resource
from rsseg.machine import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(1 << 26)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(4)])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_was_freed_is_not_filled_with_zeros_again() -> None:
    ended = subprocess.run([sys.executable, "-c", ASKS_AGAIN], capture_output=True, text=True, check=True)

    first, *later = json.loads(ended.stdout)

    assert max(later) < first / 4
