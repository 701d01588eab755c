"""In which type a network computes."""

from __future__ import annotations

from pathlib import Path

import torch

from rsseg.prediction.options import Runtime
from rsseg.prediction.runtime_check import PRECISION_NAMES, check_precision

PRECISIONS = dict(zip(PRECISION_NAMES, (torch.float32, torch.bfloat16, torch.float16), strict=True))

NATIVE_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""What Linux calls a processor's own products of bfloat16: on x86 with AVX-512 or AMX, on Arm."""

_CPUINFO = Path("/proc/cpuinfo")


def resolve_precision(
    name: str, device: torch.device, *, runtime: Runtime = "torch", deep: bool = True
) -> str:
    """What `auto` stands for: bf16 where the device has it; else fp16 on a GPU, and fp32 on a CPU.

    A network that is not `deep`, of a single layer, gains nothing by bf16 on a CPU.

    Raises:
        OptionError: an unknown name, or fp16 on a CPU.
    """
    check_precision(name, device=device.type)
    if name == "auto":
        if device.type == "cpu":
            return "bf16" if deep and runtime != "onnxruntime" and has_native_bf16() else "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return name


def has_native_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; False where the system does not say, as outside Linux.

    Without it torch computes in float32 and only rounds in between, which is slower than float32 alone.
    """
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return False
    flags = (line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features")))
    return bool(NATIVE_BF16 & set(next(flags, "").split()))
