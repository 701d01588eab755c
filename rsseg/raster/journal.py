"""What an unfinished class map already holds, so that a run that was killed can go on.

One JSON object per line, followed by its checksum. The first says what run this is, each further one which blocks have
reached the disk since the line before, and the checksum of these blocks. A line is written after its blocks are synced;
it counts as long as it is complete and its blocks are what they were, and so do all lines before it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from rsseg.errors import OptionError
from rsseg.log import logger
from rsseg.raster.block_file import Block

FORMAT = 2


class Journal:
    """The journal of one run; `done` and `pixels` hold what all its lines together say.

    Args:
        path: the file.
        checksum: gives the checksum of blocks as they lie on the disk now.

    Attributes:
        done: the blocks that are on the disk, and whether they hold any class (the others are all 255).
        pixels: pixels of each class id in these blocks, by row of blocks.
    """

    def __init__(self, path: Path, *, checksum: Callable[[Iterable[Block]], int]) -> None:
        self.done: dict[Block, bool] = {}
        self.pixels: dict[int, Counter[int]] = {}
        self._path = path
        self._checksum = checksum
        self._file = -1
        self._length = 0

    def open(self, run: Mapping[str, Any]) -> None:
        """Begin the journal, or go on with the one that is there, up to the first line or block that is damaged.

        Args:
            run: what the map depends on, by name; values are plain JSON.

        Raises:
            OptionError: the file is of another run; names what differs.
            OSError: the disk does not take it.
        """
        lines = _complete_lines(self._path)
        if lines:
            _check_same_run(self._path, lines[0][0], run)
            self._length = lines[0][1]
        for line, end in lines[1:]:
            if self._checksum(map(_block, line["filled"])) != line["checksum"]:
                logger.warning("%s: blocks are damaged; they are made anew", self._path.parent)
                break
            self._take(line)
            self._length = end
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._file, self._length)
        if not lines:
            self._append({"format": FORMAT, "run": dict(run)})

    def add(self, blocks: Mapping[Block, bool], pixels: Mapping[int, Mapping[int, int]]) -> None:
        """Note blocks that are on the disk, and their pixels of each class id, by row of blocks.

        Raises:
            OSError: the disk does not take it.
        """
        filled = [list(block) for block, has_class in blocks.items() if has_class]
        empty = [list(block) for block, has_class in blocks.items() if not has_class]
        line = {
            "filled": filled,
            "empty": empty,
            "pixels": {str(row): {str(k): n for k, n in counts.items()} for row, counts in pixels.items()},
            "checksum": self._checksum(map(_block, filled)),
        }
        self._append(line)
        self._take(line)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, line: Mapping[str, Any]) -> None:
        for key, has_class in (("filled", True), ("empty", False)):
            self.done.update(dict.fromkeys(map(_block, line[key]), has_class))
        for row, counts in line["pixels"].items():
            self.pixels.setdefault(int(row), Counter()).update({int(k): n for k, n in counts.items()})

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write a line to its end, or nothing of it."""
        text = json.dumps(line, separators=(",", ":"), allow_nan=False).encode()
        whole = b"%s %08x\n" % (text, crc32(text))
        rest = memoryview(whole)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._length)
            raise
        self._length += len(whole)


def _block(numbers: list[int]) -> Block:
    col, row = numbers
    return col, row


def _complete_lines(path: Path) -> list[tuple[Any, int]]:
    """The lines that are what was written, each with the number of bytes up to its end."""
    content = path.read_bytes() if path.exists() else b""
    lines, end = [], 0
    for raw in content.splitlines(keepends=True):
        text, _, checksum = raw.rpartition(b" ")
        if checksum != b"%08x\n" % crc32(text):
            if raw.endswith(b"\n"):  # a kill or a power cut leaves a line without an end
                logger.warning("%s: is damaged; what it told from there on is made anew", path)
            break
        end += len(raw)
        lines.append((json.loads(text), end))
    return lines


def _check_same_run(path: Path, first: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    anew = "--no-resume to start anew"
    if first["format"] != FORMAT:
        raise OptionError(
            f"{path.parent}: holds an unfinished run of another version of rsseg",
            hint=f"go on with that version, or give {anew}",
        )
    before: Mapping[str, Any] = first["run"]
    now: Mapping[str, Any] = json.loads(json.dumps(dict(run)))
    changed = [
        f"{name} (was {before.get(name)}, is {now.get(name)})"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise OptionError(
            f"{path.parent}: holds an unfinished run that differs in {'; '.join(changed)}",
            hint=f"give the same input, weights and options to go on with it, or {anew}",
        )
