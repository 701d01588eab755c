"""What a person sees of long work: bars on a terminal, nothing on a pipe."""

from __future__ import annotations

import io
import sys

import pytest

from rsseg.cli import signals
from rsseg.cli.console import progress_bar, set_up_log, training_bar
from rsseg.log import logger
from rsseg.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def at_step(step: int, *, mean_iou: float | None = None) -> Progress:
    return Progress(
        step=step,
        steps=8,
        epoch=1 + (step - 1) // 4,
        epochs=2,
        loss=0.51234,
        mean_iou=mean_iou,
        images_per_s=23.456,
    )


def last_line(terminal: Terminal) -> str:
    return terminal.getvalue().rpartition("\r")[2]


def test_a_bar_shows_how_a_run_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)

    with training_bar(quiet=False) as on_progress:
        on_progress(at_step(1))
        first = terminal.getvalue()
        for step in range(2, 7):
            on_progress(at_step(step, mean_iou=0.6128))

    assert "epoch 1/2, loss 0.512, mean IoU -, 23.5 images/s" in first
    assert "train: epoch 2/2, loss 0.512, mean IoU 0.613, 23.5 images/s  75%|" in last_line(terminal)


def test_a_bar_begins_where_the_run_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the time that is left would be reckoned from steps of an earlier day."""
    terminal = terminal_of(monkeypatch)

    with training_bar(quiet=False) as on_progress:
        on_progress(at_step(7))
        on_progress(at_step(8))

    assert terminal.getvalue().split("\r")[1].partition("|")[0].endswith(" 75%")
    assert " 100%|" in last_line(terminal)


def test_a_log_line_stands_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    before = logger.handlers[:], logger.level
    set_up_log(quiet=False, verbose=False)
    try:
        with training_bar(quiet=False) as on_progress:
            on_progress(at_step(4))
            logger.info("epoch 1/2 is done")
    finally:
        logger.handlers[:], logger.level = before

    said = terminal.getvalue()
    assert "\rNote: epoch 1/2 is done\n" in said
    assert " 50%|" in said.partition("is done\n")[2]


@pytest.mark.parametrize("quiet", [True, False])
def test_there_is_no_bar_on_a_pipe_or_when_nothing_is_to_be_said(
    monkeypatch: pytest.MonkeyPatch, *, quiet: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if quiet else io.StringIO())

    with training_bar(quiet=quiet) as on_progress, progress_bar("predict", quiet=quiet) as on_share:
        on_progress(at_step(1))
        on_share(0.5)

    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_an_interrupt_that_got_lost_is_raised_at_the_next_step(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(signals, "_heard", [2])

    with training_bar(quiet=False) as on_progress, pytest.raises(KeyboardInterrupt):
        on_progress(at_step(1))
