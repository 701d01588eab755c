"""How the field takes scores: a table of protocols, each with a name that every number carries.

All of them sum one confusion matrix over all pixels of all images before anything is divided. They differ in the
classes they are about, in the classes whose scores are averaged, and in the labelled pixels that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rsseg.classes import ClassTable
from rsseg.errors import LabelError, OptionError

Erosion = int | Literal["given"] | None
"""A disc's radius in pixels, within which labels lose the edges of objects; `given`: the labels came without them."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which classes there are, which of them the means are over, and which labelled pixels count.

    Attributes:
        name: what it is called on the command line.
        text: what a person should know about it, printed with the scores.
        classes: the names that are expected, in any order; none for any classes.
        count: how many classes are expected, where their names do not matter.
        not_in_means: classes that stay in the matrix, and so in the errors of others, but in no mean.
        not_in_labels: classes whose labelled pixels are left out of everything; they are in no mean either.
        erodible: whether it is ever taken on labels without the edges of objects.
        benchmark: whether it has a score of its own, the mean of overall accuracy and mean IoU.
        handed_out: how the data set's label files are coded, where their values are the ids of the classes and one
            more; empty where they cannot be mistaken.
    """

    name: str
    text: str
    classes: tuple[str, ...] = ()
    count: int | None = None
    not_in_means: tuple[str, ...] = ()
    not_in_labels: tuple[str, ...] = ()
    erodible: bool = False
    benchmark: bool = False
    handed_out: str = ""

    def titled(self, erode: Erosion) -> str:
        """The name of the scores, one word: `isprs`, `isprs+eroded3`, `isprs+eroded-labels`."""
        if erode is None:
            return self.name
        return f"{self.name}+eroded{'-labels' if erode == 'given' else erode}"

    def check_erosion(self, erode: Erosion) -> None:
        """Refuse labels without edges where scores on such labels would compare with nothing.

        Raises:
            OptionError: see above.
        """
        if erode is not None and not self.erodible:
            raise OptionError(
                f"--erode {erode}: the protocol {self.name} is taken on whole labels",
                hint="protocols that know erosion: " + ", ".join(p.name for p in _TABLE if p.erodible),
            )

    def check_classes(self, found: ClassTable) -> None:
        """Refuse classes that are not those of the protocol.

        Names are the same whatever their case, blanks, hyphens and underscores, and in any order.

        Raises:
            LabelError: there are others, or another number of them.
        """
        expected = len(self.classes) or self.count
        if expected is None:
            return
        named = {_plain(name) for name in found.names} == {_plain(name) for name in self.classes}
        if len(found) != expected or (self.classes and not named):
            wanted = f": {', '.join(self.classes)}" if self.classes else ""
            raise LabelError(
                f"the protocol {self.name} is about {expected} classes{wanted}; "
                f"compared are {len(found)}: {_shortened(found.names)}",
                hint="rename or merge classes with --map FROM=TO, or take --protocol plain",
            )

    def own_classes(self) -> ClassTable | None:
        """The classes of rasters that name none: the protocol's, in its order; None where it has none of its own."""
        if self.count is not None:
            return ClassTable.unnamed(self.count)
        return classes_called(self.classes) if self.classes else None

    def coding_note(self, classes: ClassTable) -> str:
        """What the ids of labels that name no classes are taken for, where they may well be something else."""
        return f"ids are taken as 0 to {len(classes) - 1}; {self.handed_out}" if self.handed_out else ""

    def ids_not_in_means(self, classes: ClassTable) -> tuple[int, ...]:
        """The ids of the classes that no mean is over."""
        return _ids((*self.not_in_means, *self.not_in_labels), classes)

    def ids_not_in_labels(self, classes: ClassTable) -> tuple[int, ...]:
        """The ids of the classes whose labelled pixels are left out."""
        return _ids(self.not_in_labels, classes)


def find_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"protocol {name!r}: unknown", hint=f"protocols are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def classes_called(names: Sequence[str]) -> ClassTable:
    """Classes of these names, in their order, with made-up colours."""
    made_up = ClassTable.unnamed(len(names))
    return ClassTable(tuple(replace(c, name=name) for c, name in zip(made_up, names, strict=True)))


def _ids(names: tuple[str, ...], classes: ClassTable) -> tuple[int, ...]:
    wanted = {_plain(name) for name in names}
    return tuple(c.id for c in classes if _plain(c.name) in wanted)


def _plain(name: str) -> str:
    """A name without case, blanks, hyphens and underscores, which every source of a data set writes otherwise."""
    return name.casefold().translate(str.maketrans("", "", " -_"))


def _shortened(names: tuple[str, ...], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_ISPRS = ("impervious_surface", "building", "low_vegetation", "tree", "car", "clutter")
_UAVID = ("clutter", "building", "road", "static_car", "tree", "low_vegetation", "human", "moving_car")
_LOVEDA = ("background", "building", "road", "water", "barren", "forest", "agricultural")
_CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *(
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
)

_TABLE = (
    Protocol(
        name="plain",
        text="means over all classes that are in the labels or in the class map; "
        "overall accuracy over all labelled pixels",
        erodible=True,
    ),
    Protocol(
        name="isprs",
        text="Vaihingen and Potsdam: means over the five classes without clutter; "
        "overall accuracy over all labelled pixels, clutter included",
        classes=_ISPRS,
        not_in_means=("clutter",),
        erodible=True,
    ),
    Protocol(
        name="isprs-no-clutter",
        text="Vaihingen and Potsdam, the stricter reading: pixels labelled clutter are left out of everything; "
        "means over the five other classes, overall accuracy over their pixels",
        classes=_ISPRS,
        not_in_labels=("clutter",),
        erodible=True,
    ),
    Protocol(
        name="uavid",
        text="UAVid: means over all 8 classes, clutter included; overall accuracy over all labelled pixels",
        classes=_UAVID,
    ),
    Protocol(
        name="loveda",
        text="LoveDA: means over all 7 classes, background included; overall accuracy over all pixels but no-data",
        classes=_LOVEDA,
        handed_out="LoveDA's label files as handed out hold 1 to 7 and 0 for no data: read those with "
        "--labels-as loveda",
    ),
    Protocol(
        name="cityscapes",
        text="Cityscapes, semantic: means over the 19 evaluated classes; pixels of all others left out",
        classes=_CITYSCAPES,
    ),
    # Its 150 names are lists of synonyms that every release writes otherwise: a check would refuse the right ones.
    Protocol(
        name="ade20k",
        text="ADE20K scene parsing: mean IoU over the 150 classes, pixel (overall) accuracy over all labelled pixels; "
        "the benchmark score is the mean of both",
        count=150,
        benchmark=True,
        handed_out="ADE20K's label files as handed out hold 1 to 150 and 0 for no class: read those with "
        "--labels-as ade20k",
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _TABLE}
"""All protocols by name. Source: the benchmarks' own pages and tools; docs/decisions/0016 says what is not known."""
