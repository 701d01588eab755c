"""Which classes are compared, and what the ids of each raster mean.

A class map or a label raster may name its classes in its sidecar, and labels that are coded as a data set hands them
out have its classes. A raster that names none holds the ids of the classes given, or else of the class maps, or else of
the protocol, or else of coded labels. Without moves all that are named must be the same. With moves (`--map`) they are
brought together by name: those compared are the classes given, or else those of the class map (if it names none, of
whatever raster names some) after its moves, and every other class has to become one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rsseg.classes import IGNORE_INDEX, ClassInfo, ClassTable
from rsseg.errors import LabelError, OptionError
from rsseg.evaluation.pairs import Pair
from rsseg.evaluation.protocols import Protocol
from rsseg.evaluation.recoding import Move, Recoding, Side
from rsseg.raster.categories import read_categories
from rsseg.raster.vectors import is_vector_file

Tables = Mapping[Path, ClassTable | None]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What is compared.

    Attributes:
        classes: the classes compared; None where nothing names any.
        not_in_means: ids of the classes that no mean is over.
        not_in_labels: ids of those among them whose labelled pixels are left out.
        maps: what the values of each class map count as, of second ones, too.
        labels: the same for labels.
        notes: what a person should know, one sentence each.
    """

    classes: ClassTable | None
    not_in_means: tuple[int, ...] = ()
    not_in_labels: tuple[int, ...] = ()
    maps: Mapping[Path, Recoding] = field(default_factory=dict)
    labels: Mapping[Path, Recoding] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def agree_on_classes(
    pairs: Sequence[Pair], given: ClassTable | None, *, moves: Sequence[Move], protocol: Protocol
) -> Agreement:
    """Find the classes that are compared and what every raster's ids mean.

    Args:
        pairs: class maps with their labels; polygons have the classes compared from the start.
        given: the classes to compare, or None.
        moves: what counts as something else; of several for one class the last one holds.
        protocol: leaves classes out of labels and means, and may name the classes itself.

    Raises:
        LabelError: rasters name classes that contradict one another, are none of those compared, or are not those of
            the protocol.
        OptionError: a move is about a class that does not exist, or leads to none; or labels that are said to be coded
            name their classes, so that they hold class ids.
    """
    maps = {pair.prediction: read_categories(pair.prediction) for pair in pairs}
    others = {pair.other: read_categories(pair.other) for pair in pairs if pair.other is not None}
    labels = {pair.labels: _label_classes(pair) for pair in pairs}
    coded = {pair.labels: pair.coding.name for pair in pairs if pair.coding is not None}
    codings = dict.fromkeys(f"labels are {pair.coding.text}" for pair in pairs if pair.coding is not None)
    agreed = agree_on_tables(maps, labels, given, moves=moves, protocol=protocol, others=others, coded=coded)
    return replace(agreed, notes=(*agreed.notes, *codings))


def agree_on_tables(
    maps: Tables,
    labels: Tables,
    given: ClassTable | None,
    *,
    moves: Sequence[Move],
    protocol: Protocol,
    others: Tables | None = None,
    coded: Mapping[Path, str] | None = None,
) -> Agreement:
    """The same by the classes that class maps, labels and second maps name, None for those that name none.

    The classes of labels that are `coded`, by the name of their data set, are known for sure: class maps that name none
    hold the ids of these.
    """
    coded = coded or {}
    maps, first = {**(others or {}), **maps}, maps
    own = given or (None if None in first.values() else next(iter(first.values())))
    notes: tuple[str, ...] = ()
    if own is None and (default := protocol.own_classes()) is not None:
        own = next((t for t in (*maps.values(), *labels.values()) if t is not None), default)
        if own is default:
            notes = (f"the class maps do not name their classes; taken for those of {protocol.name}",)
    if own is None and (moves or coded):
        named = [(path, table) for path, table in {**labels, **maps}.items() if table is not None]
        for path, table in named[:1]:
            whose = coded.get(path, path)
            own, notes = table, (f"the class maps do not name their classes; taken for those of {whose}",)
    if not moves:
        _check_same(given, {**maps, **labels}, coded)
    if own is not None:
        moves = [_with_name(move, own) for move in moves]
    compared = own if own is None or given is not None else _renamed(own, moves)
    if compared is not None:
        protocol.check_classes(compared)
    recodings = _Recodings(own, compared, moves)
    found = Agreement(
        classes=compared,
        maps={path: recodings.make(path, table, side="prediction") for path, table in maps.items()},
        labels={path: recodings.make(path, table, side="labels") for path, table in labels.items()},
        notes=notes,
    )
    recodings.check_used([*maps.values(), *labels.values(), own])
    nameless = [path for path, table in labels.items() if table is None and not is_vector_file(path)]
    return _with_protocol(_with_coding(found, nameless, protocol), recodings.ignored, protocol)


