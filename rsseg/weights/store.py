"""The bundled weights: names for files, with the hashes they must have. `--weights` takes a name or a path."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsseg.errors import WeightsError
from rsseg.weights.card import WeightCard
from rsseg.weights.files import Weights, file_sha256, load_file, read_card
from rsseg.weights.onnx_file import is_onnx

if TYPE_CHECKING:
    from rsseg.models.network import Network


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A line of `weights/index.toml`: a name for a file, and the hash it must have."""

    name: str
    path: Path
    sha256: str


def load_weights(name_or_path: str) -> Weights:
    """Load weights by their name in the index or by path; see `rsseg.weights.files.load_file`.

    Raises:
        WeightsError: unknown name, missing, foreign or damaged file, or tensors that do not fit.
    """
    return load_file(find_weights(name_or_path), name=Path(name_or_path).stem)


def load_network(name_or_path: str) -> Network:
    """The network alone, in eval mode: float32 (N, bands, H, W), already scaled, to logits (N, classes, H, W).

    Raises:
        WeightsError: see `load_weights`.
    """
    return load_weights(name_or_path).network


def load_card(name_or_path: str) -> WeightCard:
    """The card alone, by name or path.

    Raises:
        WeightsError: see `load_weights`.
    """
    return read_card(find_weights(name_or_path))


def find_weights(name_or_path: str) -> Path:
    """The file behind a name of the index or a path.

    Raises:
        WeightsError: neither a known name nor an existing file.
    """
    entries = {entry.name: entry.path for entry in list_weights()}
    if name_or_path in entries:
        return entries[name_or_path]
    path = Path(name_or_path)
    if os.path.isfile(path):  # noqa: PTH113 - Path's method raises where a folder cannot be looked into
        return path
    looks_like_path = path.suffix != "" or len(path.parts) > 1
    raise WeightsError(
        f"{name_or_path}: no such file" if looks_like_path else f"{name_or_path}: unknown weights",
        hint=f"bundled weights are: {', '.join(entries) or 'none'}; anything else is taken as a path",
    )


def find_tensors(name_or_path: str) -> Path:
    """The same for weights that are to be trained on or exported.

    Raises:
        WeightsError: see `find_weights`; or the file is a graph, which has no tensors by name any more.
    """
    path = find_weights(name_or_path)
    if is_onnx(path):
        raise WeightsError(
            f"{path}: is an exported graph, which can only predict",
            hint="use the .safetensors file it was made of",
        )
    return path


def list_weights() -> list[IndexEntry]:
    """The bundled weights, in the order of the index."""
    folder = weights_folder()
    return [
        IndexEntry(name=name, path=folder / row["file"], sha256=row["sha256"])
        for name, row in _index_document().get("weights", {}).items()
    ]


def default_weights() -> str:
    """The name that `rsseg predict` uses when none is given."""
    return str(_index_document()["default"])


def verify_weights(entry: IndexEntry) -> None:
    """Compare a bundled file with its hash and load it strictly.

    Raises:
        WeightsError: the file is missing, changed or does not load.
    """
    if not entry.path.is_file():
        raise WeightsError(
            f"{entry.path}: missing", hint="reinstall rsseg, or fetch the weights folder again"
        )
    found = file_sha256(entry.path)
    if found != entry.sha256:
        raise WeightsError(f"{entry.path}: sha256 is {found}, the index says {entry.sha256}")
    load_weights(str(entry.path))


def weights_folder() -> Path:
    """Where the bundled weights lie: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


@cache
def _index_document() -> dict[str, Any]:
    path = weights_folder() / "index.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as err:
        raise WeightsError(f"{path}: the index of bundled weights cannot be read ({err})") from err
