"""Weights from the published state dict of a network, or from that of an encoder alone, which becomes its encoder.

What the file says itself (its encoder, bands and classes) is read off its names and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rsseg.classes import NODATA_CLASS, ClassTable
from rsseg.errors import OptionError, WeightsError
from rsseg.models.registry import build_network, check_encoder, network_entry
from rsseg.preprocess import IMAGENET_MEAN, IMAGENET_STD, MAX_BANDS, Scaling, check_bands
from rsseg.weights.card import WeightCard, build_from_card, init_weights, new_card, numbered_bands
from rsseg.weights.files import file_sha256
from rsseg.weights.matching import Match, fill, match_tensors
from rsseg.weights.published import PUBLISHED, PublishedNames
from rsseg.weights.torch_files import read_state_dict

if TYPE_CHECKING:
    from torch import Tensor

    from rsseg.models.network import Network

SCALINGS = ("imagenet", "unit")
"""What pixels go through: ImageNet's mean and standard deviation, or a division by 255."""

Shapes = Mapping[str, tuple[int, ...]]
Said = TypeVar("Said", int, str)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """What a file does not say itself, or shall be held to.

    `encoder`, `bands` and `classes` may stay empty where the file says them; an encoder alone says no classes, and
    takes other bands than its own.
    `scaling` is one of `SCALINGS`; empty, it is what the tensors were trained with: the network's published recipe, or
    ImageNet's for an encoder alone. `seed` makes the untrained rest beside that.

    Raises:
        OptionError: an unknown network or encoder, a network that was never published, an unknown scaling, or a number
            of bands that no image has.
    """

    model: str
    encoder: str = ""
    bands: int | None = None
    classes: ClassTable | None = None
    scaling: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        entry = network_entry(self.model)
        check_encoder(entry, self.encoder)
        if entry.name not in PUBLISHED:
            raise OptionError(
                f"{self.model}: there is no published state dict of it",
                hint=f"published are: {', '.join(PUBLISHED)}",
            )
        if self.bands is not None:
            check_bands(self.bands)
        if self.scaling not in ("", *SCALINGS):
            raise OptionError(f"scaling is {self.scaling!r}; expected one of {', '.join(SCALINGS)}")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A file, the card of the weights that it becomes, and how its tensors meet those of the network.

    `encoder_only` says that they fill the encoder and that the rest stays untrained.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    card: WeightCard
    match: Match
    encoder_only: bool
    seed: int

    def build(self) -> Network:
        """Make the network, in eval mode.

        Raises:
            WeightsError: the tensors do not fit it, or are not finite.
        """
        if self.encoder_only:
            from rsseg.weights.pretrained import fill_encoder, find_encoder

            network = init_weights(self.card, seed=self.seed)
            fill_encoder(find_encoder(network), self.tensors, path=self.path)
        else:
            what = f"{self.card.architecture} {self.card.encoder}".strip()
            hint = "is it the right --model? `rsseg weights convert --json` lists all names"
            self.match.check(self.path, what=what, hint=hint)
            network = _outline(self.card)
            fill(network, self.tensors, self.match, path=self.path)
        return network.eval()


def plan_conversion(path: Path, options: ConvertOptions) -> Conversion:
    """Read a file and see how it fits; whether it does is for the caller to ask.

    Raises:
        WeightsError: the file cannot be read; see `read_state_dict`.
        OptionError: the options contradict the file, or lack what it does not say.
    """
    from rsseg.weights.pretrained import encoder_tensors

    tensors = read_state_dict(path)
    encoder = encoder_tensors(tensors, path=path)
    if encoder is not None:
        return _plan_encoder(path, encoder, options)
    return _plan_network(path, tensors, options)


def _plan_network(path: Path, tensors: Mapping[str, Tensor], options: ConvertOptions) -> Conversion:
    from rsseg.models.encoders import encoder_name

    names = PUBLISHED[network_entry(options.model).name]
    shapes = _our_shapes(tensors, names)
    seen = encoder_name(shapes)
    known = seen if seen in network_entry(options.model).encoders else None
    encoder = _agreed(path, "encoder", asked=options.encoder, found=known or "")
    found_bands, found_classes = _sizes(options.model, encoder, shapes)
    bands = _agreed(path, "bands", asked=options.bands or 0, found=found_bands)
    classes = _agreed(path, "classes", asked=_count(options.classes), found=found_classes)
    if classes > NODATA_CLASS:
        raise WeightsError(
            f"{path}: has {classes} classes; a class map takes {NODATA_CLASS}",
            hint="is it the right --model?",
        )
    _check_found_bands(path, bands)
    sha256 = file_sha256(path)
    card = new_card(
        options.model,
        encoder=encoder,
        classes=options.classes or ClassTable.unnamed(classes or 1),
        scaling=_scaling(options.scaling or names.scaling, bands or len(IMAGENET_MEAN)),
        description=f"converted from {path.name} (sha256 {sha256})",
    )
    card = replace(card, bands=numbered_bands(card.scaling.channels))  # a file does not say which they are
    match = match_tensors(tensors, _outline(card).state_dict(), rename=names.ours)
    return Conversion(
        path=path,
        sha256=sha256,
        tensors=tensors,
        card=card,
        match=match,
        encoder_only=False,
        seed=options.seed,
    )


