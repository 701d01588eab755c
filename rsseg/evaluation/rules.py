"""How polygons become classes, as a user says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rsseg.classes import IGNORE_INDEX, NODATA_CLASS, ClassTable
from rsseg.errors import OptionError
from rsseg.raster.vectors import is_vector_file

IGNORE = "ignore"
"""What stands for no class where a class is asked for."""


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """How features become classes, and where labels count; classes are names or ids.

    Either `class_name` is the class of every feature, or `values` gives a class, or `ignore`, for each value of
    `attribute`.
    `unlabelled` is the class of pixels under no feature, or `ignore`. By default that is the other class where one of
    two is drawn, and `ignore` where an attribute is read. Outside the polygons of `aoi` nothing counts, which holds
    for raster labels, too. `layer` is the layer of the label file.

    Raises:
        OptionError: both ways of naming classes at once, or half of one.
    """

    class_name: str | None = None
    attribute: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    unlabelled: str | None = None
    aoi: Path | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.class_name is not None and self.attribute is not None:
            raise OptionError(
                "one class for all features and an attribute to read it from exclude each other"
            )
        if bool(self.values) != (self.attribute is not None):
            raise OptionError(
                "an attribute and the classes of its values belong together",
                hint="for example --attribute kind --value house=building --value street=road",
            )

    def check_fits(self, path: Path) -> None:
        """Refuse rules for polygons with raster labels, and polygons without rules.

        Raises:
            OptionError: see above.
        """
        named = self.class_name is not None or self.attribute is not None
        if is_vector_file(path) and not named:
            raise OptionError(
                f"{path}: these labels are polygons; which class they are is not said",
                hint="add --class building, or --attribute kind --value house=building",
            )
        if not is_vector_file(path) and (named or self.unlabelled is not None or self.layer is not None):
            raise OptionError(
                f"{path}: these labels are pixels, which have their class; "
                "class, attribute, unlabelled and layer are for polygons"
            )

    def class_ids(self, classes: ClassTable | None) -> FeatureClasses:
        """Replace names of classes by ids; `classes` is None where nothing names them, then only ids will do.

        Raises:
            OptionError: a class that does not exist, or nothing says what lies between the features.
        """
        class_id = None if self.class_name is None else id_of_class(self.class_name, classes)
        values = {value: _id_or_ignore(name, classes) for value, name in self.values.items()}
        return FeatureClasses(
            class_id=class_id, values=values, unlabelled=self._unlabelled_id(class_id, classes)
        )

    def _unlabelled_id(self, drawn: int | None, classes: ClassTable | None) -> int | None:
        if self.unlabelled is not None:
            return _id_or_ignore(self.unlabelled, classes)
        if drawn is None:
            return None
        if classes is not None and len(classes) == 2:
            return 1 - drawn
        raise OptionError(
            "the labels draw one class; what the pixels between are is not said",
            hint="add --unlabelled CLASS, or --unlabelled ignore where they can be anything",
        )


@dataclass(frozen=True, kw_only=True)
class FeatureClasses:
    """`LabelRules` with ids for names; 255 is for pixels that do not count, and so is None as `unlabelled`."""

    class_id: int | None
    values: Mapping[str, int]
    unlabelled: int | None


def _id_or_ignore(name: str, classes: ClassTable | None) -> int:
    """255 for `ignore` and for itself, as in labels, unless a class is called so; else the id of a class."""
    names = classes.names if classes is not None else ()
    return IGNORE_INDEX if name in {IGNORE, str(IGNORE_INDEX)} - set(names) else id_of_class(name, classes)


def id_of_class(name: str, classes: ClassTable | None) -> int:
    """The id of a class given by name or, failing that, by id; `classes` is None where nothing names them.

    Raises:
        OptionError: there is no such class.
    """
    names = classes.names if classes is not None else ()
    if name in names:
        return names.index(name)
    count = len(names) or NODATA_CLASS
    if name.isdecimal() and int(name) < count:
        return int(name)
    if classes is None:
        raise OptionError(
            f"class {name!r}: the class maps do not name their classes",
            hint="name them with --classes classes.json, or give the class by its id",
        )
    raise OptionError(f"class {name!r}: no such class", hint=f"classes are: {', '.join(names)}")
