"""What a map was made of, by what and how: written into it, and compared before an unfinished run is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rsseg.errors import RasterError
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.sizes import Sizes
from rsseg.preprocess import short
from rsseg.version import __version__
from rsseg.weights import Weights
from rsseg.weights.files import file_sha256


def tags_of(
    weights: Weights,
    imagery: Imagery,
    options: PredictOptions,
    *,
    sizes: Sizes,
    context: str,
    precision: str,
    runtime: str,
) -> dict[str, str]:
    """Provenance that depends on nothing but input, weights and options: no times, no paths, no thread counts."""
    threshold, used = options.threshold, options.use_context
    told = {
        "version": __version__,
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        "tile": sizes.tile,
        "halo": sizes.halo,
        "blend": options.blend,
        "context": context,
        "context_sample": options.context_sample,
        "context_sha256": used and file_sha256(used),
        "tta": options.tta,
        "precision": precision,
        "runtime": runtime,
        "threshold": threshold and f"{threshold.name}={short(threshold.probability)}",
        "min_area": options.min_area if options.min_area > 1 else None,
        "aoi_sha256": imagery.area and imagery.area.sha256,
        **imagery.described(),
    }
    return {f"RSSEG_{name.upper()}": _plain(value) for name, value in told.items() if value is not None}


def describe_run(imagery: Imagery, tags: Mapping[str, str], **settings: Any) -> dict[str, Any]:
    """Describe a run in plain JSON; runs that are described alike give the same map.

    Args:
        imagery: the raster; its files are known by name, size and time of change, without their folder, and remote
            ones by name and a few pixels.
        tags: the provenance that the map will hold: weights, sizes and options. The smallest region that stays is no
            part of it, since all that is done for a map before it is finished does not depend on it.
        settings: what else decides the map, such as the device.

    Raises:
        RasterError: a remote file cannot be read.
    """
    named = {name.removeprefix("RSSEG_").lower(): value for name, value in tags.items()}
    return {
        **{name: value for name, value in named.items() if name != "min_area"},
        "version": f"{__version__} with torch {torch.__version__}",
        "image": [imagery.grid.width, imagery.grid.height, *map(_file, imagery.files)],
        "pixels": imagery.checksum(),
        "seen": [imagery.source.grid.width, imagery.source.grid.height],
        **settings,
    }


def check_unchanged(run: Mapping[str, Any], imagery: Imagery) -> None:
    """Refuse to finish a map whose input was changed while it was read: parts of it may be of another image.

    A file that is gone is no such case, for what is open can be read to its end.

    Args:
        run: what `describe_run` said at the beginning.
        imagery: the raster.

    Raises:
        RasterError: a file has another size or time of change.
    """
    for path, before in zip(imagery.files, run["image"][2:], strict=True):
        if _file(path) not in (before, [path]):
            raise RasterError(
                f"{path}: was changed while it was read",
                hint="when it is complete, start anew with --no-resume",
            )


def _plain(value: Any) -> str:
    """A value as a tag: lists with commas, numbers exactly."""
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    return short(value) if isinstance(value, float) else str(value)


def _file(path: str) -> list[str | int]:
    """A local file as it is now; anything else by its name alone."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return [path]
    return [Path(path).name, status.st_size, status.st_mtime_ns]
