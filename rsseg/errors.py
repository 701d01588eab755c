"""Everything that can go wrong and is not our bug.

One tree; each class carries the exit code of the command line. A message names the thing, what was found
and what was expected; the hint says what to do about it. Only `rsseg.cli.main` turns these into text.
"""

from __future__ import annotations

from typing import ClassVar


class RssegError(Exception):
    """The root of all errors that rsseg raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class OptionError(RssegError):
    """An option, or a combination of options, cannot be used; existing output counts as one."""

    exit_code = 2


class InputError(RssegError):
    """Input data cannot be used."""

    exit_code = 3


class RasterError(InputError):
    """A raster is missing, unreadable, of a kind that cannot be segmented, or on another grid."""


class LabelError(InputError):
    """Labels, polygons or classes are missing, contradict one another, or do not fit their image."""


class ElsewhereError(LabelError):
    """Polygons lie beside their image."""


class WeightsError(RssegError):
    """Weights or a checkpoint are unknown, damaged, or do not fit."""

    exit_code = 4


class ResourceError(RssegError):
    """The machine lacks what the run needs: disk, memory, a device, a free output."""

    exit_code = 5


class PartialFailureError(RssegError):
    """Some of several inputs failed; the others are finished."""

    exit_code = 6


class ThresholdError(RssegError):
    """A score is below what `--fail-under` asks for, or an error above what `--fail-over` allows."""

    exit_code = 7
