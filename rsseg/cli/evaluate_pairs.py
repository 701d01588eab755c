"""Which class maps `rsseg evaluate` compares with which labels: from arguments, a file or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from rsseg.cli.headings import HeadedCommand
from rsseg.errors import OptionError

if TYPE_CHECKING:
    from rsseg.evaluation import Pair


_LISTS = ("--labels", "--confidence", "--against", "--image")


class EvaluateCommand(HeadedCommand):
    """Lets some options take several files, as a shell's `labels/*.tif` gives them."""

    headings: ClassVar[Mapping[str, str]] = {
        "labels": "Class maps and labels",
        "class_name": "Labels that are polygons",
        "protocol": "Protocol",
        "data": "Data set to predict first",
        "intervals": "Beyond the confusion matrix",
        "against": "Two class maps",
        "report": "Output",
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat such an option before each of the files that follow it."""
        for option in _LISTS:
            args = _repeat_option(args, option)
        return super().parse_args(ctx, args)


def _repeat_option(args: Sequence[str], option: str) -> list[str]:
    """`a --option x y -q` as `a --option x --option y -q`."""
    repeated: list[str] = []
    files: int | None = None  # how many the option has had so far; None after another option
    for arg in args:
        if arg.startswith("-"):
            files = {option: 0, f"{option}=": 1}.get(arg[: len(option) + 1])
        elif files is not None:
            repeated += [option] * (files > 0)
            files += 1
        repeated.append(arg)
    return repeated


def find_pairs(predictions: Sequence[Path], labels: Sequence[Path], pairs_file: str | None) -> list[Pair]:
    """What is compared with what: from arguments, from a file, or from standard input."""
    from rsseg.evaluation import pair_up, read_pairs

    if pairs_file is not None:
        if predictions or labels:
            raise OptionError("--pairs names class maps and labels; give neither besides")
        if pairs_file == "-":
            return read_pairs(_standard_input(), source="standard input")
        return read_pairs(_lines_of(Path(pairs_file)), source=pairs_file)
    if not labels:
        raise OptionError(
            "no labels are given", hint="rsseg evaluate MAP... --labels LABEL..., or --pairs FILE"
        )
    if Path("-") in predictions:
        listed = [Path(line) for line in _standard_input() if line]
        predictions = [path for given in predictions for path in (listed if given == Path("-") else [given])]
    if not predictions:
        raise OptionError(
            f"no class map is given, only labels: {', '.join(map(str, labels))}",
            hint="class maps come first: rsseg evaluate MAP... --labels LABEL...",
        )
    return pair_up(predictions, labels)


def _standard_input() -> list[str]:
    return _as_lines(sys.stdin.buffer.read() if sys.stdin else b"")


def _lines_of(path: Path) -> list[str]:
    try:
        return _as_lines(path.read_bytes())
    except OSError as err:
        raise OptionError(f"--pairs {path}: cannot be read ({err.strerror})") from err


def _as_lines(content: bytes) -> list[str]:
    """Lines of any system; names of files need not be text."""
    return [line.removesuffix("\r") for line in os.fsdecode(content).split("\n")]
