"""The folder that a run leaves: config.toml, log.jsonl, metrics.csv, curves.png, last.ckpt, best.safetensors.

Each file appears complete or not at all, so a kill at any moment leaves a folder that can be resumed. An empty `.lock`
beside them is held while a process writes the run.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.files import write_file
from rsseg.training.curves import draw_curves

NAMES = ("config.toml", "log.jsonl", "metrics.csv", "curves.png", "last.ckpt", "best.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie."""

    path: Path

    @property
    def config(self) -> Path:
        """The data and the recipe."""
        return self.path / "config.toml"

    @property
    def checkpoint(self) -> Path:
        """The latest state, to go on from."""
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        """The weights with the best validation score so far, ready for `rsseg predict`."""
        return self.path / "best.safetensors"

    def check_free(self, *, overwrite: bool) -> None:
        """Refuse a folder that holds a run already, unless it is to be replaced.

        Raises:
            OptionError: there is one, or the path is a file.
            ResourceError: the folder cannot be looked into or written to.
        """
        try:
            is_file = self.path.exists() and not self.path.is_dir()
            existing = self._existing()
        except OSError as err:
            raise self._unwritable(err) from err
        if is_file:
            raise OptionError(f"{self.path}: is a file; a run needs a folder")
        if existing and not overwrite:
            raise OptionError(
                f"{self.path}: holds a run already ({existing[0].name})",
                hint=f"continue it with --resume {self.path}, or replace it with --overwrite",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if need be, and keep other processes from writing the run within the context.

        Raises:
            ResourceError: another process does, or the folder cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("ab")
        except OSError as err:
            raise self._unwritable(err) from err
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise ResourceError(
                    f"{self.path}: another process is training this run",
                    hint="wait for it to end, or stop it first",
                ) from err
            yield

    def create(self) -> None:
        """Begin anew: the files of an earlier run are removed, and nothing else.

        Raises:
            ResourceError: the folder cannot be written to.
        """
        try:
            for path in self._existing():
                path.unlink()
        except OSError as err:
            raise self._unwritable(err) from err

    def _unwritable(self, err: OSError) -> ResourceError:
        return ResourceError(
            f"{self.path}: cannot be written to ({err.strerror})", hint="choose another folder for the run"
        )

    def _existing(self) -> list[Path]:
        return [self.path / name for name in NAMES if (self.path / name).exists()]

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.toml."""
        write_file(self.config, tomli_w.dumps(dict(config)).encode())

    def read_config(self) -> dict[str, Any]:
        """Read config.toml.

        Raises:
            WeightsError: there is no run here, or its configuration is damaged.
        """
        try:
            config = tomllib.loads(self.config.read_text(encoding="utf-8"))
        except OSError as err:
            raise WeightsError(
                f"{self.path}: is no run ({self.config.name}: {err.strerror})",
                hint="--resume takes the folder that an earlier `rsseg train ... -o RUN` made",
            ) from err
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise WeightsError(f"{self.config}: is damaged ({err})") from err
        if not isinstance(config.get("data"), str) or not isinstance(config.get("train"), dict):
            raise WeightsError(f"{self.config}: is damaged (expected the text data and the table train)")
        return config

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write log.jsonl, metrics.csv and curves.png, one row a finished epoch."""
        lines = [json.dumps(row, allow_nan=False) for row in history]
        write_file(self.path / "log.jsonl", "".join(f"{line}\n" for line in lines).encode())
        write_file(self.path / "metrics.csv", _csv(history).encode())
        write_file(self.path / "curves.png", draw_curves(history))


def _csv(history: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]) if history else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
