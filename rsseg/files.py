"""Small files that appear complete or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rsseg.errors import ResourceError


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside its place and rename it, so that a kill or a full disk leaves the old one or the new one.

    Raises:
        ResourceError: the disk does not take it; what was written of it is removed.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be written ({err.strerror or err})",
            hint="is the disk full, or the folder not writable?",
        ) from err
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
