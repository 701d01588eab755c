"""Pictures that commands draw."""

from __future__ import annotations

from pathlib import Path

from rsseg.errors import OptionError


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Refuse a picture that cannot be written, before any work is done.

    Raises:
        OptionError: it is no PNG, its folder does not exist, or it exists and may not be replaced.
        ResourceError: the folder is not writable.
    """
    from rsseg.raster.staging import check_output

    if path.suffix.lower() != ".png":
        raise OptionError(
            f"{path}: the picture is a PNG file", hint=f"name it {path.with_suffix('.png').name}"
        )
    check_output(path, overwrite=overwrite)
