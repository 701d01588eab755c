"""Encoders that were trained before: torchvision's ResNets, from files or fetched, and those of other rsseg weights."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import torch
from torch import Tensor

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.files import write_file
from rsseg.log import logger
from rsseg.models.network import Network
from rsseg.models.resnet import LAYOUTS, ResNet, layout_name, repeat_bands
from rsseg.weights.files import file_sha256, load_file, read_card
from rsseg.weights.matching import Match, fill, match_tensors
from rsseg.weights.store import find_weights
from rsseg.weights.torch_files import is_rsseg_weights, read_state_dict

IMAGENET = "imagenet"
"""The source that stands for torchvision's files."""

IMAGENET_URL = "https://download.pytorch.org/models/"
IMAGENET_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}
"""What torchvision calls IMAGENET1K_V1; a name ends with the first digits of the file's SHA-256."""

TIMEOUT_S = 10.0
"""How long one address of the server may be silent, while it is connected to and while it sends."""

TOTAL_S = 900.0
"""How long a file may take once the server answers; what is slower than 200 kB/s is better fetched by hand."""

MAX_BYTES = 256 * 2**20
"""The largest of the files has 171 MiB; what exceeds this is another file, and not kept in memory."""

_CHUNK = 2**20

RESNET_PREFIXES = ("", "encoder.", "backbone.")
"""What may stand before all names of a ResNet that was cut out of a larger network."""

_STEM = "conv1.weight"
_OWN_NAME = re.compile(r"(conv1|bn1|layer[1-4]|fc)\.")
_BLOCK = re.compile(r"layer([1-4])\.(\d{1,4})\.")


@dataclass(frozen=True, kw_only=True)
class EncoderReport:
    """Where an encoder's weights came from.

    `bands` is how many the file's first convolution takes; where the network takes others, its filters were repeated.
    """

    path: Path
    sha256: str
    encoder: str
    bands: int


def load_encoder(network: Network, *, encoder: str, source: str) -> EncoderReport:
    """Fill the ResNet inside a network; the rest of it stays as it is.

    Args:
        network: takes any number of bands.
        encoder: the name of its ResNet, a key of `rsseg.models.resnet.LAYOUTS`.
        source: `imagenet`; or a .pth or .safetensors file with torchvision's names; or rsseg weights with the same
            encoder, by name or path.

    Raises:
        OptionError: the network has no ResNet.
        WeightsError: the source is missing, cannot be read, or is of another encoder.
        ResourceError: the file of ImageNet cannot be fetched.
    """
    resnet = find_encoder(network)
    path = fetch_imagenet(encoder) if source == IMAGENET else find_weights(source)
    tensors = _read_encoder(path, encoder)
    fill_encoder(resnet, tensors, path=path)
    return EncoderReport(path=path, sha256=file_sha256(path), encoder=encoder, bands=tensors[_STEM].shape[1])


def find_encoder(network: Network) -> ResNet:
    """The ResNet inside a network.

    Raises:
        OptionError: it has none.
    """
    found = next((module for module in network.modules() if isinstance(module, ResNet)), None)
    if found is None:
        raise OptionError(
            f"{type(network).__name__}: has no ResNet that pretrained weights could fill",
            hint="train it from scratch, or start from whole weights with --weights",
        )
    return found


def torchvision_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> Mapping[str, Tensor] | None:
    """The tensors by the names of a torchvision ResNet, if they are one and nothing else; see `RESNET_PREFIXES`.

    Raises:
        WeightsError: they are a ResNet of a depth that is no encoder here.
    """
    for prefix in RESNET_PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            if any(map(_BLOCK.match, bare)) and all(map(_OWN_NAME.match, bare)):
                _check_depths(bare, path)
                return bare
    return None


def stem_bands(tensors: Mapping[str, Tensor]) -> int:
    """How many bands the first convolution takes; 0 where it is none."""
    stem = tensors.get(_STEM)
    return stem.shape[1] if stem is not None and stem.ndim == 4 else 0


def _check_depths(tensors: Mapping[str, Tensor], path: Path) -> None:
    if layout_name(tensors) is None:
        found = [match for name in tensors if (match := _BLOCK.match(name))]
        depths = tuple(1 + max((int(m[2]) for m in found if m[1] == stage), default=-1) for stage in "1234")
        kind = "resnet152" if depths == (3, 8, 36, 3) else "ResNet"
        raise WeightsError(
            f"{path}: is a {kind} with {', '.join(map(str, depths))} blocks in its stages, which is no encoder here",
            hint=f"encoders are {', '.join(LAYOUTS)}",
        )


