"""What a user can choose about samples: which windows become one, and how they are changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from rsseg.errors import OptionError
from rsseg.ranges import check_choice, check_range

SAMPLINGS = ("area", "balanced", "grid")
"""Each labelled pixel is equally likely; each class is; or windows side by side, each once before any comes again."""

TURNS = ("all", "mirror", "none")

BEST_JPEG = 95
"""The quality from which compression starts: above it, it hardly shows."""


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How much samples change; 0, or 1 for `zoom`, leaves that change out.

    `turns` are all eight flips and quarter turns, "mirror" images only as in photos from the ground, or none. `zoom`:
    things become up to so many times smaller or larger; `rotation`: turned by up to so many degrees besides.

    Light, in standard deviations of the scaled pixels: `contrast` multiplies by 1 +- it, `brightness` shifts all
    channels together, `colour` each by itself.

    A share of the samples (see `rsseg.data.augment`) is made rougher: `blur`, by a Gaussian of up to so many pixels;
    `noise`, of up to so many standard deviations; `jpeg`, from 95 down to this quality. `drop_band` is the probability
    that one of the channels is missing.

    `cutmix` is the probability that a rectangle comes from a second sample (Yun et al. 2019, arXiv:1905.04899), `paste`
    that the pixels of the classes `paste_classes` do (Ghiasi et al. 2021, arXiv:2012.07177).

    Raises:
        OptionError: a value is out of its range, or two do not go together.
    """

    turns: str = "all"
    zoom: float = 1.0
    rotation: float = 0.0
    contrast: float = 0.25
    brightness: float = 0.25
    colour: float = 0.08
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    drop_band: float = 0.0
    cutmix: float = 0.0
    paste: float = 0.0
    paste_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("augment.turns", self.turns, TURNS)
        check_range("augment.zoom", self.zoom, low=1, high=4)
        check_range("augment.rotation", self.rotation, low=0, high=180)
        for name in ("contrast", "brightness", "colour"):
            check_range(f"augment.{name}", getattr(self, name), low=0, high=0.99)
        check_range("augment.blur", self.blur, low=0, high=8)
        check_range("augment.noise", self.noise, low=0, high=4)
        check_range("augment.jpeg", self.jpeg, low=0, high=BEST_JPEG)
        for name in ("drop_band", "cutmix", "paste"):
            check_range(f"augment.{name}", getattr(self, name), low=0, high=1)
        check_range("augment.cutmix + augment.paste", self.cutmix + self.paste, low=0, high=1)
        if (self.paste > 0) != bool(self.paste_classes):
            raise OptionError(
                f"augment.paste is {self.paste}, augment.paste_classes are {', '.join(self.paste_classes) or 'none'}",
                hint="pasting needs both, such as paste = 0.3 and paste_classes = ['car']",
            )


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How samples are drawn: the side of their window in pixels, which windows, the seed, and how they are changed.

    Raises:
        OptionError: a value is out of its range.
    """

    window: int = 256
    sampling: str = "area"
    seed: int = 0
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        check_range("window", self.window, low=1)
        check_range("seed", self.seed, low=0)
        check_choice("sampling", self.sampling, SAMPLINGS)
