"""What a run must have in common with the one that it goes on with: whatever could change a pixel of the map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rsseg.raster import RasterSource
from rsseg.version import __version__

CONTEXT_NAME = "context.safetensors"
"""Where the raster's context waits in the staging folder, so that a run that is gone on with need not take it again."""


def describe_run(source: RasterSource, tags: Mapping[str, str], **settings: Any) -> dict[str, Any]:
    """Describe a run in plain JSON; runs that are described alike give the same map.

    Args:
        source: the raster; its files are known by name, size and time of change, without their folder.
        tags: the provenance that the map will hold: weights, sizes and options.
        settings: what else decides the map, such as the device.
    """
    return {
        **{name.removeprefix("RSSEG_").lower(): value for name, value in tags.items()},
        "version": f"{__version__} with torch {torch.__version__}",
        "image": [source.grid.width, source.grid.height, *map(_file, source.files)],
        **settings,
    }


def _file(path: str) -> list[str | int]:
    """A local file as it is now; anything else by its name alone."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return [path]
    return [Path(path).name, status.st_size, status.st_mtime_ns]
