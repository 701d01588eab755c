"""What the commands say: results to standard output, progress and talk to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from rsseg.cli.signals import check_interrupted
from rsseg.log import logger

if TYPE_CHECKING:
    from rsseg.training.progress import Progress


def emit_json(value: Any) -> None:
    """Write one JSON object on one line of standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: str, *, quiet: bool = False) -> None:
    """Tell a person something, on standard error; when nobody can hear it any more the work still goes on."""
    if quiet:
        return
    try:
        click.echo(text, err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let a standard stream that takes nothing any more lead nowhere, so that Python does not stumble over it later."""
    with suppress(OSError, ValueError):  # a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_closed_streams() -> None:
    """Let standard streams that came closed lead nowhere.

    The next file that is opened would get their number: then a library's message would be written into a map.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is the one that is closed
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))


def set_up_log(*, quiet: bool, verbose: bool) -> None:
    """Let the library's log reach standard error: warnings always, details with `--verbose`."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)


class _Handler(logging.StreamHandler[TextIO]):
    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, above the progress bar if one is shown."""
        bars = sys.modules.get("tqdm")  # not imported for a line of log
        with bars.tqdm.external_write_mode(self.stream) if bars else nullcontext():
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Stop talking when nobody can hear it any more."""
        if isinstance(sys.exc_info()[1], OSError):
            silence(self.stream)
        else:
            super().handleError(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """`Warning: text`, `Note: text` for information."""
        label = "Note" if record.levelno <= logging.INFO else record.levelname.capitalize()
        return f"{label}: {super().format(record)}"


@contextmanager
def progress_bar(
    label: str, *, quiet: bool, unit: str = "%", total: float = 100
) -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal; the callback takes the share done, from 0 to 1, and raises interrupts that got lost.

    Args:
        label: what is being done.
        quiet: show nothing.
        unit: what `total` counts, such as `Mpx`; the bar shows its rate.
        total: how much there is of it.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _share: check_interrupted()
        return
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}, {rate_fmt}]"
    with tqdm(total=total, desc=label, unit=unit, bar_format=layout, file=sys.stderr) as bar:

        def advance(share: float) -> None:
            check_interrupted()
            bar.update(share * total - bar.n)

        yield advance


@contextmanager
def training_bar(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """The same for a training run, which tells more of itself; its bar begins where the run is gone on with."""
    if quiet or not sys.stderr.isatty():
        yield lambda _progress: check_interrupted()
        return
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with ExitStack() as stack:
        bars: list[tqdm[Any]] = []

        def advance(progress: Progress) -> None:
            check_interrupted()
            said, before = _in_words(progress), progress.step - 1
            if not bars:
                bar = tqdm(
                    total=progress.steps, initial=before, desc=said, bar_format=layout, file=sys.stderr
                )
                bars.append(stack.enter_context(bar))
            bars[0].set_description_str(said, refresh=False)
            bars[0].update()

        yield advance


def _in_words(progress: Progress) -> str:
    score = "-" if progress.mean_iou is None else f"{progress.mean_iou:.3f}"
    return (
        f"train: epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}, mean IoU {score},"
        f" {progress.images_per_s:.3g} images/s"
    )
