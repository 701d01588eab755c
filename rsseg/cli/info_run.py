"""What `rsseg info` tells of a training run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsseg.cli.info_report import Report

if TYPE_CHECKING:
    from rsseg.training.run_state import RunState

_MUCH_WAITING = 0.25
"""Share of an epoch's time from which on more readers are worth a try."""


def report_on_run(name: str, path: Path) -> Report:
    """Tell how a run stands, and which command comes next.

    Raises:
        WeightsError: its files are damaged.
    """
    from rsseg.training.run_state import read_run

    run = read_run(path)
    best, last = run.best, run.history[-1] if run.history else None
    options = run.options
    return Report(
        path=name,
        kind="run",
        title=f"training run, {run.state}"
        + (f" after epoch {last['epoch']}" if last else " before its first epoch ended"),
        rows=[
            ("data", str(run.data)),
            ("network", _network_of(run)),
            ("epochs", f"{len(run.history)}" + (f" of {options.epochs}" if options else "")),
            ("best", "none yet" if best is None else f"epoch {best['epoch']}: {_scores(best)}"),
            ("last", "" if last is None or last is best else f"epoch {last['epoch']}: {_scores(last)}"),
            ("next", "; ".join(_commands(run))),
        ],
        warnings=_run_warnings(run),
        details={
            "state": run.state,
            "data": str(run.data),
            "epochs": len(run.history),
            "epochs_asked": None if options is None else options.epochs,
            "best": None if best is None else dict(best),
            "last": None if last is None else dict(last),
            "weights": str(run.folder.best) if run.folder.best.is_file() else None,
            "resumable": run.goes_on,
            "commands": _commands(run),
        },
    )


def _network_of(run: RunState) -> str:
    """What the weights of a run are for, as their card says."""
    from rsseg.weights import read_card

    if not run.folder.best.is_file():
        return ""
    card = read_card(run.folder.best)
    return f"{card.architecture} {card.encoder}".strip() + f", {', '.join(card.classes.names)}"


def _scores(row: Mapping[str, Any]) -> str:
    from rsseg.training.history import ious_in, shown

    ious = ", ".join(f"{name} {shown(iou)}" for name, iou in ious_in(row).items())
    return f"mean IoU {shown(row['mean_iou'])} ({ious})"


def _commands(run: RunState) -> list[str]:
    """What can be done with a run now."""
    commands = []
    if run.goes_on:
        commands.append(f"rsseg train --resume {shlex.quote(str(run.folder.path))}")
    if run.history and run.folder.best.is_file():
        commands.append(f"rsseg predict IMAGE -o MAP --weights {shlex.quote(str(run.folder.best))}")
    return commands


def _run_warnings(run: RunState) -> list[tuple[str, str | None]]:
    warnings: list[tuple[str, str | None]] = []
    if run.problem is not None:
        warnings.append(
            (f"cannot be gone on with: {run.problem}", "start it again: rsseg train ... --overwrite")
        )
    if run.history and not run.folder.best.is_file():
        warnings.append((f"{run.folder.best.name} is gone; the run had written it", "put it back"))
    if run.best is not None and run.best["mean_iou"] is None:
        warnings.append(("no epoch has a mean IoU", "do the val scenes hold labels? see rsseg train --check"))
    waiting = run.history[-1].get("waiting", 0) if run.history else 0
    if waiting > _MUCH_WAITING:
        warnings.append(
            (f"{waiting:.0%} of the time of its last epoch it waited for samples", "try --readers 4")
        )
    return warnings
