"""The classes of a map: ids, names and colours, shared by weights, labels, class maps and scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg.errors import LabelError

IGNORE_INDEX = 255
"""Label value that is left out of losses and scores."""

NODATA_CLASS = 255
"""Value of a class map where the image has no valid pixel."""


@dataclass(frozen=True)
class ClassInfo:
    """One class: its id in labels and maps, its name, and its colour as `#RRGGBB`."""

    id: int
    name: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three numbers from 0 to 255."""
        return int(self.color[1:3], 16), int(self.color[3:5], 16), int(self.color[5:7], 16)


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set, with ids 0, 1, 2, ... in order.

    Raises:
        LabelError: no class, more than 255, ids with gaps, names given twice, or a colour that is not `#RRGGBB`.
    """

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        ids = [c.id for c in self.classes]
        if not 1 <= len(ids) <= NODATA_CLASS or ids != list(range(len(ids))):
            raise LabelError(
                f"class ids are {ids}; expected 0, 1, 2, ... without gaps, at most {NODATA_CLASS}"
            )
        if len(set(self.names)) != len(ids):
            raise LabelError(f"class names are {list(self.names)}; each must appear once")
        for c in self.classes:
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", c.color):
                raise LabelError(f"class {c.name!r}: colour is {c.color!r}; expected the form #RRGGBB")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the ids."""
        return tuple(c.name for c in self.classes)

    def colormap(self) -> dict[int, tuple[int, int, int]]:
        """Class id to (red, green, blue)."""
        return {c.id: c.rgb for c in self.classes}

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values for JSON."""
        return [{"id": c.id, "name": c.name, "color": c.color} for c in self.classes]

    @classmethod
    def from_list(cls, rows: Sequence[Mapping[str, Any]]) -> ClassTable:
        """Make a table from the rows that `to_list` gives.

        Raises:
            LabelError: a row lacks id, name or color, or the table is not one (see the class).
        """
        try:
            return cls(tuple(ClassInfo(int(r["id"]), str(r["name"]), str(r["color"])) for r in rows))
        except (KeyError, TypeError, ValueError) as err:
            raise LabelError("classes need an integer id, a name and a color each") from err

    @classmethod
    def unnamed(cls, count: int) -> ClassTable:
        """Make `count` classes called `class 0`, `class 1`, ... with colours spread around the colour wheel."""
        return cls(tuple(ClassInfo(i, f"class {i}", _wheel_color(i)) for i in range(count)))


def load_classes(path: Path) -> ClassTable:
    """Read a `classes.json`: an object whose `classes` lists id, name and color.

    Raises:
        LabelError: the file is missing, is not JSON, or holds no class table.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise LabelError(
            f"{path}: cannot be read ({err.strerror})", hint="a data set needs a classes.json"
        ) from err
    except ValueError as err:
        raise LabelError(f"{path}: is not JSON ({err})") from err
    rows = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise LabelError(f'{path}: has no list "classes"', hint="see the README for the form of classes.json")
    ignored = document.get("ignore_index", IGNORE_INDEX)
    if ignored != IGNORE_INDEX:
        raise LabelError(
            f"{path}: ignore_index is {ignored!r}; rsseg leaves out {IGNORE_INDEX} only",
            hint=f"write {IGNORE_INDEX} where a label raster shall not count",
        )
    try:
        return ClassTable.from_list(rows)
    except LabelError as err:
        raise LabelError(f"{path}: {err}", hint=err.hint) from err


def _wheel_color(index: int) -> str:
    """The golden angle keeps neighbours apart for any count of classes."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb((index * 0.61803398875) % 1.0, 0.65, 0.9)
    return f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"
