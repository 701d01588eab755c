"""How much memory there is to try things in."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import torch

_SPARED = 0.2
"""Share of free memory that measuring leaves to others."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def usable_memory(device: torch.device) -> int:
    """Bytes that may be used on a device without driving anything else out of it."""
    return int((1 - _SPARED) * (_free_gpu_memory(device) if device.type == "cuda" else _free_host_memory()))


def _free_gpu_memory(device: torch.device) -> int:
    torch.cuda.empty_cache()  # what torch keeps for later is free, too
    free, _total = torch.cuda.mem_get_info(device)
    return free


def _free_host_memory() -> int:
    """What the machine has to give, and not more than a container's limit leaves."""
    free = _machine_memory()
    with suppress(OSError, ValueError):  # not Linux, no container, or its limit is the word "max"
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(limit - used, 0))
    return free


def _machine_memory() -> int:
    with suppress(OSError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Where the system does not say what is free: half of what is there.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
