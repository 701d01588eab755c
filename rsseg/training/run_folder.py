"""The folder that a run leaves, with a README.txt that says what each of its files is.

Each file appears complete or not at all (only TensorBoard's grows), so a kill at any moment leaves a folder that can be
resumed. An empty `.lock` beside them is held while a process writes the run.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.files import remove_drafts, write_file

FILES = {
    "best.safetensors": "the weights of the epoch with the highest mean IoU, ready for rsseg predict",
    "card.json": "what describes these weights: network, classes, bands, scores, sha256",
    "config.toml": "the data and the recipe; rsseg train --config takes it for another run",
    "data.csv": "which images were learnt from (train) and which the scores come from (val), labelled pixels by class",
    "provenance.json": "each time that the run was begun or gone on with: when, command, versions, device, threads",
    "log.jsonl": "one line of JSON for each finished epoch",
    "metrics.csv": "the same as a table",
    "curves.png": "the same as a picture",
    "samples.png": "a few windows of the val images: image, label, prediction",
    "events.out.tfevents.rsseg": "the same for TensorBoard",
    "last.ckpt": "where the run stands, to go on from; not needed once it has ended",
    "README.txt": "this text",
}
"""The files of a run, and what they are; a new run in their place removes just these."""


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

    @property
    def card(self) -> Path:
        """The card of these weights, for people."""
        return self.path / "card.json"

    @property
    def data(self) -> Path:
        """The scenes and their parts, as a table."""
        return self.path / "data.csv"

    @property
    def provenance(self) -> Path:
        """What the run was computed with."""
        return self.path / "provenance.json"

    @property
    def log(self) -> Path:
        """The history, complete once all other files of an epoch are."""
        return self.path / "log.jsonl"

    @property
    def samples(self) -> Path:
        """The sample sheet."""
        return self.path / "samples.png"

    @property
    def events(self) -> Path:
        """The figures for TensorBoard."""
        return self.path / "events.out.tfevents.rsseg"

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
            way_on = f"continue it with --resume {self.path}, or " if self.checkpoint.exists() else ""
            raise OptionError(
                f"{self.path}: holds a run already ({existing[0].name})",
                hint=f"{way_on}replace it with --overwrite",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if need be, and keep other processes from writing the run within the context.

        What a process that was killed had begun to write is removed: a draft of a checkpoint may be large.

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
            self._remove_drafts()
            yield

    def _remove_drafts(self) -> None:
        try:
            for name in FILES:
                remove_drafts(self.path / name)
        except OSError as err:
            raise self._unwritable(err) from err

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
        return [self.path / name for name in FILES if (self.path / name).exists()]

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

    def write_readme(self) -> None:
        """Write README.txt: what each file is, and which commands come next."""
        width = max(map(len, FILES))
        files = "".join(f"  {name:<{width}}  {what}\n" for name, what in FILES.items())
        run, best = shlex.quote(str(self.path)), shlex.quote(str(self.best))
        write_file(self.path / "README.txt", _README.format(files=files, run=run, best=best).encode())

    def write_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write metrics.csv, curves.png and, last, log.jsonl: one row a finished epoch."""
        from rsseg.training.curves import draw_curves  # what only reads a run need not wait for matplotlib

        write_file(self.path / "metrics.csv", table(history).encode())
        write_file(self.path / "curves.png", draw_curves(history))
        write_file(self.log, _lines(history))

    def is_behind(self, history: Sequence[Mapping[str, Any]], *, step: int) -> bool:
        """Whether a run was stopped between the checkpoint that ends an epoch and the last file that tells of it.

        Args:
            history: that of the checkpoint, one row a finished epoch.
            step: how many steps it has learnt.
        """
        if not history or history[-1]["step"] != step:
            return False
        try:
            return self.log.read_bytes() != _lines(history)
        except OSError:  # it is not there yet
            return True


_README = """A training run of rsseg.

{files}
What comes next:

  rsseg predict IMAGE.tif -o MAP.tif --weights {best}
  rsseg evaluate MAP.tif --labels LABELS.tif
  rsseg train --resume {run}       where it was stopped
  tensorboard --logdir {run}
"""


def _lines(history: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in history).encode()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same names, at least one, as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
