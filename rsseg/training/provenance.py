"""What a run was computed with, each time that it was begun or gone on with."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rsseg.errors import WeightsError
from rsseg.files import write_file
from rsseg.training.options import TrainOptions
from rsseg.version import __version__
from rsseg.weights import find_weights
from rsseg.weights.files import file_sha256
from rsseg.weights.pretrained import IMAGENET

_PACKAGES = ("numpy", "rasterio", "kornia", "safetensors")


def describe_origin(options: TrainOptions) -> dict[str, str]:
    """The weights, or the encoder's, that the run starts from; empty if it starts from random numbers.

    Raises:
        WeightsError: they are gone.
    """
    source = options.weights or options.pretrained
    if not source or source == IMAGENET:  # the card says which file that was
        return {"from": source} if source else {}
    return {"from": source, "sha256": file_sha256(find_weights(source))}


def describe_start(*, step: int, device: torch.device, **facts: Any) -> dict[str, Any]:
    """What computes from step `step` on, when, and by which command; `facts` are added as they are."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "from_step": step,
        "command": shlex.join(sys.argv),
        "device": f"{device} ({processor})",
        "threads": torch.get_num_threads(),
        **facts,
        "system": platform.platform(),
        "versions": {
            "rsseg": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{name: version(name) for name in _PACKAGES},
        },
    }


def write_provenance(path: Path, origin: Mapping[str, str], *starts: Mapping[str, Any]) -> None:
    """Write where the weights come from, and how the run was started each time, as JSON.

    Raises:
        ResourceError: the disk does not take it.
    """
    text = json.dumps({"weights": origin, "starts": starts}, indent=2, ensure_ascii=False)
    write_file(path, f"{text}\n".encode())


def add_start(path: Path, start: Mapping[str, Any]) -> None:
    """Add a start to a file; if it is gone, there is nothing to add to.

    Raises:
        WeightsError: the file is damaged.
        ResourceError: the disk does not take it.
    """
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        write_provenance(path, earlier["weights"], *earlier["starts"], start)
    except (ValueError, KeyError, TypeError) as err:
        raise WeightsError(
            f"{path}: is damaged ({err})", hint="remove it; the run can go on without"
        ) from err
