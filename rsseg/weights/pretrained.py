"""Encoders that were trained before: torchvision's ResNets, from files or fetched, and those of other rsseg weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import torch
from torch import Tensor

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.files import write_file
from rsseg.log import logger
from rsseg.models.network import Network
from rsseg.models.resnet import ResNet, layout_name, repeat_bands
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

TIMEOUT_S = 60.0
"""How long the server may be silent."""

_STEM = "conv1.weight"


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


def is_torchvision(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a torchvision ResNet and nothing else."""
    own = all(re.match(r"(conv1|bn1|layer[1-4]|fc)\.", name) for name in tensors)
    return own and layout_name(tensors) is not None


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
        ResourceError: the server cannot be reached or gives another file, or the disk does not take it.
    """
    if encoder not in IMAGENET_FILES:
        raise OptionError(
            f"{encoder}: there are no weights from ImageNet for it",
            hint=f"known are {', '.join(IMAGENET_FILES)}",
        )
    name = IMAGENET_FILES[encoder]
    prefix = Path(name).stem.rpartition("-")[2]
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if target.is_file() and file_sha256(target).startswith(prefix):
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


def _read_encoder(path: Path, encoder: str) -> Mapping[str, Tensor]:
    if is_rsseg_weights(path):
        found = read_card(path).encoder or None
        tensors = (
            find_encoder(load_file(path, name=path.stem).network).state_dict() if found == encoder else {}
        )
    else:
        tensors = read_state_dict(path)
        found = layout_name(tensors) if is_torchvision(tensors) else None
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
    if stem is None or stem.ndim != 4 or 0 in stem.shape:
        return tensors
    return {**tensors, _STEM: repeat_bands(stem, bands=resnet.conv1.in_channels)}


def _fetch(url: str) -> bytes:
    """Read what lies behind an address, through the proxy that the environment names."""
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            content: bytes = response.read()
            return content
    except HTTPError as err:
        reason = f"the server answers {err.code} {err.reason}"
        err.close()
        raise ResourceError(f"{url}: {reason}", hint=_by_hand(url)) from err
    except (URLError, HTTPException, OSError) as err:
        reason = str(getattr(err, "reason", err)) or type(err).__name__
        raise ResourceError(f"{url}: cannot be fetched ({reason})", hint=_by_hand(url)) from err


def _by_hand(url: str) -> str:
    return f"fetch {url.rpartition('/')[2]} elsewhere and give its path: --pretrained FILE"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(
            f"{path}: cannot be made ({err.strerror})", hint="choose another cache with TORCH_HOME"
        ) from err
