"""How much memory the machine has, how much of it is free, what this process holds, and whether it keeps it.

A container's limit counts like the machine's size. Sources: /proc and the control groups of Linux, version 2 or 1;
elsewhere what the standard library says.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""

_VERSION_2 = ("memory.max", "memory.current")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def total_memory() -> int:
    """Bytes of memory that the machine has, or that its container may use."""
    whole = _meminfo("MemTotal") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *(limit for limit, _free in _limits())])


def free_memory() -> int:
    """Bytes that can be used without driving anything else out of memory; half of all where nothing says so."""
    return min([_meminfo("MemAvailable") or total_memory() // 2, *(free for _limit, free in _limits())])


def held_memory() -> int:
    """Bytes of memory that this process holds now."""
    with suppress(OSError):
        pages = int((_PROC / "self" / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    # The most it ever held: in bytes on macOS, in KiB elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, for work that asks for the same blocks again and again.

    glibc gives large blocks back at once, and the system fills each new one with zeros, page by page: an eighth of the
    time of a training step on a CPU. Then the process holds on to the most that it ever needed. Other C libraries are
    left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def _meminfo(name: str) -> int | None:
    with suppress(OSError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _limits() -> Iterator[tuple[int, int]]:
    """The limit, and what is free below it, of every control group that this process belongs to and that has one."""
    for folder, (limit_name, used_name) in _groups():
        with suppress(OSError, ValueError):  # not there, or the limit is the word "max"
            limit, used = (int((folder / name).read_text()) for name in (limit_name, used_name))
            yield limit, max(limit - used + _reclaimable(folder), 0)


def _groups() -> Iterator[tuple[Path, tuple[str, str]]]:
    """The folders of this process's groups, each with the names of its files; a container sees only the uppermost."""
    with suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                root, names = _CGROUP, _VERSION_2
            elif "memory" in controllers.split(","):
                root, names = _CGROUP / "memory", _VERSION_1
            else:
                continue
            group = Path(path.lstrip("/"))
            for folder in (group, *group.parents) if group.parts else (group,):
                yield root / folder, names


def _reclaimable(folder: Path) -> int:
    """What a group holds of files on disk, which gives way where memory is needed."""
    with suppress(OSError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0