def _plan_encoder(path: Path, tensors: Mapping[str, Tensor], options: ConvertOptions) -> Conversion:
    from rsseg.weights.pretrained import (
        IMAGENET_PACKAGES,
        find_encoder,
        match_encoder,
        stem_bands,
        tensors_encoder,
    )

    found = tensors_encoder(tensors) or ""
    if found not in network_entry(options.model).encoders:
        raise OptionError(
            f"{path}: is a {found}, which is no encoder of {options.model}",
            hint=_encoders_hint(options.model),
        )
    if options.scaling not in ("", "imagenet") and found in IMAGENET_PACKAGES:
        raise OptionError(
            f"{path}: is a {found}, whose first convolution is made to take ImageNet's scaling",
            hint=f"leave --scaling {options.scaling} out",
        )
    if options.classes is None:
        raise OptionError(
            f"{path}: is a {found}, which does not say the classes of a {options.model}",
            hint="give --classes N or a classes.json",
        )
    own = stem_bands(tensors, found)
    _check_found_bands(path, own)
    bands = options.bands or own or len(IMAGENET_MEAN)
    sha256 = file_sha256(path)
    card = new_card(
        options.model,
        encoder=_agreed(path, "encoder", asked=options.encoder, found=found),
        classes=options.classes,
        scaling=_scaling(options.scaling or "imagenet", bands),
        description=f"encoder from {path.name} (sha256 {sha256}), decoder untrained",
    )
    if own != len(IMAGENET_MEAN):
        card = replace(card, bands=numbered_bands(bands))
    match = match_encoder(find_encoder(_outline(card)), tensors)
    return Conversion(
        path=path,
        sha256=sha256,
        tensors=tensors,
        card=card,
        match=match,
        encoder_only=True,
        seed=options.seed,
    )


def _encoders_hint(model: str) -> str:
    encoders = network_entry(model).encoders
    return f"its encoders are {', '.join(encoders)}" if encoders else f"{model} has no encoder"


def _check_found_bands(path: Path, bands: int) -> None:
    if bands > MAX_BANDS:
        raise WeightsError(
            f"{path}: takes {bands} bands; expected up to {MAX_BANDS}", hint="is it the right --model?"
        )


def _agreed(path: Path, what: str, *, asked: Said, found: Said) -> Said:
    """What the file says or, where it says nothing, what was asked for."""
    if asked and found and asked != found:
        raise OptionError(f"{path}: --{what} is {asked}; the file says {found}", hint=f"leave --{what} out")
    return found or asked


def _count(classes: ClassTable | None) -> int:
    return 0 if classes is None else len(classes)


def _our_shapes(tensors: Mapping[str, Tensor], names: PublishedNames) -> Shapes:
    renamed = ((names.ours(name), tensor) for name, tensor in tensors.items())
    return {name: tuple(tensor.shape) for name, tensor in renamed if name is not None}


def _sizes(model: str, encoder: str, found: Shapes) -> tuple[int, int]:
    """Read numbers of bands and classes off the tensors whose shapes depend on them; 0 where they are missing."""
    one, two_bands, two_classes = (
        _network_shapes(model, encoder, bands=bands, classes=classes)
        for bands, classes in ((1, 1), (2, 1), (1, 2))
    )
    return _size(found, one, two_bands), _size(found, one, two_classes)


def _size(found: Shapes, one: Shapes, two: Shapes) -> int:
    """The size for which a network has the shapes found, given those for sizes 1 and 2: they grow evenly with it."""
    for name, first in one.items():
        for axis, (length, next_length) in enumerate(zip(first, two[name], strict=True)):
            if length != next_length and len(found.get(name, ())) == len(first):
                steps, rest = divmod(found[name][axis] - length, next_length - length)
                if rest == 0 and steps >= 0:
                    return steps + 1
    return 0


def _network_shapes(model: str, encoder: str, *, bands: int, classes: int) -> Shapes:
    import torch

    with torch.device("meta"):
        network = build_network(model, encoder=encoder, bands=bands, classes=classes)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _outline(card: WeightCard) -> Network:
    """The card's network with shapes only."""
    import torch

    with torch.device("meta"):
        return build_from_card(card)


def _scaling(name: str, bands: int) -> Scaling:
    """With other than three bands, ImageNet's numbers are repeated as the filters of a first convolution are."""
    if name == "unit":
        return Scaling(mean=(0.0,) * bands, std=(255.0,) * bands)
    channels = [band % len(IMAGENET_MEAN) for band in range(bands)]
    return Scaling(
        mean=tuple(IMAGENET_MEAN[c] for c in channels), std=tuple(IMAGENET_STD[c] for c in channels)
    )
