"""How much memory there is to try things in."""

from __future__ import annotations

import torch

from rsseg.machine import free_memory

_SPARED = 0.2
"""Share of free memory that measuring leaves to others."""


def usable_memory(device: torch.device) -> int:
    """Bytes that may be used on a device without driving anything else out of it."""
    return int((1 - _SPARED) * (_free_gpu_memory(device) if device.type == "cuda" else free_memory()))


def _free_gpu_memory(device: torch.device) -> int:
    torch.cuda.empty_cache()  # what torch keeps for later is free, too
    free, _total = torch.cuda.mem_get_info(device)
    return free
