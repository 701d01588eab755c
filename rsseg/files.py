"""Small files that appear complete or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rsseg.errors import ResourceError


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside its place and rename it, so that a kill or a full disk leaves the old one or the new one.

    Raises:
        ResourceError: the disk does not take it; what was written of it is removed.
    """
    replace_file(path, lambda draft: draft.write_bytes(content))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """The same for a file that `write` makes under the name that it is given.

    The draft lies in a folder of its own beside the place, so that writers of one file do not meet, and the file has
    the permissions that any new file gets. Of several writers the last one to finish wins.

    Raises:
        ResourceError: the disk does not take it, or `write` raises an OSError.
    """
    try:
        with TemporaryDirectory(
            dir=path.parent, prefix=".rsseg-", suffix=".part", ignore_cleanup_errors=True
        ) as folder:
            draft = Path(folder) / path.name
            write(draft)
            draft.replace(path)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be written ({err.strerror or err})",
            hint="is the disk full, or the folder not writable?",
        ) from err
