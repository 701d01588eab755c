"""Classes that are renamed, merged or left out before labels and class maps are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.classes import IGNORE_INDEX
from rsseg.errors import LabelError, OptionError
from rsseg.evaluation.rules import IGNORE

Side = Literal["labels", "prediction"]


@dataclass(frozen=True)
class Move:
    """`FROM=TO`: pixels of a class count as another one, or, with `ignore`, as none.

    It is about labels and class maps both, or only about those on its `side`. `ignore` alone is about labels only: a
    prediction that is left out would hide an error. Where the side is `prediction`, it makes pixels nodata, which are
    not compared and shown.
    """

    source: str
    target: str
    side: Side | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `FROM=TO`, `labels:FROM=TO` or `prediction:FROM=TO`; the last `=` divides.

        Raises:
            OptionError: another form.
        """
        head, colon, rest = text.partition(":")
        side: Side | None = None
        if colon and head in ("labels", "prediction"):
            side, text = ("labels" if head == "labels" else "prediction"), rest
        source, equals, target = text.rpartition("=")
        if not (equals and source and target):
            raise OptionError(
                f"--map {text}: is not of the form FROM=TO",
                hint="for example --map tree=vegetation, or --map labels:7=ignore",
            )
        return cls(source, target, side)

    def __str__(self) -> str:
        return f"{self.side + ':' if self.side else ''}{self.source}={self.target}"

    @property
    def ignores(self) -> bool:
        """Whether its pixels count as none."""
        return self.target in (IGNORE, str(IGNORE_INDEX))

    def is_about(self, side: Side) -> bool:
        """Whether it changes rasters of that side."""
        if self.side is None and self.ignores:
            return side == "labels"
        return self.side in (None, side)


@dataclass(frozen=True, eq=False)
class Recoding:
    """What the values of a raster count as.

    Attributes:
        table: (256,) the class of each value; 255 for none.
        known: (256,) which values may occur.
        moved: of values that count as something else, what a person is told: `tree counts as low_vegetation`.
        telling: values that are no class and show that the raster is coded otherwise, with what to do about it.
    """

    table: NDArray[np.uint8] = field(default_factory=lambda: np.arange(256, dtype=np.uint8))
    known: NDArray[np.bool_] = field(default_factory=lambda: np.ones(256, dtype=np.bool_))
    moved: Mapping[int, str] = field(default_factory=dict)
    telling: Mapping[int, str] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether any value counts as another."""
        return bool((self.table != np.arange(256)).any())

    def leaving_out(self, ids: Mapping[int, str]) -> Recoding:
        """The same, but with these classes ignored; `ids` says why."""
        table, moved = self.table.copy(), dict(self.moved)
        for class_id, text in ids.items():
            for value in np.flatnonzero(self.table == class_id).tolist():
                table[value] = IGNORE_INDEX
                moved[value] = text
        return replace(self, table=table, moved=moved)

    def __call__(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Classes of values, any shape.

        Raises:
            LabelError: a value is none of those known.
        """
        for value, hint in self.telling.items():
            if count := np.count_nonzero(values == value):
                raise LabelError(f"labels hold id {value} ({count} px), which is no class", hint=hint)
        if not self.changes:
            return values
        unknown = ~self.known[values]
        if unknown.any():
            raise LabelError(
                f"id {values[unknown][0]} ({np.count_nonzero(unknown)} px with such ids) is no class of the raster",
                hint="say what it counts as: --map ID=CLASS, or --map labels:ID=ignore",
            )
        return self.table[values]

    def tally(self, values: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How often each value occurs, (256,); nothing is counted where none is moved."""
        if not self.moved:
            return np.zeros(256, dtype=np.int64)
        return np.bincount(values.ravel(), minlength=256)

    def notes(self, path: object, tally: NDArray[np.int64]) -> tuple[str, ...]:
        """What was moved, with its pixels, one sentence each."""
        return tuple(
            f"{path}: {text}, {tally[value]:,} px" for value, text in self.moved.items() if tally[value]
        )
