"""How a run stands, read from its folder without torch: what is done, what came of it, and whether it can go on."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rsseg.errors import OptionError, WeightsError
from rsseg.training.history import best_row, is_spent
from rsseg.training.options import TrainOptions
from rsseg.training.run_folder import RunFolder

State = Literal["running", "finished", "stopped early", "stopped"]
"""`stopped early` is finished, too: by `--patience`."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How a run stands.

    Attributes:
        folder: where its files lie.
        data: what it learns from.
        state: see `State`.
        options: its recipe; None where it is that of another version.
        history: a row of figures for each finished epoch.
        problem: why it cannot be gone on with, though it is not finished; else None.
    """

    folder: RunFolder
    data: Path
    state: State
    options: TrainOptions | None
    history: tuple[Mapping[str, Any], ...]
    problem: str | None

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The figures of the epoch whose weights are kept; None before the first."""
        return best_row(self.history) if self.history else None

    @property
    def goes_on(self) -> bool:
        """Whether `rsseg train --resume` has something to do."""
        return self.state == "stopped" and self.problem is None


def read_run(path: Path) -> RunState:
    """Read how a run stands.

    Raises:
        WeightsError: there is no run, or its files are damaged.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    data = Path(config["data"])
    options, problem = _recipe(config["train"])
    history = _history(path / "log.jsonl")
    epochs = options.epochs if options else config["train"].get("epochs")
    patience = options.patience if options else 0
    state: State = "stopped"
    if _is_locked(path / ".lock"):
        state = "running"
    elif history and len(history) == epochs:
        state = "finished"
    elif is_spent(history, patience=patience):
        state = "stopped early"
    if state == "stopped" and not folder.checkpoint.is_file():
        problem = f"{folder.checkpoint.name} is gone"
    elif state == "stopped" and problem is None and not data.exists():
        problem = f"its data are gone: {data}"
    return RunState(
        folder=folder,
        data=data,
        state=state,
        options=options,
        history=history,
        problem=problem if state == "stopped" else None,
    )


def _recipe(table: Mapping[str, Any]) -> tuple[TrainOptions | None, str | None]:
    try:
        return TrainOptions.from_dict(table), None
    except OptionError as err:
        return None, f"its recipe is not one of this version of rsseg ({err})"


def _history(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as err:
        raise WeightsError(
            f"{path}: is damaged ({err})", hint="it holds a line of JSON for each epoch"
        ) from err
    if not all(isinstance(row, dict) and {"epoch", "mean_iou"} <= row.keys() for row in rows):
        raise WeightsError(f"{path}: is damaged (a line lacks epoch or mean_iou)")
    return tuple(rows)


def _is_locked(path: Path) -> bool:
    """Whether a process is writing the run."""
    try:
        file = path.open("rb")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
