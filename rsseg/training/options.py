"""What a training run can be told; the table `train` of a run's config.toml, or of a recipe, holds just these."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Self, TypeVar

from rsseg.data.options import SAMPLINGS, AugmentOptions
from rsseg.errors import OptionError
from rsseg.ranges import check_choice, check_range

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
LOSSES = ("cross-entropy", "ohem", "focal", "lovasz")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "polynomial", "restarts", "constant")
NORMS = ("batch", "frozen")

LARGEST_BATCH = 4096
LARGEST_SIDE = 16384
MOST_EPOCHS = 1_000_000
MOST_CYCLES = 100
LARGEST_FLOAT = int(sys.float_info.max)


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What is made small: `name` plus `dice` times the Dice loss; that of each auxiliary head counts `aux_weight`.

    Only some losses have options: `label_smoothing` is cross-entropy's. "ohem" learns from the pixels whose true class
    is less probable than `ohem_threshold`, at least from the share `ohem_kept`, which is GeoSeg's and not AttaNet's.
    See `rsseg.training.losses`.

    Raises:
        OptionError: a value is out of its range, or goes with another loss.
    """

    name: str = "cross-entropy"
    label_smoothing: float = 0.0
    ohem_threshold: float = 0.7
    ohem_kept: float = 0.0625
    focal_gamma: float = 2.0
    dice: float = 1.0
    aux_weight: float = 1.0

    def __post_init__(self) -> None:
        check_choice("loss.name", self.name, LOSSES)
        for name in ("focal_gamma", "dice", "aux_weight"):
            check_range(f"loss.{name}", getattr(self, name), low=0)
        check_range("loss.label_smoothing", self.label_smoothing, low=0, high=0.99)
        check_range("loss.ohem_threshold", self.ohem_threshold, low=0.01, high=0.99)
        check_range("loss.ohem_kept", self.ohem_kept, low=0, high=1)
        _check_only_with(self, _ONE_LOSS, table="loss", what="loss", chosen=self.name)


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How the network moves: AdamW or SGD, and the learning rate over the run. See `rsseg.training.schedule`.

    `lr` is the highest rate, that of the encoder is `encoder_lr` times it. `weight_decay` does not apply to norms,
    biases and attention scales. `momentum` and `nesterov` are SGD's. A gradient longer than `clip` is shortened to it;
    0 leaves it as it is. A step's batch is learnt from in `parts`, one after the other, where memory is short.

    The rate rises over the share `warmup` of the steps, then follows `schedule`, down to `final_lr` times it: half a
    cosine; (1 - progress) ** `power`; `cycles` cosines that start again, each `cycle_growth` times as long as the one
    before; or it stays constant.

    Raises:
        OptionError: a value is out of its range, or goes with another optimizer or schedule.
    """

    name: str = "adamw"
    lr: float = 1e-3
    encoder_lr: float = 1.0
    weight_decay: float = 0.01
    momentum: float = 0.9
    nesterov: bool = False
    clip: float = 1.0
    parts: int = 1
    schedule: str = "cosine"
    warmup: float = 0.05
    final_lr: float = 0.01
    power: float = 0.9
    cycles: int = 4
    cycle_growth: float = 1.0

    def __post_init__(self) -> None:
        check_choice("optimizer.name", self.name, OPTIMIZERS)
        check_choice("optimizer.schedule", self.schedule, SCHEDULES)
        check_range("optimizer.lr", self.lr, low=1e-12, high=1e3)
        check_range("optimizer.encoder_lr", self.encoder_lr, low=0, high=1e3)
        for name in ("weight_decay", "clip", "power"):
            check_range(f"optimizer.{name}", getattr(self, name), low=0)
        for name in ("momentum", "warmup"):
            check_range(f"optimizer.{name}", getattr(self, name), low=0, high=0.999)
        check_range("optimizer.final_lr", self.final_lr, low=0, high=1)
        check_range("optimizer.parts", self.parts, low=1, high=LARGEST_BATCH)
        check_range("optimizer.cycles", self.cycles, low=1, high=MOST_CYCLES)
        check_range("optimizer.cycle_growth", self.cycle_growth, low=0.1, high=10)
        if self.nesterov and not self.momentum:
            raise OptionError(
                f"optimizer.nesterov looks ahead by the momentum, but optimizer.momentum is {self.momentum}",
                hint="set optimizer.momentum, or leave optimizer.nesterov out",
            )
        _check_only_with(self, _ONE_OPTIMIZER, table="optimizer", what="optimizer", chosen=self.name)
        _check_only_with(self, _ONE_SCHEDULE, table="optimizer", what="schedule", chosen=self.schedule)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The recipe of a run: network, samples, schedule. The same recipe and data give the same weights.

    Empty `model` and `encoder` stand for those of `weights`, or else for MAResU-Net with ResNet-18. `window` is the
    side of a sample, `tile` and `halo` are what validation and later prediction use, all in pixels. Training starts
    from `weights`, or from the encoder in the file `pretrained`, or "imagenet", or from random numbers.

    `preset` says that the data are a published data set in its own folders and coding; see `rsseg.data.presets`.
    `sampling` says which windows become samples; see `rsseg.data.samplers`.

    `ema` keeps a moving average of the parameters, which forgets the share 1 - `ema` of itself in each step, but at
    least 9 / (10 + n) after n steps (0.99 counts after 890, 0.998 after 4,490); 0 keeps none. The average is what is
    validated and kept. Training stops when `patience` epochs brought nothing better; 0 stops at the end only. `norm`
    "frozen" leaves the statistics of batch norms as they are. `compile` lets torch compile the network.

    In the share `merge_contexts` of the steps, attention sees all samples of the batch (of each of its parts) as if
    they were one image: then the weights serve `--context raster` as well; see docs/decisions/0018.

    Raises:
        OptionError: a value is out of its range, or two do not go together.
    """

    model: str = ""
    encoder: str = ""
    weights: str = ""
    pretrained: str = ""
    preset: str = ""
    epochs: int = 30
    steps_per_epoch: int = 100
    batch_size: int = 8
    window: int = 256
    sampling: str = "area"
    tile: int = 512
    halo: int = 64
    ema: float = 0.0
    patience: int = 0
    norm: str = "batch"
    merge_contexts: float = 0.0
    precision: str = "auto"
    compile: bool = False
    seed: int = 0
    loss: LossOptions = field(default_factory=LossOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch"):
            check_range(name, getattr(self, name), low=1, high=MOST_EPOCHS)
        check_range("batch_size", self.batch_size, low=1, high=LARGEST_BATCH)
        for name in ("window", "tile"):
            check_range(name, getattr(self, name), low=1, high=LARGEST_SIDE)
        check_range("halo", self.halo, low=0, high=LARGEST_SIDE)
        check_range("patience", self.patience, low=0, high=MOST_EPOCHS)
        check_range("ema", self.ema, low=0, high=0.999999)
        check_range("merge_contexts", self.merge_contexts, low=0, high=1)
        check_range("seed", self.seed, low=0, high=2**32 - 1)
        check_choice("sampling", self.sampling, SAMPLINGS)
        check_choice("norm", self.norm, NORMS)
        check_choice("precision", self.precision, PRECISIONS)
        if self.weights and self.pretrained:
            raise OptionError(
                f"training can start from the weights {self.weights} or from the encoder in {self.pretrained},"
                " not from both",
                hint="leave --weights or --pretrained out",
            )
        if self.batch_size % self.optimizer.parts:
            raise OptionError(
                f"batch size is {self.batch_size}; it cannot be learnt from in {self.optimizer.parts} equal parts",
                hint="choose parts that divide it",
            )

    @property
    def steps(self) -> int:
        """How many batches the whole run learns from."""
        return self.epochs * self.steps_per_epoch

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tables for TOML: what is read back is equal to it."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; what is left out has its default.

        Raises:
            OptionError: an unknown name, a value of the wrong type, or one that the options refuse.
        """
        return _from_dict(cls(), row, place="")

    @classmethod
    def places(cls) -> dict[str, Any]:
        """Every option by its place in a recipe, such as `optimizer.lr`, with its default."""
        return dict(_places(cls(), place=""))


_Options = TypeVar("_Options", bound="TrainOptions | LossOptions | OptimizerOptions | AugmentOptions")

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number, such as 0.5",
    str: "text",
    tuple: "a list of names, such as ['car', 'tree']",
}


def _from_dict(defaults: _Options, row: Mapping[str, Any], *, place: str) -> _Options:
    """Options of the kind of `defaults`, with what a table says that lies at a place: "", or such as "loss."."""
    known = {f.name: getattr(defaults, f.name) for f in fields(defaults)}
    values: dict[str, Any] = {}
    for name, value in row.items():
        if name not in known:
            raise OptionError(
                f"unknown training option {place + name!r}", hint=_likely(name, known, place=place)
            )
        values[name] = _checked(place + name, value, known[name])
    return replace(defaults, **values)


def _checked(place: str, value: Any, default: Any) -> Any:
    """The value, if it is of the kind of its default; a whole number does for a fraction."""
    if is_dataclass(default):
        if not isinstance(value, Mapping):
            raise OptionError(
                f"training option {place} is {value!r}; expected a table",
                hint=f"its options are {', '.join(name for name, _ in _places(default, place=place + '.'))}",
            )
        return _from_dict(default, value, place=f"{place}.")  # type: ignore[type-var]
    if isinstance(default, float) and type(value) is int and abs(value) <= LARGEST_FLOAT:
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if type(value) is not type(default):
        raise OptionError(f"training option {place} is {value!r}; expected {_KINDS[type(default)]}")
    return value


def _plain(value: Any) -> Any:
    """Tables of values as TOML knows them, where a list is no tuple."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _places(options: Any, *, place: str) -> Iterator[tuple[str, Any]]:
    for option in fields(options):
        value = getattr(options, option.name)
        if is_dataclass(value):
            yield from _places(value, place=f"{place}{option.name}.")
        else:
            yield place + option.name, value


def _likely(name: str, known: Iterable[str], *, place: str) -> str:
    """What was probably meant: the same name in another table, or one that is spelled much like it."""
    here = {other: place + other for other in known}
    anywhere = {other.rpartition(".")[2]: other for other in TrainOptions.places()}
    for names in (anywhere if name in anywhere else here, anywhere):
        if likely := get_close_matches(name, names, n=1):
            return f"did you mean {names[likely[0]]}?"
    return f"known are {', '.join(here.values())}"


_ONE_LOSS = {
    "label_smoothing": "cross-entropy",
    "ohem_threshold": "ohem",
    "ohem_kept": "ohem",
    "focal_gamma": "focal",
}
_ONE_OPTIMIZER = {"momentum": "sgd", "nesterov": "sgd"}
_ONE_SCHEDULE = {"power": "polynomial", "cycles": "restarts", "cycle_growth": "restarts"}
"""Options that go with a single loss, optimizer or schedule."""


def _check_only_with(
    options: LossOptions | OptimizerOptions, needed: Mapping[str, str], *, table: str, what: str, chosen: str
) -> None:
    for name, needs in needed.items():
        value = getattr(options, name)
        if needs != chosen and value != getattr(type(options), name):
            raise OptionError(
                f"{table}.{name} is {value}, but the {what} is {chosen}; it goes with {needs} only",
                hint=f"leave it out, or choose --{what} {needs}",
            )
