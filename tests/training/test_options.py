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
        ("window", 0),
        ("tile", 0),
        ("halo", -1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("weight_decay", -0.1),
        ("warmup", 1.0),
        ("clip", 0.0),
        ("dice", -1.0),
        ("contrast", 1.0),
        ("precision", "fp8"),
        ("seed", -1),
    ],
)
def test_values_outside_their_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{name.replace('_', ' ')} is {value!r}"):
        TrainOptions(**{name: value})


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
