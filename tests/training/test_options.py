"""Training options check themselves and survive TOML."""

from __future__ import annotations

from typing import Any

import pytest

from rsseg.errors import OptionError
from rsseg.training.options import TrainOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("steps_per_epoch", 0),
        ("batch_size", 0),
        ("batch_size", 4097),
        ("window", 0),
        ("window", 16385),
        ("tile", 0),
        ("tile", 16416),
        ("halo", -1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("weight_decay", -0.1),
        ("warmup", 1.0),
        ("clip", 0.0),
        ("dice", -1.0),
        ("dice", float("nan")),
        ("dice", float("inf")),
        ("aux_weight", -0.4),
        ("label_smoothing", 1.0),
        ("ohem_threshold", 0.0),
        ("ohem_threshold", 1.0),
        ("ohem_kept", 1.5),
        ("focal_gamma", -1.0),
        ("loss", "hinge"),
        ("contrast", 1.0),
        ("precision", "fp8"),
        ("seed", -1),
    ],
)
def test_values_outside_their_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{name.replace('_', ' ')} is {value!r}"):
        TrainOptions(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "focal", "label_smoothing": 0.1},
            "label smoothing is 0.1, but the loss is focal; it goes with cross-entropy only",
        ),
        ({"ohem_kept": 0.5}, "ohem kept is 0.5, but the loss is cross-entropy; it goes with ohem only"),
        ({"loss": "lovasz", "ohem_threshold": 0.9}, "ohem threshold is 0.9, but the loss is lovasz"),
        ({"loss": "ohem", "focal_gamma": 1.0}, "focal gamma is 1.0, but the loss is ohem"),
        (
            {"weights": "buildings", "pretrained": "imagenet"},
            "from the weights buildings or from the encoder in imagenet, not from both",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(**options)


def test_a_recipe_from_before_there_was_a_choice_of_loss_means_what_it_meant() -> None:
    old = {"model": "maresunet", "epochs": 30, "dice": 1.0, "clip": 1.0, "precision": "auto", "seed": 0}

    options = TrainOptions.from_dict(old)

    assert (options.loss, options.label_smoothing, options.dice) == ("cross-entropy", 0.0, 1.0)
    assert (options.pretrained, options.weights) == ("", "")


def test_dict_and_back_is_identity() -> None:
    options = TrainOptions(model="linear", lr=0.5, epochs=3)

    assert TrainOptions.from_dict(options.to_dict()) == options


def test_a_whole_number_does_for_a_fraction() -> None:
    assert TrainOptions.from_dict({"lr": 1}).lr == 1


@pytest.mark.parametrize("row", [{"lr": "fast"}, {"epochs": 2.5}, {"epochs": True}, {"model": 3}])
def test_values_of_another_type_are_named(row: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"training option {next(iter(row))} is"):
        TrainOptions.from_dict(row)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="unknown training option 'learning_rate'") as info:
        TrainOptions.from_dict({"learning_rate": 0.1})

    assert "steps_per_epoch" in str(info.value.hint)


def test_seeds_are_those_that_every_generator_takes() -> None:
    assert TrainOptions(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(OptionError, match="seed is 4294967296; it must be at least 0 and at most 4294967295"):
        TrainOptions(seed=2**32)
