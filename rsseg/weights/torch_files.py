"""State dicts that other programs wrote, from .pth and .safetensors files: names and tensors, nothing is executed.

What can be refused by a look at the file is refused before torch is imported.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from rsseg.errors import WeightsError
from rsseg.weights.card import CARD_KEY
from rsseg.weights.files import check_file, first_bytes, has_header, read_tensors
from rsseg.weights.matching import shown

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "module", "weights")
"""Under which of these a checkpoint keeps its state dict; the first that it has is taken."""

PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
"""What wrappers of networks put before the name of every tensor."""

_NESTING = 4
_CUT_OFF = "it may have been cut off while it was copied; compare its size with the original"
_PLAIN_SAVE = "in the program that made it: torch.save(network.state_dict(), FILE)"


def check_state_file(path: Path) -> None:
    """Refuse a file whose first bytes or table of contents show that it holds no state dict.

    Raises:
        WeightsError: missing, a folder, unreadable, cut off, of another kind, or weights that rsseg wrote.
    """
    check_file(path)
    if not _is_utf8(path):
        raise WeightsError(
            f"{str(path)!r}: the name is not UTF-8 text, which torch needs", hint="rename the file"
        )
    start = first_bytes(path)
    if _is_safetensors(path):
        _check_safetensors(path)
    elif start.startswith(b"PK"):
        _check_archive(path)
    elif not start.startswith(b"\x80"):
        raise WeightsError(
            f"{path}: is neither a file of torch.save nor safetensors",
            hint="it may be a web page or a pointer saved in its place; look at its size and its first bytes",
        )


def is_rsseg_weights(path: Path) -> bool:
    """Whether a file is weights with a card rather than a state dict.

    Raises:
        WeightsError: it is safetensors, but cut off.
    """
    if not _is_safetensors(path):
        return False
    try:
        with safe_open(str(path), framework="numpy") as file:
            return CARD_KEY in (file.metadata() or {})
    except (SafetensorError, OSError) as err:
        raise _no_safetensors(path, err) from err


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a state dict by name, without what wraps it: see `WRAPPERS` and `PREFIXES`.

    They are dense, on the CPU, of the file's types; those of a new .pth file stay on disk until they are used.

    Raises:
        WeightsError: see `check_state_file`; or what the file holds is no state dict, or needs code to be run.
    """
    check_state_file(path)
    found = _read_safetensors(path) if _is_safetensors(path) else _unpickle(path)
    return _without_prefixes(_tensors(_unwrapped(found), path))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_safetensors(path: Path) -> bool:
    """Whether it is such a file, whole or cut off."""
    if has_header(path):
        return True
    start = first_bytes(path)
    return not start.startswith((b"PK", b"\x80")) and (path.suffix == ".safetensors" or start[8:] == b"{")


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).name for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as err:
        raise WeightsError(
            f"{path}: is no complete file of torch.save ({shown(err)})",
            hint=_CUT_OFF,
        ) from err
    if "constants.pkl" in members:
        raise WeightsError(
            f"{path}: is a TorchScript archive, which holds code; expected a state dict", hint=_PLAIN_SAVE
        )
    if "data.pkl" not in members:
        raise WeightsError(f"{path}: is a zip archive, but not one of torch.save", hint="unpack it first")


def _check_safetensors(path: Path) -> None:
    if is_rsseg_weights(path):
        raise WeightsError(f"{path}: has been written by rsseg", hint="it can be used as --weights as it is")


def _no_safetensors(path: Path, err: Exception) -> WeightsError:
    return WeightsError(
        f"{path}: is no complete safetensors file ({shown(err)})",
        hint=_CUT_OFF,
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except SafetensorError as err:
        raise _no_safetensors(path, err) from err


def _unpickle(path: Path) -> object:
    """Read what `torch.save` wrote, as far as it is plain values and tensors."""
    import torch

    in_place = zipfile.is_zipfile(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about protocols; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    except pickle.UnpicklingError as err:
        raise _refusal(path, str(err)) from err
    # The restricted unpickler meets damaged bytes unchecked, in all these ways: found by changing bytes at random.
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as err:
        raise WeightsError(
            f"{path}: is no complete file of torch.save ({type(err).__name__})",
            hint=_CUT_OFF,
        ) from err


def _refusal(path: Path, message: str) -> WeightsError:
    """Say what a pickle holds besides tensors, if torch says so."""
    foreign = re.search(r"GLOBAL ([\w.]+)", message)
    if foreign is None:
        return WeightsError(
            f"{path}: is a pickle, but holds no plain tensors",
            hint="fetch it again if it should; otherwise, " + _PLAIN_SAVE,
        )
    return WeightsError(
        f"{path}: holds {shown(foreign[1])} besides tensors, and reading that could run code",
        hint=_PLAIN_SAVE,
    )


def _unwrapped(found: object) -> object:
    """What lies in the wrappers; the depth is bounded because a file can make a dictionary its own entry."""
    for _ in range(_NESTING):
        if not isinstance(found, Mapping):
            break
        inner = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        if not inner:
            break
        found = inner[0]
    return found


def _tensors(found: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(found, Mapping) or not found:
        raise WeightsError(
            f"{path}: holds {'an empty dictionary' if found == {} else f'a {type(found).__name__}'};"
            " expected a state dict",
            hint=_PLAIN_SAVE,
        )
    for name, value in found.items():
        problem = _problem(name, value)
        if problem:
            raise WeightsError(
                f"{path}: entry {_entry(name)} is {problem}; a state dict maps names to tensors",
                hint=_PLAIN_SAVE,
            )
    return dict(found)


def _entry(name: object) -> str:
    return f"'{shown(name)}'" if isinstance(name, str) else shown(f"{name!r}")


def _problem(name: object, value: Any) -> str | None:
    import torch

    if not isinstance(name, str):
        return "not named by a text"
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
        return f"a tensor of kind {value.layout}, {value.dtype} on {value.device}".replace("torch.", "")
    return None


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _without_prefixes({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors
