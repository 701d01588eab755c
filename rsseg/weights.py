"""Trained weights: one safetensors file with tensors and a card that says all that prediction must know.

The card is one JSON string under one metadata key, keys sorted, so that the same weights give the same bytes.
Loading never executes anything: other formats are refused, not unpickled.

Torch is imported only where tensors are touched: it takes over a second, and a refusal must not wait for it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from rsseg.classes import ClassTable
from rsseg.errors import RssegError, WeightsError
from rsseg.preprocess import Scaling

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CARD_KEY = "rsseg_card"
CARD_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WeightCard:
    """What describes weights: all that prediction needs to know, and where they come from.

    `architecture` and `encoder` name the network in the registry (`encoder` is empty where it has none);
    `bands` names the channels in order; `gsd_m` is the ground size of a training pixel in metres;
    `tile` and `halo` are the sizes prediction uses unless told otherwise, in pixels; `scores` holds measured
    validation scores; `energy_positions` is described in docs/design.md, section 3.
    """

    architecture: str
    encoder: str
    classes: ClassTable
    bands: tuple[str, ...]
    scaling: Scaling
    tile: int = 512
    halo: int = 64
    gsd_m: float | None = None
    energy_positions: int | None = None
    network_options: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    data: str = ""
    licence: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.bands) != self.scaling.channels:
            raise WeightsError(
                f"the card names {len(self.bands)} bands but scales {self.scaling.channels} channels"
            )

    def to_json(self) -> str:
        """The card as it stands in the file's header; equal cards give equal strings."""
        values = {
            **{name: getattr(self, name) for name in _PLAIN},
            "format": CARD_FORMAT,
            "bands": list(self.bands),
            "classes": self.classes.to_list(),
            "scaling": self.scaling.to_dict(),
            "network_options": dict(self.network_options),
            "scores": dict(self.scores),
        }
        return json.dumps(values, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> WeightCard:
        """The inverse of `to_json`.

        Raises:
            WeightsError: the text is no card, or one of a later format.
        """
        try:
            row = json.loads(text)
            if row["format"] != CARD_FORMAT:
                raise WeightsError(
                    f"the card has format {row['format']}; this rsseg reads {CARD_FORMAT}",
                    hint="a newer rsseg may read it",
                )
            return cls(
                **{name: row[name] for name in _PLAIN},
                bands=tuple(row["bands"]),
                classes=ClassTable.from_list(row["classes"]),
                scaling=Scaling.from_dict(row["scaling"]),
                network_options=row["network_options"],
                scores=row["scores"],
            )
        except WeightsError:
            raise
        except (KeyError, TypeError, ValueError, RssegError) as err:
            raise WeightsError(f"the card is damaged ({type(err).__name__}: {err})") from err


_PLAIN = (
    "architecture",
    "encoder",
    "tile",
    "halo",
    "gsd_m",
    "energy_positions",
    "description",
    "data",
    "licence",
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Loaded weights: the network in eval mode, its card, the name it was asked for by, the file's hash."""

    network: nn.Module
    card: WeightCard
    name: str
    sha256: str


def save_weights(
    path: Path, network: nn.Module, card: WeightCard, *, dtype: torch.dtype | None = None
) -> None:
    """Write weights; the file appears complete or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        network: what `build_network` makes of the card.
        card: what describes it.
        dtype: `torch.float16` halves the file; floating-point tensors are converted, counters are not.
    """
    from safetensors.torch import save as serialise

    tensors = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in network.state_dict().items()
    }
    content = serialise(tensors, metadata={CARD_KEY: card.to_json()})
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def load_weights(name_or_path: str) -> Weights:
    """Load weights by their name in the index or by path, strictly: all names and shapes must fit the card.

    Raises:
        WeightsError: unknown name, missing, foreign or damaged file, or tensors that do not fit.
    """
    path = find_weights(name_or_path)
    card = read_card(path)
    tensors = _read_tensors(path)
    network = _build(card, path)
    _check_fit(network, tensors, path)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    network.load_state_dict(floats, assign=True)
    return Weights(network=network.eval(), card=card, name=Path(name_or_path).stem, sha256=file_sha256(path))


def load_network(name_or_path: str) -> nn.Module:
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


def read_card(path: Path) -> WeightCard:
    """Read only the card of a weights file.

    Raises:
        WeightsError: the file is missing, of another kind, truncated, or has no card.
    """
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


def init_weights(card: WeightCard, *, seed: int) -> nn.Module:
    """Build the card's network with untrained weights that depend on nothing but the seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_from_card(card).eval()


def build_from_card(card: WeightCard) -> nn.Module:
    """Build the network that a card describes, in the default initialisation.

    Raises:
        OptionError: the registry has no such network, or not with this encoder.
    """
    from rsseg.models.registry import build_network

    energy = {} if card.energy_positions is None else {"energy_positions": card.energy_positions}
    options = {**card.network_options, **energy}
    return build_network(
        card.architecture,
        encoder=card.encoder,
        bands=len(card.bands),
        classes=len(card.classes),
        **options,
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the bundled weights


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """A line of `weights/index.toml`: a name for a file, and the hash it must have."""

    name: str
    path: Path
    sha256: str


def weights_folder() -> Path:
    """Where the bundled weights lie: inside an installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "_weights"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "weights"


@cache
def _index_document() -> dict[str, Any]:
    path = weights_folder() / "index.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as err:
        raise WeightsError(f"{path}: the index of bundled weights cannot be read ({err})") from err


def default_weights() -> str:
    """The name that `rsseg predict` uses when none is given."""
    return str(_index_document()["default"])


def list_weights() -> list[IndexEntry]:
    """The bundled weights, in the order of the index."""
    folder = weights_folder()
    return [
        IndexEntry(name=name, path=folder / row["file"], sha256=row["sha256"])
        for name, row in _index_document()["weights"].items()
    ]


def find_weights(name_or_path: str) -> Path:
    """The file behind a name of the index or a path.

    Raises:
        WeightsError: neither a known name nor an existing file.
    """
    entries = {entry.name: entry.path for entry in list_weights()}
    if name_or_path in entries:
        return entries[name_or_path]
    path = Path(name_or_path)
    if path.is_file():
        return path
    looks_like_path = path.suffix != "" or len(path.parts) > 1
    raise WeightsError(
        f"{name_or_path}: no such file" if looks_like_path else f"{name_or_path}: unknown weights",
        hint=f"bundled weights are: {', '.join(entries) or 'none'}; anything else is taken as a path",
    )


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


# --- steps of loading


def _refusal(path: Path, err: Exception) -> WeightsError:
    """Say what a file is that cannot be read as safetensors; asked only then, since any bytes may begin one."""
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        return WeightsError(
            f"{path}: is a pickle as torch.save writes it, which can run code when it is loaded",
            hint="rsseg loads only .safetensors files written by itself",
        )
    return WeightsError(
        f"{path}: is no complete safetensors file ({err})",
        hint="it may have been cut off while it was copied; compare its size with the original",
    )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict


def _build(card: WeightCard, path: Path) -> nn.Module:
    import torch

    try:
        with torch.device("meta"):
            return build_from_card(card)
    except RssegError as err:
        raise WeightsError(f"{path}: {err}", hint=err.hint) from err


def _check_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
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


def with_scores(card: WeightCard, scores: Mapping[str, float]) -> WeightCard:
    """The card with measured scores."""
    return replace(card, scores=dict(scores))
