"""What `rsseg evaluate` measures besides the confusion matrix: its options, and what they do not go with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.errors import OptionError
from rsseg.log import logger

if TYPE_CHECKING:
    from rsseg.evaluation import Pair
    from rsseg.evaluation.counters import CounterChoice
    from rsseg.evaluation.options import MeasureOptions

_PATH = click.Path(path_type=Path)


class _Length(click.ParamType[Any]):
    """Pixels or metres; `auto` where that is allowed."""

    name = "length"

    def __init__(self, *, auto: bool = False) -> None:
        self._auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read number and unit."""
        from rsseg.evaluation.lengths import Length

        if isinstance(value, Length) or (self._auto and value == "auto"):
            return value
        try:
            return Length.parse(str(value))
        except OptionError as err:
            self.fail(f"{err}: {err.hint}" if err.hint else str(err), param, ctx)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--intervals",
        type=_Length(auto=True),
        is_flag=False,
        flag_value="auto",
        metavar="[BLOCK]",
        help="95 % intervals of the scores, by drawing square blocks of ground: their side, such as 256px or 50m."
        " Errors should not reach far beyond a block.  [without BLOCK: 64 px, doubled while 50 blocks remain]",
    ),
    click.option(
        "--replicates", type=int, metavar="N", help="How many times blocks are drawn.  [default: 1000]"
    ),
    click.option("--seed", type=int, metavar="N", help="Makes intervals repeatable.  [default: 0]"),
    click.option(
        "--boundary",
        type=_Length(),
        metavar="PX|Xm",
        help="Boundary IoU and F1 within so many pixels, such as 3, or metres, such as 0.5m.",
    ),
    click.option(
        "--objects",
        multiple=True,
        metavar="CLASS",
        help="Precision, recall and F1 of whole regions of a class, matched at IoU > 0.5; repeatable.",
    ),
    click.option("--min-object", type=int, metavar="PX", help="Leave out smaller regions.  [default: 1]"),
    click.option(
        "--confidence",
        multiple=True,
        type=_PATH,
        metavar="FILE...",
        help="What `rsseg predict --confidence` wrote, one for each class map, or their folder: ECE, MCE, Brier"
        " score and reliability curve.",
    ),
    click.option(
        "--calibration",
        is_flag=True,
        help="The same with --data: the prediction gives the confidence; --maps keeps it.",
    ),
    click.option(
        "--areas",
        is_flag=True,
        help="Estimate the ground that each class covers on the whole class maps, with standard errors; with"
        " --intervals these do not take pixels for independent.",
    ),
    click.option(
        "--against",
        multiple=True,
        metavar="MAP...|WEIGHTS",
        help="A second class map for each, or their folder: which is better, with intervals, McNemar's test, kappa"
        " z-test, and a table of outcomes. With --data: second weights.",
    ),
    click.option(
        "--differences",
        type=_PATH,
        metavar="FILE.tif",
        help="Write where both, one or neither of two maps is right; for one class map.",
    ),
    click.option(
        "--report",
        type=_PATH,
        metavar="FILE.html",
        help="Write all of it as a page, with pictures of where the map is wrong.",
    ),
    click.option(
        "--focus",
        metavar="CLASS",
        help="For the page: show where this class was missed and where it is a false alarm; a select on the page does"
        " the same.  [default: of two classes the second]",
    ),
    click.option(
        "--image",
        "images",
        multiple=True,
        type=_PATH,
        metavar="IMAGE...",
        help="For the page: the image of each class map, or their folder.",
    ),
)

