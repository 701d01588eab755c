"""What the commands say: results to standard output, progress and talk to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from rsseg.log import logger


def emit_json(value: Any) -> None:
    """Write one JSON object on one line of standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: str, *, quiet: bool = False) -> None:
    """Tell a person something, on standard error."""
    if not quiet:
        click.echo(text, err=True)


def set_up_log(*, quiet: bool, verbose: bool) -> None:
    """Let the library's log reach standard error: warnings always, details with `--verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """`Warning: text`, `Note: text` for information."""
        label = "Note" if record.levelno <= logging.INFO else record.levelname.capitalize()
        return f"{label}: {super().format(record)}"


@contextmanager
def progress_bar(
    label: str, *, quiet: bool, unit: str = "%", total: float = 100
) -> Iterator[Callable[[float], None]]:
    """Show a bar on a terminal; the callback takes the share done, from 0 to 1.

    Args:
        label: what is being done.
        quiet: show nothing.
        unit: what `total` counts, such as `Mpx`; the bar shows its rate.
        total: how much there is of it.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _share: None
        return
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}, {rate_fmt}]"
    with tqdm(total=total, desc=label, unit=unit, bar_format=layout, file=sys.stderr) as bar:

        def advance(share: float) -> None:
            bar.update(share * total - bar.n)

        yield advance
