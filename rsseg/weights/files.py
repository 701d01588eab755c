"""Reading and writing the file: tensors, and the card under one metadata key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from rsseg.errors import RssegError, WeightsError
from rsseg.files import write_file
from rsseg.weights.card import CARD_KEY, WeightCard, build_from_card
from rsseg.weights.onnx_file import has_cuda, is_onnx, read_onnx

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from rsseg.models.network import Network


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file leaves no choice about. A network built from its card has no limits; an exported graph does.

    `side`: of the only tiles it takes; `precision`: the only one it computes in; `cuda`: whether it can use a GPU.
    """

    side: int | None = None
    precision: str | None = None
    cuda: bool = True


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Loaded weights: the network in eval mode, its card, the name it was asked for by, the file's hash, its limits."""

    network: Network
    card: WeightCard
    name: str
    sha256: str
    limits: Limits = Limits()


def save_weights(path: Path, network: Network, card: WeightCard, *, dtype: torch.dtype | None = None) -> None:
    """Write weights; the file appears complete or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        network: what `build_network` makes of the card.
        card: what describes it.
        dtype: `torch.float16` halves the file; floating-point tensors are converted, counters are not.

    Raises:
        ResourceError: the disk does not take it.
    """
    from safetensors.torch import save as serialise

    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    content = serialise(tensors, metadata={CARD_KEY: card.to_json()})
    write_file(path, content)


def load_file(path: Path, *, name: str) -> Weights:
    """Load weights strictly: all names and shapes of the tensors must fit the card's network.

    Raises:
        WeightsError: missing, foreign or damaged file, or tensors that do not fit.
        ResourceError: it is an ONNX file, and the packages for those are not installed.
    """
    card = read_card(path)
    if is_onnx(path):
        from rsseg.weights.exported import load_onnx

        return Weights(
            network=load_onnx(path), card=card, name=name, sha256=file_sha256(path), limits=read_limits(path)
        )
    tensors = read_tensors(path)
    network = _build(card, path)
    _check_fit(network, tensors, path)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    network.load_state_dict(floats, assign=True)
    return Weights(network=network.eval(), card=card, name=name, sha256=file_sha256(path))


def read_card(path: Path) -> WeightCard:
    """Read only the card of a weights file.

    Raises:
        WeightsError: the file is missing, of another kind, truncated, or has no card.
        ResourceError: it is an ONNX file, and the packages for those are not installed.
    """
    if is_onnx(path):
        return read_onnx(path).card
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as err:
        raise _refusal(path, err) from err
    if CARD_KEY not in metadata:
        raise WeightsError(
            f"{path}: is a safetensors file without an rsseg card",
            hint="only weights written by rsseg carry one; `rsseg weights init` and `rsseg train` write it",
        )
    try:
        return WeightCard.from_json(metadata[CARD_KEY])
    except WeightsError as err:
        raise WeightsError(f"{path}: {err}", hint=err.hint) from err


def read_limits(path: Path) -> Limits:
    """Read what a weights file leaves no choice about; see `read_card` for the errors."""
    if not is_onnx(path):
        return Limits()
    return Limits(side=read_onnx(path).input.side, precision="fp32", cuda=has_cuda())


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refusal(path: Path, err: Exception) -> WeightsError:
    """Say what a file is that cannot be read as safetensors; asked only then, since any bytes may begin one."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as unreadable:
        return WeightsError(f"{path}: cannot be read ({unreadable.strerror})")
    if path.suffix == ".pt2":
        return WeightsError(
            f"{path}: is an exported torch program, which can run code when it is loaded",
            hint="rsseg runs .safetensors and .onnx files: rsseg export WEIGHTS -o FILE.onnx",
        )
    if start == b"PK" or start[:1] == b"\x80":
        return WeightsError(
            f"{path}: is a pickle as torch.save writes it, which can run code when it is loaded",
            hint="rsseg loads only weights that it wrote; `rsseg weights convert` takes the tensors out of others",
        )
    return WeightsError(
        f"{path}: is no complete safetensors file ({err})",
        hint="it may have been cut off while it was copied; compare its size with the original",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file by name.

    Raises:
        SafetensorError: the file is damaged.
    """
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict


def _build(card: WeightCard, path: Path) -> Network:
    import torch

    try:
        with torch.device("meta"):
            return build_from_card(card)
    except RssegError as err:
        raise WeightsError(f"{path}: {err}", hint=err.hint) from err


def _check_fit(network: Network, tensors: Mapping[str, Tensor], path: Path) -> None:
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or extra:
        raise WeightsError(
            f"{path}: tensors do not fit the card's network: {len(missing)} missing"
            f" ({_some(missing)}), {len(extra)} unknown ({_some(extra)})"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise WeightsError(f"{path}: tensor {name} has shape {found[name]}; the network has {shape}")


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