def match_encoder(resnet: ResNet, tensors: Mapping[str, Tensor]) -> Match:
    """Lay torchvision's tensors over a ResNet; its bands may be others, and the classifier is known as unused."""
    return match_tensors(
        _with_bands(tensors, resnet),
        resnet.state_dict(),
        rename=lambda name: None if name.startswith("fc.") else name,
    )


def fill_encoder(resnet: ResNet, tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Put torchvision's tensors into a ResNet, whatever its number of bands.

    Raises:
        WeightsError: they do not fit, or hold values that are not finite.
    """
    match = match_encoder(resnet, tensors)
    match.check(path, what="the encoder")
    fill(resnet, _with_bands(tensors, resnet), match, path=path)


def fetch_imagenet(encoder: str) -> Path:
    """Give torchvision's file of a ResNet trained on ImageNet, from the cache that torch keeps or from its server.

    Raises:
        OptionError: there is no such file.
        ResourceError: the server cannot be reached, is slow (`TIMEOUT_S`, `TOTAL_S`) or gives another file; or the
            cache cannot be read or written.
    """
    if encoder not in IMAGENET_FILES:
        raise OptionError(
            f"{encoder}: there are no weights from ImageNet for it",
            hint=f"known are {', '.join(IMAGENET_FILES)}",
        )
    name = IMAGENET_FILES[encoder]
    prefix = Path(name).stem.rpartition("-")[2]
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if _is_cached(target, prefix):
        return target
    logger.info(f"fetching {IMAGENET_URL}{name}")
    content = _fetch(IMAGENET_URL + name)
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(prefix):
        raise ResourceError(
            f"{IMAGENET_URL}{name}: sha256 of {len(content)} bytes is {found}, expected {prefix}...",
            hint=_by_hand(name),
        )
    _make_folder(target.parent)
    write_file(target, content)
    return target


def _is_cached(path: Path, prefix: str) -> bool:
    try:
        return path.is_file() and file_sha256(path).startswith(prefix)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be read ({err.strerror})", hint="choose another cache with TORCH_HOME"
        ) from err


def _read_encoder(path: Path, encoder: str) -> Mapping[str, Tensor]:
    tensors: Mapping[str, Tensor]
    if is_rsseg_weights(path):
        found = read_card(path).encoder or None
        tensors = (
            find_encoder(load_file(path, name=path.stem).network).state_dict() if found == encoder else {}
        )
    else:
        tensors = torchvision_tensors(read_state_dict(path), path=path) or {}
        found = layout_name(tensors)
    if found != encoder:
        raise WeightsError(
            f"{path}: holds {found or 'no ResNet encoder'}; the network's encoder is {encoder}",
            hint=f"choose --encoder {found}"
            if found
            else "expected the names of torchvision, or rsseg weights",
        )
    return tensors


def _with_bands(tensors: Mapping[str, Tensor], resnet: ResNet) -> Mapping[str, Tensor]:
    stem = tensors.get(_STEM)
    if stem is None or stem.ndim != 4 or 0 in stem.shape or not stem.is_floating_point():
        return tensors  # and be refused for it
    return {**tensors, _STEM: repeat_bands(stem.float(), bands=resnet.conv1.in_channels)}


def _fetch(url: str) -> bytes:
    """Read what lies behind an address, through the proxy that the environment names."""
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            return _read(response, url)
    except HTTPError as err:
        reason = f"the server answers {err.code} {err.reason}"
        err.close()
        raise ResourceError(f"{url}: {reason}", hint=_by_hand(url)) from err
    except (URLError, HTTPException, OSError) as err:
        reason = str(getattr(err, "reason", err)) or type(err).__name__
        raise ResourceError(f"{url}: cannot be fetched ({reason})", hint=_by_hand(url)) from err


def _read(response: HTTPResponse, url: str) -> bytes:
    """Read an answer in pieces, so that a wrong one ends early."""
    size, deadline = response.length, time.monotonic() + TOTAL_S
    content = bytearray()
    while (size is None or len(content) < size) and (piece := response.read1(_CHUNK)):
        content += piece
        if len(content) > MAX_BYTES:
            raise ResourceError(f"{url}: is larger than {MAX_BYTES} bytes", hint=_by_hand(url))
        if time.monotonic() > deadline:
            raise ResourceError(
                f"{url}: has sent {len(content)} bytes in {TOTAL_S:g} s, which is too slow",
                hint=_by_hand(url),
            )
    if size is not None and len(content) < size:
        raise IncompleteRead(bytes(content), size - len(content))
    return bytes(content)


def _by_hand(url: str) -> str:
    return f"fetch {url.rpartition('/')[2]} elsewhere and give its path: --pretrained FILE"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be made ({err.strerror})", hint="choose another cache with TORCH_HOME"
        ) from err