def _label_classes(pair: Pair) -> ClassTable | None:
    if pair.opened is not None:
        return pair.opened.classes
    named = None if is_vector_file(pair.labels) else read_categories(pair.labels)
    if pair.coding is None:
        return named
    if named is not None:
        raise OptionError(
            f"{pair.labels}: names its classes, so it holds class ids, and not what {pair.coding.name} hands out",
            hint="leave --labels-as out",
        )
    return pair.coding.classes


def _check_same(given: ClassTable | None, tables: Tables, coded: Mapping[Path, str]) -> None:
    """Refuse rasters that name other classes than those before them."""
    found = [("the table of classes given", given)]
    found += [
        (f"{path}, read as {coded[path]}" if path in coded else f"{path}", t) for path, t in tables.items()
    ]
    named = [(what, table.names) for what, table in found if table is not None]
    for what, names in named:
        if names != named[0][1]:
            sidecar = Path(f"{what}.aux.xml")
            raise LabelError(
                f"{what}: has the classes {', '.join(names)}; {named[0][0]} has {', '.join(named[0][1])}",
                hint="only the same classes can be compared; say which is which with --map FROM=TO"
                + (
                    f", or, if just the names are wrong, mend or remove {sidecar}"
                    if sidecar.is_file()
                    else ""
                ),
            )


def _renamed(classes: ClassTable, moves: Sequence[Move]) -> ClassTable:
    """The classes of a map after its moves, each once; one that is left out stays, for it may still be predicted."""
    names: dict[str, ClassInfo] = {}
    targets = {
        class_id: move.target
        for move in moves
        if move.side != "labels"
        and not move.ignores
        and (class_id := _id_of(move.source, classes)) is not None
    }
    for info in classes:
        target = targets.get(info.id, info.name)
        color = classes.classes[classes.names.index(target)].color if target in classes.names else info.color
        names.setdefault(target, ClassInfo(len(names), target, color))
    return ClassTable(tuple(names.values()))


def _with_name(move: Move, classes: ClassTable) -> Move:
    """The move, with the name of its target where that is said by id."""
    found = _id_of(move.target, classes)
    return move if found is None or move.ignores else replace(move, target=classes.names[found])


def _id_of(text: str, classes: ClassTable) -> int | None:
    """The id of a class given by name or, failing that, by id; None if there is none."""
    if text in classes.names:
        return classes.names.index(text)
    return int(text) if text.isdecimal() and int(text) < len(classes) else None


