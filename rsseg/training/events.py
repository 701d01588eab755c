"""The figures of a run as TensorBoard shows them, while it learns and afterwards.

TensorBoard follows a file that grows, so this one does, by an epoch at a time. What a kill leaves behind its last
checkpoint is taken out again before the run goes on: no point is there twice, and none that the run forgot.

The file holds records: length (8 bytes), its checksum (4), an Event as protobuf, its checksum (4), all little-endian.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import text as text_summary

from rsseg.errors import ResourceError
from rsseg.files import disk_hint, write_file
from rsseg.training.history import ious_in

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")


def start_events(path: Path, *, title: str, text: str) -> None:
    """Write a file that holds a text (Markdown) and nothing else.

    Raises:
        ResourceError: the disk does not take it.
    """
    version = Event(wall_time=time.time(), file_version="brain.Event:2")
    write_file(path, _record(version) + _record(_event(text_summary(title, text), step=0)))


def add_epoch(path: Path, row: Mapping[str, Any], *, sheet: bytes | None) -> None:
    """Append the row of an epoch, and a PNG if there is one.

    Raises:
        ResourceError: the disk does not take it; what it took is left out when the run goes on.
    """
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(row).items()]
    if sheet is not None:
        values.append(Summary.Value(tag="samples", image=_image(sheet)))
    try:
        with path.open("ab") as file:
            file.write(_record(_event(Summary(value=values), step=row["step"])))
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        raise ResourceError(f"{path}: cannot be written ({err.strerror})", hint=disk_hint(err)) from err


def keep_events(path: Path, *, step: int) -> None:
    """Leave out what came after a step, and what is not whole. A file that is gone stays so until the next epoch.

    Raises:
        ResourceError: the disk does not take it.
    """
    if path.exists():
        write_file(path, b"".join(map(_record, (e for e in read_events(path) if e.step <= step))))


def read_events(path: Path) -> Iterator[Any]:
    """The events of a file, up to the first that is not whole."""
    content = path.read_bytes()
    place = 0
    while place + _LENGTH.size + _CHECKSUM.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, place)
        start = place + _LENGTH.size + _CHECKSUM.size
        place = start + length + _CHECKSUM.size
        message = content[start : start + length]
        if content[start + length : place] != _CHECKSUM.pack(masked_crc32c(message)):
            return
        yield Event.FromString(message)


def _scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """Names as TensorBoard groups them; what is undefined has no point."""
    named = {
        "train/loss": row["loss"],
        "train/learning rate": row["lr"],
        "train/images per second": row["images_per_s"],
        "train/waiting": row["waiting"],
        "val/mean IoU": row["mean_iou"],
        "val/overall accuracy": row["overall_accuracy"],
        **{f"IoU/{name}": iou for name, iou in ious_in(row).items()},
    }
    return {tag: value for tag, value in named.items() if value is not None}


def _image(png: bytes) -> Any:
    width, height = struct.unpack_from(">II", png, 16)  # the first thing in a PNG
    return Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)


def _event(summary: Any, *, step: int) -> Any:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _record(event: Any) -> bytes:
    message: bytes = event.SerializeToString()
    length = _LENGTH.pack(len(message))
    checksums = (_CHECKSUM.pack(masked_crc32c(part)) for part in (length, message))
    return length + next(checksums) + message + next(checksums)
