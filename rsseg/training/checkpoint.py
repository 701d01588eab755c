"""Where a run stands, to the bit: enough to go on as if it had never stopped.

Samples depend on (seed, number) only, and dropout on (seed, step), so no random state has to be kept. Loading executes
nothing.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rsseg.errors import WeightsError
from rsseg.files import write_file

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run after `step` batches.

    `config` is that of the run, `card` the card of its weights as JSON, `network` and `optimizer` state dicts, `scaler`
    and `average` the state of gradient scaler and moving average (empty without one), `history` one row of figures for
    each finished epoch, `tally` the fields of the `Tally` of the next. `data` is what `describe_data` said, `precision`
    what the run computes in.
    """

    config: Mapping[str, Any]
    card: str
    step: int
    network: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any] = field(default_factory=dict)
    average: Mapping[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    tally: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    precision: str = ""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file is replaced in one moment, so that a kill leaves the old one or the new one.

    Raises:
        ResourceError: the disk does not take it.
    """
    content = io.BytesIO()  # not a file: torch reports a full disk as an error of its own
    values = {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    torch.save({"format": FORMAT, **values}, content)
    write_file(path, content.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        WeightsError: the file is missing, damaged, or no checkpoint of this format.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such checkpoint", hint="start the run again with --overwrite, without --resume"
        )
    if not zipfile.is_zipfile(path):  # which torch.save writes; older forms and bare pickles are none of ours
        raise WeightsError(f"{path}: is no checkpoint of rsseg, or a damaged one (no zip archive)")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as err:
        raise WeightsError(
            f"{path}: is no checkpoint of rsseg, or a damaged one ({_first_line(err)})"
        ) from err
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise WeightsError(f"{path}: is no checkpoint of this rsseg; expected format {FORMAT}")
    try:
        return Checkpoint(**values)
    except TypeError as err:
        raise WeightsError(f"{path}: is no checkpoint of this rsseg ({err})") from err


def _first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0][:120]
