"""Where tests find the development data that is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def shared_folder(*parts: str) -> Path:
    """A folder or file below ../shared (or, for `data`, below $RSSEG_DATA); skips the test where it is absent."""
    if parts[0] == "data" and "RSSEG_DATA" in os.environ:
        path = Path(os.environ["RSSEG_DATA"]).joinpath(*parts[1:])
    else:
        path = _BESIDE.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"development data is not here: {'/'.join(parts)}")
    return path
