"""What all presets do: tables, folders, pairs of image and label, and refusals that say what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsseg.classes import IGNORE_INDEX, ClassTable, load_classes
from rsseg.data.coding import LabelCoding
from rsseg.data.entries import SceneEntry
from rsseg.errors import LabelError

_TABLES = Path(__file__).parent / "tables"

_SHOWN = 6
"""Names that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is written down about a data set: classes, which values of the labels mean them, and published lists."""

    classes: ClassTable
    values: Mapping[int, int]
    lists: Mapping[str, tuple[str, ...]]

    def color_coding(self, *, left_out: Iterable[tuple[int, int, int]] = ()) -> LabelCoding:
        """Labels painted in the colours of the classes; those `left_out` are ignored."""
        ids = {c.rgb: c.id for c in self.classes}
        return LabelCoding.of_colors(ids | dict.fromkeys(left_out, IGNORE_INDEX))

    def value_coding(self, *, left_out: Iterable[int]) -> LabelCoding:
        """Labels of published values; those `left_out` are ignored."""
        return LabelCoding.of("value", {**self.values, **dict.fromkeys(left_out, IGNORE_INDEX)})


def load_table(name: str) -> Table:
    """Read a table of this package, such as `vaihingen`."""
    path = _TABLES / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = document["classes"]
    return Table(
        classes=load_classes(path),
        values={row["value"]: row["id"] for row in rows if "value" in row},
        lists={key: tuple(names) for key, names in document.items() if key != "classes"},
    )


def find_folder(folder: Path, names: Sequence[str], *, preset: str) -> Path:
    """The first of some folders that exists: what the same thing is called in several releases.

    Raises:
        LabelError: none of them does; the message lists what is there instead.
    """
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise _wrong(folder, preset, f"the folder {' or '.join(f'{name}/' for name in names)}")


def find_files(folder: Path, pattern: str, *, preset: str) -> dict[str, Path]:
    """Files of a folder by what the groups of `pattern`, which their whole name matches, capture, in order of names.

    Raises:
        LabelError: no file matches.
    """
    shape = re.compile(pattern)
    matches = [(shape.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    found = {"/".join(match.groups()): path for match, path in matches if match}
    if not found:
        raise _wrong(folder, preset, f"files called {_readable(pattern)}")
    return found


def _wrong(folder: Path, preset: str, expected: str) -> LabelError:
    return LabelError(
        f"{folder}: is not laid out like {preset}: expected {expected}, found {_listing(folder)}",
        hint=f"`rsseg data presets {preset}` shows the folders as they are published",
    )


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) + more) if names else "an empty folder"


def _readable(pattern: str) -> str:
    """A pattern as a person would write it: `*` for what differs."""
    return re.sub(r"\([^()]*\)", "*", pattern).replace("\\", "")


def pair(
    images: Mapping[str, Path], labels: Mapping[str, Path], coding: LabelCoding, *, preset: str
) -> tuple[SceneEntry, ...]:
    """Join images and labels that have the same key; none may be left over.

    Raises:
        LabelError: an image has no label, or the reverse.
    """
    for name, some, others in (("label", images, labels), ("image", labels, images)):
        alone = sorted(some.keys() - others.keys())
        if alone:
            raise LabelError(
                f"{some[alone[0]]}: has no {name}; {len(alone)} of {len(some)} have none, expected one of each",
                hint=f"is this copy of {preset} complete?",
            )
    return tuple(SceneEntry(image=images[key], labels=labels[key], coding=coding) for key in sorted(images))


def pick(
    names: Iterable[str],
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    coding: LabelCoding,
    *,
    preset: str,
) -> tuple[SceneEntry, ...]:
    """Join those images and labels that a published list names.

    Raises:
        LabelError: one of them is not there.
    """
    wanted = tuple(names)
    for kind, found in (("image", images), ("label", labels)):
        missing = [name for name in wanted if name not in found]
        if missing:
            folder = next(iter(found.values())).parent
            raise LabelError(
                f"{folder}: lacks {len(missing)} of the {len(wanted)} {kind}s of a part of {preset}:"
                f" {', '.join(missing[:_SHOWN])}{' ...' if len(missing) > _SHOWN else ''};"
                f" found {', '.join(list(found)[:_SHOWN])}{' ...' if len(found) > _SHOWN else ''}",
                hint="published scores are those of the published split; for your own, write a manifest.toml",
            )
    return tuple(SceneEntry(image=images[n], labels=labels[n], coding=coding) for n in wanted)
