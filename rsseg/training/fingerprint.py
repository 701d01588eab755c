"""What a run remembers of its data: as a table for people, and to notice when they change under it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rsseg.data.scenes import DataSet, Scene
from rsseg.errors import WeightsError


def describe_data(dataset: DataSet, source: Path) -> dict[str, str]:
    """Facts by name: classes, channels, pixel type, and a line on each scene.

    Paths are relative to where the data set lies, so that it may be moved as a whole.
    """
    root = _root(source)
    facts = {
        "classes": ", ".join(dataset.classes.names),
        "channels": str(dataset.channels),
        "pixel type": dataset.dtype,
    }
    for part, scenes in (("train", dataset.train), ("val", dataset.val)):
        for number, scene in enumerate(scenes, start=1):
            path = Path(scene.image.path).resolve()
            facts[f"{part} scene {number} ({os.path.relpath(path, root)})"] = _line(scene, path)
    return facts


def list_scenes(dataset: DataSet, source: Path) -> list[dict[str, str | int]]:
    """A row for each scene: its part, its files, its size, and its labelled pixels, in all and by class.

    Paths are relative to where the data set lies; `aoi` is empty where a whole image is labelled.
    """
    root = _root(source)
    return [
        {
            "part": part,
            "image": os.path.relpath(scene.entry.image, root),
            "labels": os.path.relpath(scene.entry.labels, root),
            "aoi": os.path.relpath(scene.entry.aoi, root) if scene.entry.aoi else "",
            "width": scene.image.grid.width,
            "height": scene.image.grid.height,
            "labelled px": int(scene.class_pixels.sum()),
            **{
                f"{name} px": int(pixels)
                for name, pixels in zip(dataset.classes.names, scene.class_pixels, strict=True)
            },
        }
        for part, scenes in (("train", dataset.train), ("val", dataset.val))
        for scene in scenes
    ]


def _root(source: Path) -> Path:
    return (source if source.is_dir() else source.parent).resolve()


def check_same_data(found: Mapping[str, str], saved: Mapping[str, str], *, run: Path) -> None:
    """Refuse to go on with other data than the run began with.

    Args:
        found: what `describe_data` says now.
        saved: what it said then.
        run: the folder of the run.

    Raises:
        WeightsError: a fact is another one; the message names the first.
    """
    for name in [*saved, *found]:
        if saved.get(name) != found.get(name):
            raise WeightsError(
                f"{run}: the data changed: {name} was {saved.get(name, 'not there')},"
                f" is {found.get(name, 'gone')}",
                hint="a run keeps its data; undo the change, or start a new run (with --weights if you like)",
            )


def _line(scene: Scene, path: Path) -> str:
    grid = scene.image.grid
    size = f"{path.stat().st_size} bytes, " if path.is_file() else ""
    return (
        f"{grid.width} x {grid.height} px, {size}bands {','.join(map(str, scene.image.bands))},"
        f" labelled pixels {','.join(map(str, scene.class_pixels.tolist()))}"
    )