_FILES = ("confidence", "calibration", "against", "differences", "report", "focus", "images")
"""Most of them are files."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is measured besides the confusion matrix, with which files, and what is written of it.

    `against` is as it was typed: with --data `buildings` is the name of weights, and `./buildings` a file.
    """

    measures: MeasureOptions
    confidence: tuple[Path, ...]
    calibration: bool
    against: tuple[str, ...]
    differences: Path | None
    report: Path | None
    focus: str | None
    images: tuple[Path, ...]

    @property
    def sections(self) -> frozenset[str]:
        """The names of the sections that there will be."""
        wanted: Mapping[str, object] = {
            "intervals": self.measures.intervals,
            "boundary": self.measures.boundary,
            "objects": self.measures.objects,
            "calibration": self.confidence or self.calibration,
            "areas": self.measures.areas,
            "comparison": self.against,
        }
        return frozenset(name for name, value in wanted.items() if value)

    def with_files(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Give each pair its confidence and its second map.

        Raises:
            OptionError: there are more or fewer of them than class maps, or differences of several maps are wanted.
            RasterError: a file is missing.
        """
        if self.differences is not None and len(pairs) > 1:
            raise OptionError(
                f"--differences {self.differences}: one file for {len(pairs)} pairs",
                hint="compare one class map with one set of labels, or leave it out",
            )
        confidence = _beside(pairs, self.confidence, option="--confidence", ending="_confidence")
        others = _beside(pairs, [Path(text) for text in self.against], option="--against", ending="_classes")
        for path, other in others.items():
            if path.samefile(other):
                logger.warning(f"--against {other}: is the class map {path} itself, which differs in nothing")
        return [
            replace(pair, confidence=confidence.get(pair.prediction), other=others.get(pair.prediction))
            for pair in pairs
        ]

    def page_counters(self) -> Callable[[int], CounterChoice] | None:
        """What has to be counted for the page, for so many pairs; None where there is none."""
        if self.report is None:
            return None
        from rsseg.evaluation.page import page_counters

        return page_counters

    def image_of_pairs(self, pairs: Sequence[Pair]) -> list[Path]:
        """The image of each pair; none at all where none are given.

        Raises:
            OptionError, RasterError: see `with_files`.
        """
        images = _beside(pairs, self.images, option="--image", ending="_image")
        return [images[pair.prediction] for pair in pairs] if images else []


def measure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options to a command."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def take_measures(given: dict[str, Any], *, data: bool, overwrite: bool) -> Asked:
    """Take these options out of those given.

    Args:
        given: values by name.
        data: whether a data set is predicted first.
        overwrite: whether existing files may be replaced.

    Raises:
        OptionError: an option has no use without another, does not go with it, or a file cannot be written.
        ResourceError: a folder is not writable.
    """
    from rsseg.evaluation.options import MeasureOptions
    from rsseg.raster.staging import check_output

    files = {name: given.pop(name) for name in _FILES}
    numbers = {name: given.pop(name) for name in ("replicates", "seed", "min_object")}
    wanted = {name: given.pop(name) for name in ("intervals", "boundary", "objects", "areas")}
    _check_together(numbers, wanted, files)
    if data:
        _check_with_data(wanted, files)
    elif files["calibration"]:
        raise OptionError(
            "--calibration goes with --data, where the prediction gives the confidence",
            hint="name those of the class maps: --confidence FILE...; `rsseg predict --confidence` writes them",
        )
    for name, ending in (("differences", ".tif"), ("report", ".html")):
        path = files[name]
        if path is not None:
            if path.suffix.lower() != ending:
                raise OptionError(
                    f"--{name} {path}: expected a file *{ending}",
                    hint=f"name it {path.with_suffix(ending).name}",
                )
            check_output(path, overwrite=overwrite)
    chosen = {name: value for name, value in numbers.items() if value is not None}
    return Asked(measures=MeasureOptions(**wanted, **chosen), **files)


def _check_together(numbers: Mapping[str, Any], wanted: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    if numbers["min_object"] is not None and not wanted["objects"]:
        raise OptionError("--min-object goes with --objects", hint="add --objects CLASS")
    for name in ("replicates", "seed"):
        if numbers[name] is not None and wanted["intervals"] is None and not files["against"]:
            raise OptionError(f"--{name} goes with --intervals or --against", hint="add --intervals")
    if files["differences"] is not None and not files["against"]:
        raise OptionError(
            "--differences goes with --against", hint="name the second class map: --against MAP"
        )
    for name, option in (("images", "--image"), ("focus", "--focus")):
        if files[name] and files["report"] is None:
            raise OptionError(f"{option} goes with --report", hint="add --report FILE.html")


def _check_with_data(wanted: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Refuse what needs class maps that are there already."""
    if wanted["areas"]:
        raise OptionError(
            "--areas does not go with --data, which predicts only what is labelled",
            hint="predict whole images with rsseg predict, and compare the class maps",
        )
    by_hand = "predict with rsseg predict, and compare the class maps"
    for name, option, hint in (
        ("confidence", "--confidence", "add --calibration: the prediction then gives the confidence"),
        ("differences", "--differences", by_hand),
        ("images", "--image", "leave it out: the page shows the images of the data set"),
    ):
        if files[name]:
            raise OptionError(f"{option} goes with class maps, not with --data, which makes them", hint=hint)
    if len(files["against"]) > 1:
        raise OptionError(
            f"--against: {len(files['against'])} values; with --data it takes one set of weights",
            hint=by_hand,
        )


def _beside(pairs: Sequence[Pair], given: Sequence[Path], *, option: str, ending: str) -> dict[Path, Path]:
    from rsseg.evaluation.pairs import beside_maps

    if not given:
        return {}
    maps = list(dict.fromkeys(pair.prediction for pair in pairs))
    return beside_maps(maps, given, option=option, ending=ending)
