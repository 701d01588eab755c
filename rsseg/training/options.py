"""What a training run can be told; a run's config.toml holds just these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from rsseg.errors import OptionError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
LOSSES = ("cross-entropy", "ohem", "focal", "lovasz")

LARGEST_BATCH = 4096
LARGEST_SIDE = 16384


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The recipe of a run: network, samples, schedule. The same recipe and data give the same weights.

    Empty `model` and `encoder` stand for those of `weights`, or else for MAResU-Net with ResNet-18. `window` is the
    side of a sample, `tile` and `halo` are what validation and later prediction use, all in pixels. `weight_decay`
    does not apply to norms, biases and attention scales. Training starts from `weights`, or from the encoder in the
    file `pretrained`, or "imagenet", or from random numbers.

    `preset` says that the data are a published data set in its own folders and coding; see `rsseg.data.presets`.

    The loss is `loss` plus `dice` times the Dice loss; that of each auxiliary head counts `aux_weight`. Only some
    losses have options: `label_smoothing` is cross-entropy's. "ohem" learns from the pixels whose true class is less
    probable than `ohem_threshold`, at least from the share `ohem_kept`, which is GeoSeg's and not AttaNet's. See
    `rsseg.training.losses`.

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
    tile: int = 512
    halo: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    loss: str = "cross-entropy"
    label_smoothing: float = 0.0
    ohem_threshold: float = 0.7
    ohem_kept: float = 0.0625
    focal_gamma: float = 2.0
    dice: float = 1.0
    aux_weight: float = 1.0
    contrast: float = 0.25
    brightness: float = 0.25
    colour: float = 0.08
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps_per_epoch"):
            _check_range(name, getattr(self, name), low=1)
        _check_range("batch_size", self.batch_size, low=1, high=LARGEST_BATCH)
        for name in ("window", "tile"):
            _check_range(name, getattr(self, name), low=1, high=LARGEST_SIDE)
        for name in ("halo", "weight_decay", "focal_gamma", "dice", "aux_weight"):
            _check_range(name, getattr(self, name), low=0)
        _check_range("seed", self.seed, low=0, high=2**32 - 1)
        for name in ("contrast", "brightness", "colour", "warmup", "label_smoothing"):
            _check_range(name, getattr(self, name), low=0, high=0.99)
        _check_range("ohem_threshold", self.ohem_threshold, low=0.01, high=0.99)
        _check_range("ohem_kept", self.ohem_kept, low=0, high=1)
        for name in ("lr", "clip"):
            _check_range(name, getattr(self, name), low=1e-12, high=1e3)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("loss", self.loss, LOSSES)
        self._check_together()

    def _check_together(self) -> None:
        if self.weights and self.pretrained:
            raise OptionError(
                f"training can start from the weights {self.weights} or from the encoder in {self.pretrained},"
                " not from both",
                hint="leave --weights or --pretrained out",
            )
        defaults = {f.name: f.default for f in fields(self)}
        for name, loss in _ONLY_WITH.items():
            value = getattr(self, name)
            if loss != self.loss and value != defaults[name]:
                raise OptionError(
                    f"{name.replace('_', ' ')} is {value}, but the loss is {self.loss}; it goes with {loss} only",
                    hint=f"leave it out, or choose --loss {loss}",
                )

    @property
    def steps(self) -> int:
        """How many batches the whole run learns from."""
        return self.epochs * self.steps_per_epoch

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            OptionError: an unknown name, or a value of the wrong type.
        """
        known = {f.name: f.default for f in fields(cls)}
        for name, value in row.items():
            if name not in known:
                raise OptionError(f"unknown training option {name!r}", hint=f"known are {', '.join(known)}")
            kinds = (int, float) if isinstance(known[name], float) else type(known[name])
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise OptionError(
                    f"training option {name} is {value!r}; expected a {type(known[name]).__name__}"
                )
        return cls(**row)


_ONLY_WITH = {
    "label_smoothing": "cross-entropy",
    "ohem_threshold": "ohem",
    "ohem_kept": "ohem",
    "focal_gamma": "focal",
}
"""Options that a single loss has."""


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise OptionError(f"{name} is {value!r}; expected one of {', '.join(choices)}")


def _check_range(name: str, value: float, *, low: float, high: float = float("inf")) -> None:
    if not low <= value <= high or value == float("inf"):
        upper = (
            f" and at most {high}" if high < float("inf") else "" if isinstance(value, int) else " and finite"
        )
        raise OptionError(f"{name.replace('_', ' ')} is {value}; it must be at least {low}{upper}")
