"""Reading and writing the file: tensors, and the card under one metadata key."""

from __future__ import annotations

import hashlib
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from rsseg.errors import RssegError, WeightsError
from rsseg.files import replace_file
from rsseg.weights.card import CARD_KEY, WeightCard, build_from_card
from rsseg.weights.matching import match_tensors, shown
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
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {CARD_KEY: card.to_json()}

    def write(draft: Path) -> None:
        draft.touch()
        permissions = draft.stat().st_mode  # safetensors makes a file that only its owner can read
        try:
            save_file(tensors, draft, metadata=metadata)
        except SafetensorError as err:
            raise OSError(str(err)) from err
        draft.chmod(permissions)

    replace_file(path, write)


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
    match = match_tensors(tensors, network.state_dict(), rename=str, counters=True)
    match.check(path, what="the card's network", hint="tensors and card have not been written together")
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
    check_file(path)
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


def check_file(path: Path) -> None:
    """Refuse what is no file that could be read.

    Raises:
        WeightsError: missing, a folder, a pipe or a device, or in a folder that may not be looked into.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as err:
        raise WeightsError(f"{path}: no such file", hint="check the path") from err
    except OSError as err:
        raise WeightsError(
            f"{path}: cannot be looked into ({err.strerror})", hint="check the permissions of its folders"
        ) from err
    if stat.S_ISDIR(mode):
        raise WeightsError(f"{path}: is a folder, expected a file", hint="give the path of a file inside it")
    if not stat.S_ISREG(mode):
        raise WeightsError(
            f"{path}: is no regular file", hint="copy what a pipe or device gives into a file first"
        )


def has_header(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header that it has room for, then the header's brace.

    The length may be any bytes, also those that begin a pickle or a zip archive.

    Raises:
        WeightsError: the file cannot be read.
    """
    start = first_bytes(path)
    if start[8:] != b"{":
        return False
    (length,) = struct.unpack("<Q", start[:8])
    return bool(length <= path.stat().st_size - 8)


def first_bytes(path: Path) -> bytes:
    """The first nine bytes of a file, or all that it has.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as err:
        raise WeightsError(
            f"{path}: cannot be read ({err.strerror})", hint="check the permissions of the file"
        ) from err


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refusal(path: Path, err: Exception) -> WeightsError:
    """Say what a file is that cannot be read as safetensors; asked only then, since any bytes may begin one."""
    try:
        start, headed = first_bytes(path), has_header(path)
    except WeightsError as unreadable:
        return unreadable
    if path.suffix == ".pt2":
        return WeightsError(
            f"{path}: is an exported torch program, which can run code when it is loaded",
            hint="rsseg runs .safetensors and .onnx files: rsseg export WEIGHTS -o FILE.onnx",
        )
    if not headed and start.startswith((b"PK", b"\x80")):
        return WeightsError(
            f"{path}: is a pickle as torch.save writes it, which can run code when it is loaded",
            hint="rsseg loads only weights that it wrote; `rsseg weights convert` takes the tensors out of others",
        )
    return WeightsError(
        f"{path}: is no complete safetensors file ({shown(err)})",
        hint="it may have been cut off while it was copied; compare its size with the original",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file by name.

    Raises:
        SafetensorError: the file is damaged.
    """
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict


def build_unfilled(card: WeightCard) -> Network:
    """The card's network without values, on torch's meta device.

    Raises:
        RssegError: there is no such network.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        """Draws no random numbers: on the meta device torch would import its compiler for that, which takes 1.3 s."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            drawn = func in (torch.Tensor.normal_, torch.Tensor.uniform_)
            return args[0] if drawn else func(*args, **(kwargs or {}))

    with torch.device("meta"), Unfilled():
        return build_from_card(card)


def _build(card: WeightCard, path: Path) -> Network:
    """The card's network without values, which the file has."""
    try:
        return build_unfilled(card)
    except RssegError as err:
        raise WeightsError(f"{path}: {err}", hint=err.hint) from err
