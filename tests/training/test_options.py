"""Training options check themselves and survive TOML."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
import tomli_w

from rsseg.data.options import AugmentOptions
from rsseg.errors import OptionError
from rsseg.training.options import LossOptions, OptimizerOptions, TrainOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 10**400),
        ("steps_per_epoch", 0),
        ("batch_size", 0),
        ("batch_size", 4097),
        ("window", 0),
        ("window", 16385),
        ("tile", 0),
        ("tile", 16416),
        ("halo", -1),
        ("sampling", "random"),
        ("ema", 1.0),
        ("merge_contexts", 1.5),
        ("patience", -1),
        ("norm", "group"),
        ("precision", "fp8"),
        ("seed", -1),
    ],
)
def test_values_outside_their_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{name.replace('_', ' ')} is {value!r}"):
        TrainOptions(**{name: value})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("optimizer.name", "adam"),
        ("optimizer.lr", 0.0),
        ("optimizer.lr", float("nan")),
        ("optimizer.lr", float("inf")),
        ("optimizer.encoder_lr", -0.1),
        ("optimizer.weight_decay", -0.1),
        ("optimizer.momentum", 1.0),
        ("optimizer.clip", -1.0),
        ("optimizer.parts", 0),
        ("optimizer.schedule", "linear"),
        ("optimizer.warmup", 1.0),
        ("optimizer.final_lr", 1.5),
        ("optimizer.power", -1.0),
        ("optimizer.cycles", 0),
        ("optimizer.cycles", 101),
        ("optimizer.cycle_growth", 0.0),
        ("loss.name", "hinge"),
        ("loss.dice", -1.0),
        ("loss.dice", float("nan")),
        ("loss.dice", float("inf")),
        ("loss.aux_weight", -0.4),
        ("loss.label_smoothing", 1.0),
        ("loss.ohem_threshold", 0.0),
        ("loss.ohem_threshold", 1.0),
        ("loss.ohem_kept", 1.5),
        ("loss.focal_gamma", -1.0),
    ],
)
def test_values_outside_their_range_are_named_by_their_place(place: str, value: Any) -> None:
    table, _, name = place.partition(".")
    kind = {"optimizer": OptimizerOptions, "loss": LossOptions}[table]

    with pytest.raises(OptionError, match=f"^{place} is {value!r}; "):
        kind(**{name: value})


def test_the_ends_of_ranges_are_allowed() -> None:
    OptimizerOptions(lr=1e-12, encoder_lr=0, weight_decay=0, clip=0, warmup=0, final_lr=0)
    OptimizerOptions(lr=1e3, encoder_lr=1e3, warmup=0.999, final_lr=1, parts=4096)
    OptimizerOptions(schedule="restarts", cycles=100, cycle_growth=10)
    OptimizerOptions(schedule="polynomial", power=0)
    LossOptions(dice=0, aux_weight=0, label_smoothing=0.99)
    assert TrainOptions(seed=2**32 - 1, ema=0.999999, window=16384, batch_size=4096).seed == 2**32 - 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"loss": {"name": "focal", "label_smoothing": 0.1}},
            "loss.label_smoothing is 0.1, but the loss is focal; it goes with cross-entropy only",
        ),
        (
            {"loss": {"ohem_kept": 0.5}},
            "loss.ohem_kept is 0.5, but the loss is cross-entropy; it goes with ohem only",
        ),
        ({"loss": {"name": "lovasz", "ohem_threshold": 0.9}}, "loss.ohem_threshold is 0.9, but the loss is"),
        ({"loss": {"name": "ohem", "focal_gamma": 1.0}}, "loss.focal_gamma is 1.0, but the loss is ohem"),
        (
            {"optimizer": {"momentum": 0.5}},
            "optimizer.momentum is 0.5, but the optimizer is adamw; it goes with sgd only",
        ),
        ({"optimizer": {"nesterov": True}}, "optimizer.nesterov is True, but the optimizer is adamw"),
        (
            {"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.0}},
            "optimizer.nesterov looks ahead by the momentum, but optimizer.momentum is 0.0",
        ),
        (
            {"optimizer": {"power": 2.0}},
            "optimizer.power is 2.0, but the schedule is cosine; it goes with polynomial only",
        ),
        ({"optimizer": {"cycles": 2}}, "optimizer.cycles is 2, but the schedule is cosine; it goes with"),
        ({"optimizer": {"cycle_growth": 2.0}}, "optimizer.cycle_growth is 2.0, but the schedule is cosine"),
        (
            {"batch_size": 8, "optimizer": {"parts": 3}},
            "batch size is 8; it cannot be learnt from in 3 equal parts",
        ),
        (
            {"weights": "buildings", "pretrained": "imagenet"},
            "from the weights buildings or from the encoder in imagenet, not from both",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as info:
        TrainOptions.from_dict(row)

    assert info.value.hint


ODD = TrainOptions(
    model="linear",
    weights='a "quoted" path\\with\nlines',
    ema=0.1 + 0.2,
    seed=2**32 - 1,
    compile=True,
    loss=LossOptions(name="ohem", ohem_kept=1 / 3, aux_weight=1),
    optimizer=OptimizerOptions(name="sgd", lr=1e-12, momentum=0, schedule="restarts", cycles=3),
    augment=AugmentOptions(paste=1, paste_classes=("car", "tree, low")),
)
"""With values that are easily changed on the way through a file: whole numbers for fractions, a tuple, a line's end."""


