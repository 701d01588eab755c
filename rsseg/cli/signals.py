"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP all become KeyboardInterrupt, and none of them gets lost.

Python raises it wherever the main thread is at that moment. In a function that a C library calls back, such as the one
in which rasterio logs what GDAL says, it goes no further. So the signal is also remembered, and looked for again.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

_heard: list[int] = []
_tell_lost = sys.unraisablehook


def listen() -> None:
    """Begin to listen, for the command that begins now; what is ignored, as by nohup, stays ignored."""
    global _tell_lost
    _heard.clear()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    if sys.unraisablehook is not _unraisable:
        _tell_lost, sys.unraisablehook = sys.unraisablehook, _unraisable


def was_interrupted() -> bool:
    """Whether a signal has come since `listen`."""
    return bool(_heard)


def check_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal has come, for it may have got lost."""
    if _heard:
        raise KeyboardInterrupt


def _interrupt(number: int, _frame: object) -> None:
    _heard.append(number)
    raise KeyboardInterrupt


def _unraisable(lost: Any) -> None:
    """Say nothing of a KeyboardInterrupt that gets lost: `check_interrupted` finds it."""
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        _tell_lost(lost)
