"""What an unfinished class map already holds, so that a run that was killed can go on.

One JSON object per line. The first says what run this is, each further one which blocks have reached the disk since
the line before. A line is written after its blocks are synced, and counts only if it is complete.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg.errors import OptionError
from rsseg.raster.block_file import Block

FORMAT = 1


class Journal:
    """The journal of one run; `done` and `pixels` hold what all its lines together say.

    Attributes:
        done: the blocks that are on the disk, and whether they hold any class (the others are all 255).
        pixels: pixels per class id in these blocks.
    """

    def __init__(self, path: Path) -> None:
        self.done: dict[Block, bool] = {}
        self.pixels: Counter[int] = Counter()
        self._path = path
        self._file = -1

    def open(self, run: Mapping[str, Any]) -> None:
        """Begin the journal, or go on with the one that is there.

        Args:
            run: what the map depends on, by name; values are plain JSON.

        Raises:
            OptionError: the file is of another run; names what differs.
            OSError: the disk does not take it.
        """
        lines, length = _complete_lines(self._path)
        if lines:
            _check_same_run(self._path, lines[0], run)
            for line in lines[1:]:
                self._take(line)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.ftruncate(self._file, length)
        os.lseek(self._file, length, os.SEEK_SET)
        if not lines:
            self._append({"format": FORMAT, "run": dict(run)})

    def add(self, blocks: Mapping[Block, bool], pixels: Mapping[int, int]) -> None:
        """Note blocks that are on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        filled = [list(block) for block, has_class in blocks.items() if has_class]
        empty = [list(block) for block, has_class in blocks.items() if not has_class]
        line = {"filled": filled, "empty": empty, "pixels": {str(k): n for k, n in pixels.items() if n}}
        self._append(line)
        self._take(line)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _take(self, line: Mapping[str, Any]) -> None:
        for key, has_class in (("filled", True), ("empty", False)):
            self.done.update(dict.fromkeys(map(tuple, line[key]), has_class))
        self.pixels.update({int(k): n for k, n in line["pixels"].items()})

    def _append(self, line: Mapping[str, Any]) -> None:
        rest = memoryview(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)


def _complete_lines(path: Path) -> tuple[list[Any], int]:
    """The lines that were written to their end, and how many bytes they take."""
    content = path.read_bytes() if path.exists() else b""
    lines, length = [], 0
    for raw in content.splitlines(keepends=True):
        line = _parsed(raw)
        if line is None:
            break
        lines.append(line)
        length += len(raw)
    return lines, length


def _parsed(raw: bytes) -> Any:
    """The object of a line; None where a kill or a power cut left something else."""
    try:
        return json.loads(raw) if raw.endswith(b"\n") else None
    except ValueError:
        return None


def _check_same_run(path: Path, first: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    before: Mapping[str, Any] = first["run"] if first.get("format") == FORMAT else {}
    now: Mapping[str, Any] = json.loads(json.dumps(dict(run)))
    changed = [
        f"{name} (was {before.get(name)}, is {now.get(name)})"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise OptionError(
            f"{path.parent}: holds an unfinished run that differs in {'; '.join(changed)}",
            hint="give the same input, weights and options to go on with it, or --no-resume to start anew",
        )
