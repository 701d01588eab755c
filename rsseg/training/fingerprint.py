"""What a checkpoint remembers of the data, to notice when they change under a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rsseg.data.scenes import DataSet, Scene
from rsseg.errors import WeightsError
from rsseg.weights import WeightCard


def describe_data(dataset: DataSet, source: Path) -> dict[str, str]:
    """Facts by name: classes, channels, pixel type, and a line on each scene.

    Paths are relative to where the data set lies, so that it may be moved as a whole.
    """
    root = (source if source.is_dir() else source.parent).resolve()
    facts = _kind(dataset.classes.names, dataset.channels, dataset.dtype)
    for part, scenes in (("train", dataset.train), ("val", dataset.val)):
        for number, scene in enumerate(scenes, start=1):
            path = Path(scene.image.path).resolve()
            facts[f"{part} scene {number} ({os.path.relpath(path, root)})"] = _line(scene, path)
    return facts


def check_same_data(
    found: Mapping[str, str], saved: Mapping[str, str], card: WeightCard, *, run: Path
) -> None:
    """Refuse to go on with other data than the run began with.

    Args:
        found: what `describe_data` says now.
        saved: what it said then; empty in a checkpoint that did not keep it: then the card alone is compared.
        card: that of the run.
        run: its folder.

    Raises:
        WeightsError: a fact is another one; the message names the first.
    """
    known = saved or _kind(card.classes.names, len(card.bands), card.scaling.dtype)
    names = [*known, *(found if saved else ())]
    for name in names:
        if known.get(name) != found.get(name):
            raise WeightsError(
                f"{run}: the data changed: {name} was {known.get(name, 'not there')},"
                f" is {found.get(name, 'gone')}",
                hint="a run keeps its data; undo the change, or start a new run (with --weights if you like)",
            )


def _kind(classes: tuple[str, ...], channels: int, dtype: str) -> dict[str, str]:
    return {"classes": ", ".join(classes), "channels": str(channels), "pixel type": dtype}


def _line(scene: Scene, path: Path) -> str:
    grid = scene.image.grid
    size = f"{path.stat().st_size} bytes, " if path.is_file() else ""
    return (
        f"{grid.width} x {grid.height} px, {size}bands {','.join(map(str, scene.image.bands))},"
        f" labelled pixels {','.join(map(str, scene.class_pixels.tolist()))}"
    )
