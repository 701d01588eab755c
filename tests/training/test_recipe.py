"""Recipes are read from TOML, and changed option by option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError
from rsseg.training.options import OptimizerOptions, TrainOptions
from rsseg.training.recipe import LARGEST_BYTES, changed, parse_setting, read_recipe
from rsseg.training.run_folder import RunFolder


def test_a_recipe_is_the_table_train(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[train]\nmodel = "linear"\n[train.optimizer]\nlr = 1\n')

    assert read_recipe(path) == {"model": "linear", "optimizer": {"lr": 1}}
    assert TrainOptions.from_dict(read_recipe(path)).optimizer == OptimizerOptions(lr=1.0)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes(b"\xef\xbb\xbf[train]\r\nepochs = 3\r\n")

    assert read_recipe(tmp_path / "r.toml") == {"epochs": 3}


def test_the_config_of_a_run_is_a_recipe(tmp_path: Path) -> None:
    options = TrainOptions(model="linear", optimizer=OptimizerOptions(lr=0.1))
    folder = RunFolder(tmp_path)
    folder.write_config({"data": "/somewhere", "train": options.to_dict()})

    assert TrainOptions.from_dict(read_recipe(folder.config)) == options


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"has no table \[train\]"),
        (b"[train", r"is no recipe \(Expected"),
        (b"train = 3", r"has no table \[train\]"),
        (b"epochs = 3\n[train]", "holds 'epochs'"),
        (b"[[train]]", r"has no table \[train\]"),
        (b'classes = "classes.json"\n[[train]]\nimage = "a.tif"', "holds 'classes'"),
        (b"\x00\xff\xfe\x80" * 9, r"is no recipe \(not text in UTF-8\)"),
        (b"\x00" * 9, "is no recipe"),
        (b"[train]\nx = " + b"1" * 9000, "is no recipe"),
        (b"[train]\nx = " + b"[" * 9000, "is no recipe"),
        (b"#" * (LARGEST_BYTES + 1), r"is no recipe \(larger than 1048576 bytes\)"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.toml").write_bytes(content)

    with pytest.raises(OptionError, match=rf"r\.toml: {message}") as info:
        read_recipe(tmp_path / "r.toml")

    assert "\n" not in str(info.value)
    assert "[train]" in str(info.value.hint)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.toml", "No such file or directory"),
        (".", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OptionError, match=rf"cannot be read \({reason}\)"):
        read_recipe(tmp_path / name)


def test_changing_an_option_leaves_the_others_and_the_recipe_itself_alone() -> None:
    recipe = {"epochs": 3, "optimizer": {"lr": 1, "clip": 2}}

    found = changed(changed(recipe, "optimizer.lr", 5), "loss.name", "ohem")

    assert found == {"epochs": 3, "optimizer": {"lr": 5, "clip": 2}, "loss": {"name": "ohem"}}
    assert recipe == {"epochs": 3, "optimizer": {"lr": 1, "clip": 2}}


def test_an_option_of_what_is_no_table_is_refused() -> None:
    with pytest.raises(OptionError, match="training option epochs is 3; expected a table"):
        changed({"epochs": 3}, "epochs.long", 5)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("optimizer.lr = 1e-3", "optimizer.lr", 1e-3),
        ("compile=true", "compile", True),
        ("model=maresunet", "model", "maresunet"),
        ("weights=runs/a=b.safetensors", "weights", "runs/a=b.safetensors"),
        ('weights="a b"', "weights", "a b"),
        ("pretrained=", "pretrained", ""),
        ("augment.paste_classes=['car', 'tree']", "augment.paste_classes", ["car", "tree"]),
        ("model=a\nepochs=3", "model", "a\nepochs=3"),
        ("model=1\nepochs=3", "model", "1\nepochs=3"),
        ("model=" + "1" * 9000, "model", "1" * 9000),
        ("model=" + "[" * 9000, "model", "[" * 9000),
        ("optimizer.lr=.001", "optimizer.lr", ".001"),
    ],
)
def test_settings_are_toml_or_bare_words(text: str, name: str, value: Any) -> None:
    found = parse_setting(text)

    assert found == (name, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["", "epochs", "=3", " = 3"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=f"--set '{text}': expected NAME=VALUE") as info:
        parse_setting(text)

    assert info.value.hint


@given(st.text())
def test_any_setting_gives_options_or_an_explained_refusal(text: str) -> None:
    try:
        recipe = changed({}, *parse_setting(text))
        options = TrainOptions.from_dict(recipe)
    except OptionError as err:
        assert "\n" not in str(err)
    else:
        assert isinstance(options, TrainOptions)


@given(st.sampled_from(list(TrainOptions.places())))
def test_every_default_can_be_set(place: str) -> None:
    default = TrainOptions.places()[place]
    text = str(list(default) if isinstance(default, tuple) else default)
    recipe = changed({}, *parse_setting(f"{place}={text.lower() if isinstance(default, bool) else text}"))

    assert TrainOptions.from_dict(recipe) == TrainOptions()