@pytest.mark.parametrize("options", [TrainOptions(), ODD], ids=["defaults", "odd"])
def test_toml_and_back_changes_nothing(options: TrainOptions) -> None:
    row = options.to_dict()
    read = tomllib.loads(tomli_w.dumps(row))

    assert read == row  # a run compares the two to see that its recipe is still the same
    assert TrainOptions.from_dict(read) == options
    assert TrainOptions.from_dict(row) == options


def test_every_option_is_in_the_file_and_can_be_read_alone() -> None:
    def flat(row: dict[str, Any], place: str = "") -> dict[str, Any]:
        tables = {name: value for name, value in row.items() if isinstance(value, dict)}
        values = {place + name: value for name, value in row.items() if name not in tables}
        return values | {k: v for name, table in tables.items() for k, v in flat(table, f"{name}.").items()}

    places = TrainOptions.places()

    written = flat(TrainOptions().to_dict())
    assert list(written) == list(places)
    assert written == {place: list(v) if isinstance(v, tuple) else v for place, v in places.items()}


def test_what_a_recipe_leaves_out_has_its_default() -> None:
    options = TrainOptions.from_dict({"epochs": 3, "optimizer": {"lr": 0.5}, "augment": {}})

    assert options == replace(TrainOptions(), epochs=3, optimizer=OptimizerOptions(lr=0.5))


def test_a_whole_number_does_for_a_fraction() -> None:
    lr = TrainOptions.from_dict({"optimizer": {"lr": 1}}).optimizer.lr

    assert (lr, type(lr)) == (1.0, float)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"optimizer": {"lr": "fast"}}, r"optimizer\.lr is 'fast'; expected a number, such as 0\.5"),
        ({"optimizer": {"lr": True}}, r"optimizer\.lr is True; expected a number"),
        ({"optimizer": {"lr": 10**400}}, r"optimizer\.lr is 1000.*; expected a number"),
        ({"optimizer": {"nesterov": 1}}, r"optimizer\.nesterov is 1; expected true or false"),
        ({"epochs": 2.5}, r"epochs is 2\.5; expected a whole number"),
        ({"epochs": True}, "epochs is True; expected a whole number"),
        ({"model": 3}, "model is 3; expected text"),
        ({"augment": {"paste_classes": "car"}}, r"augment\.paste_classes is 'car'; expected a list of names"),
        ({"augment": {"paste_classes": ["car", 1]}}, r"augment\.paste_classes is \['car', 1\]; expected a"),
        ({"optimizer": {"lr": {"encoder": 1}}}, r"optimizer\.lr is {'encoder': 1}; expected a number"),
    ],
)
def test_values_of_another_type_are_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^training option {message}"):
        TrainOptions.from_dict(row)


def test_a_value_in_the_place_of_a_table_is_refused_with_what_belongs_there() -> None:
    with pytest.raises(OptionError, match="training option loss is 'ohem'; expected a table") as info:
        TrainOptions.from_dict({"loss": "ohem"})

    assert str(info.value.hint).startswith("its options are loss.name, loss.label_smoothing")


@pytest.mark.parametrize(
    ("row", "wrong", "likely"),
    [
        ({"lr": 0.1}, "'lr'", "did you mean optimizer.lr?"),
        ({"optimizer": {"learning_rate": 0.1}}, r"'optimizer\.learning_rate'", None),
        ({"optimiser": {}}, "'optimiser'", "did you mean optimizer?"),
        ({"optimizer": {"momentun": 0.1}}, r"'optimizer\.momentun'", "did you mean optimizer.momentum?"),
        ({"loss": {"lr": 0.1}}, r"'loss\.lr'", "did you mean optimizer.lr?"),
        ({"epoch": 3}, "'epoch'", "did you mean epochs?"),
        ({"augment": {"Zoom": 3}}, r"'augment\.Zoom'", "did you mean augment.zoom?"),
        ({"xyz\n": 3}, r"'xyz\\n'", None),
    ],
)
def test_unknown_names_are_refused_with_what_was_likely_meant(
    row: dict[str, Any], wrong: str, likely: str | None
) -> None:
    with pytest.raises(OptionError, match=f"^unknown training option {wrong}$") as info:
        TrainOptions.from_dict(row)

    assert info.value.hint == likely or (likely is None and str(info.value.hint).startswith("known are "))