class _Recodings:
    """Makes the recoding of each raster, and remembers which moves were of use.

    `own` are the classes of rasters that name none, `compared` those that all become; None where nothing names any.
    """

    def __init__(self, own: ClassTable | None, compared: ClassTable | None, moves: Sequence[Move]) -> None:
        self._own = own
        self._compared = compared
        self._moves = moves
        self._used: set[Move] = set()
        self.ignored: set[int] = set()  # classes compared whose labels are left out by a move

    def make(self, path: Path, table: ClassTable | None, *, side: Side) -> Recoding:
        """What the values of a raster count as; polygons in a file are painted with classes that already do."""
        if not self._moves or (table is None and is_vector_file(path)):
            return Recoding()
        classes = table or self._own
        moves = {
            value: move
            for move in self._moves
            if move.is_about(side)
            and (value := self._value(move.source, classes, named=bool(table))) is not None
        }
        self._used.update(moves.values())
        values = np.arange(256, dtype=np.uint8)
        known = np.full(256, classes is None)
        known[IGNORE_INDEX] = True
        for info in classes or ():
            known[info.id] = True
            if info.id not in moves:
                values[info.id] = self._class(path, info.name)
        for value, move in moves.items():
            known[value] = True
            values[value] = self._target(move)
            if move.ignores and side == "labels":
                self._leave_out(value, classes)
        texts = {value: _told(value, classes, move) for value, move in moves.items()}
        return Recoding(values, known, texts)

    def check_used(self, tables: Sequence[ClassTable | None]) -> None:
        """Refuse moves of classes that no raster has.

        Raises:
            OptionError: see above.
        """
        for move in self._moves:
            if move not in self._used:
                names = dict.fromkeys(name for table in tables if table is not None for name in table.names)
                listed = (
                    f"classes are: {', '.join(names)}" if names else "no raster names its classes: give ids"
                )
                raise OptionError(f"--map {move}: no raster has the class {move.source!r}", hint=listed)

    def _value(self, text: str, classes: ClassTable | None, *, named: bool) -> int | None:
        """The pixel value of a class; rasters that name no classes may hold any."""
        found = None if classes is None else _id_of(text, classes)
        if found is None and not named and text.isdecimal() and int(text) < IGNORE_INDEX:
            return int(text)
        return found

    def _class(self, path: Path, name: str) -> int:
        """The class compared that has the name of a raster's class."""
        assert self._compared is not None
        if name not in self._compared.names:
            raise LabelError(
                f"{path}: has the class {name!r}; compared are {', '.join(self._compared.names)}",
                hint=f"say what it counts as: --map '{name}=CLASS', or '{name}=ignore'",
            )
        return self._compared.names.index(name)

    def _target(self, move: Move) -> int:
        if move.ignores:
            return IGNORE_INDEX
        if self._compared is None:
            if move.target.isdecimal() and int(move.target) < IGNORE_INDEX:
                return int(move.target)
            raise OptionError(
                f"--map {move}: the class maps do not name their classes",
                hint="give ids, or name them with --classes",
            )
        if move.target not in self._compared.names:
            raise OptionError(
                f"--map {move}: {move.target!r} is no class that is compared",
                hint=f"these are: {', '.join(self._compared.names)}",
            )
        return self._compared.names.index(move.target)

    def _leave_out(self, value: int, classes: ClassTable | None) -> None:
        """Remember the class compared whose labels do not count."""
        if self._compared is None:
            self.ignored.add(value)
        elif classes is not None and value < len(classes) and classes.names[value] in self._compared.names:
            self.ignored.add(self._compared.names.index(classes.names[value]))


def _told(value: int, classes: ClassTable | None, move: Move) -> str:
    name = f"id {value}" if classes is None or value >= len(classes) else classes.names[value]
    return f"{name} left out" if move.ignores else f"{name} counted as {move.target}"


def _with_coding(agreement: Agreement, nameless: Sequence[Path], protocol: Protocol) -> Agreement:
    """Say how the ids of labels that name no classes are read, and refuse the one that shows that they are others."""
    classes = agreement.classes
    if classes is None or not nameless or not (note := protocol.coding_note(classes)):
        return agreement
    beyond = len(classes)
    labels = {
        path: replace(recoding, telling={beyond: protocol.handed_out})
        if path in nameless and beyond not in recoding.moved
        else recoding
        for path, recoding in agreement.labels.items()
    }
    return replace(agreement, labels=labels, notes=(*agreement.notes, note))


def _with_protocol(agreement: Agreement, ignored: set[int], protocol: Protocol) -> Agreement:
    """Leave out of labels and means what the protocol does, too."""
    classes = agreement.classes
    if classes is None:
        ids = tuple(sorted(ignored))
        return replace(agreement, not_in_means=ids, not_in_labels=ids)
    out = {k: f"{classes.names[k]} left out ({protocol.name})" for k in protocol.ids_not_in_labels(classes)}
    means = ignored.union(protocol.ids_not_in_means(classes))
    if len(means) == len(classes):
        raise OptionError("every class is left out of the means", hint="keep a class that is compared")
    labels = (
        {path: recoding.leaving_out(out) for path, recoding in agreement.labels.items()}
        if out
        else agreement.labels
    )
    return replace(
        agreement,
        labels=labels,
        not_in_means=tuple(sorted(means)),
        not_in_labels=tuple(sorted(ignored.union(out))),
    )
