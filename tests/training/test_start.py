"""What a run starts from: weights, an encoder, random numbers; and recipes that cannot start."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsseg.errors import OptionError, RasterError, ResourceError, WeightsError
from rsseg.models.registry import build_network
from rsseg.preprocess import Scaling, default_scaling
from rsseg.training.engine import TrainSummary, resume, train
from rsseg.training.options import TrainOptions
from rsseg.training.start import check_recipe
from rsseg.weights import load_weights, pretrained, save_weights
from rsseg.weights.files import file_sha256
from rsseg.weights.pretrained import find_encoder
from tests.data.labelled import write_classes, write_tiles
from tests.making import random_pixels, write_argmax_weights, write_raster
from tests.training.runs import ONE, SPLIT, recipe, same_weights, train_until

pytestmark = pytest.mark.usefixtures("tidy")


def start_from_argmax(tmp_path: Path, folder: Path, **options: Any) -> TrainSummary:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    return train(
        folder,
        tmp_path / "run",
        options=recipe("", weights=str(weights), epochs=1, lr=1e-9, **options),
        machine=ONE,
    )


def test_training_can_start_from_existing_weights(folder: Path, tmp_path: Path) -> None:
    summary = start_from_argmax(tmp_path, folder)

    assert summary.scores["mean_iou"] == 1.0
    assert load_weights(str(summary.best)).card.architecture == "linear"


def test_the_card_of_the_weights_to_start_from_stays_where_the_data_say_nothing(tmp_path: Path) -> None:
    write_tiles(tmp_path / "d", split=SPLIT, crs=None, transform=None)
    known = {"licence": "CC0", "data": "there", "description": "old", "gsd_m": 0.5}
    base = load_weights(str(write_argmax_weights(tmp_path / "base.safetensors")))
    save_weights(tmp_path / "base.safetensors", base.network, replace(base.card, **known))
    (tmp_path / "manifest.toml").write_text('tiles = "d"\n[card]\ndescription = "new"')
    options = recipe("", weights=str(tmp_path / "base.safetensors"), epochs=1, steps_per_epoch=1)

    summary = train(tmp_path / "manifest.toml", tmp_path / "run", options=options, machine=ONE)

    card = load_weights(str(summary.best)).card
    assert (card.licence, card.data, card.description, card.gsd_m) == ("CC0", "there", "new", 0.5)
    assert card.bands == base.card.bands


@pytest.mark.parametrize("weights", ["", "argmax.safetensors"])
def test_chosen_bands_are_named_by_their_numbers(folder: Path, tmp_path: Path, weights: str) -> None:
    write_argmax_weights(tmp_path / "argmax.safetensors")
    (tmp_path / "manifest.toml").write_text('tiles = "d"\nbands = [3, 2, 1]')
    start = {"model": "", "weights": str(tmp_path / weights)} if weights else {}
    options = recipe(**{"epochs": 1, "steps_per_epoch": 1, **start})

    summary = train(tmp_path / "manifest.toml", tmp_path / "run", options=options, machine=ONE)

    assert load_weights(str(summary.best)).card.bands == ("band 3", "band 2", "band 1")


def test_classes_of_other_names_begin_anew_and_the_others_are_kept(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_classes(folder, ["roof", "red", "tree", "green"])

    with caplog.at_level("INFO", "rsseg"):
        summary = start_from_argmax(tmp_path, folder)

    network = load_weights(str(summary.best)).network
    assert torch.allclose(network.head.weight[[1, 3]].flatten(1), torch.eye(3)[:2], atol=1e-6)
    sha256 = file_sha256(tmp_path / "argmax.safetensors")
    assert [r.message for r in caplog.records if "are kept" in r.message] == [
        f"from argmax (sha256 {sha256[:12]}) encoder and decoder are kept, and of the heads red, green;"
        " roof, tree begin anew"
    ]


def test_the_card_says_from_which_weights_other_classes_began_and_keeps_what_still_holds(
    folder: Path, tmp_path: Path
) -> None:
    write_classes(folder, ["roof", "road", "tree"])
    base = load_weights(str(write_argmax_weights(tmp_path / "base.safetensors")))
    known = {"licence": "CC0", "data": "there", "description": "of colours", "scores": {"mean_iou": 0.9}}
    card = replace(base.card, scaling=Scaling(mean=(1.0,) * 3, std=(2.0,) * 3, dtype="uint8"), **known)
    save_weights(tmp_path / "base.safetensors", base.network, card)
    sha256 = file_sha256(tmp_path / "base.safetensors")
    options = recipe("", weights=str(tmp_path / "base.safetensors"), epochs=1, steps_per_epoch=1)

    summary = train(folder, tmp_path / "run", options=options, machine=ONE)

    found = load_weights(str(summary.best)).card
    assert found.description == f"began from base (sha256 {sha256})"
    assert (found.licence, found.data, found.scaling) == ("CC0", "there", card.scaling)
    assert (found.classes.names, found.architecture) == (("roof", "road", "tree"), "linear")
    assert found.scores["mean_iou"] != 0.9


def test_going_on_with_other_classes_does_not_need_the_old_weights_any_more(
    folder: Path, tmp_path: Path
) -> None:
    write_classes(folder, ["roof", "road", "green"])
    base = write_argmax_weights(tmp_path / "base.safetensors")
    options = recipe("", weights=str(base), epochs=2)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)
    train_until(1, folder, tmp_path / "parts", options)
    base.unlink()

    assert same_weights(resume(tmp_path / "parts", machine=ONE).best, whole.best)


def test_the_bundled_weights_start_on_classes_of_ones_own(folder: Path, tmp_path: Path) -> None:
    write_classes(folder, ["building", "road", "tree"])
    options = recipe("", weights="buildings", window=64, epochs=1, steps_per_epoch=1, lr=1e-9)

    summary = train(folder, tmp_path / "run", options=options, machine=ONE)

    old, new = load_weights("buildings"), load_weights(str(summary.best))
    row = old.card.classes.names.index("building")
    assert torch.allclose(
        new.network.head.classify.weight[0], old.network.head.classify.weight[row], atol=1e-7
    )
    kept = ("architecture", "encoder", "scaling", "energy_positions", "licence", "data")
    assert [getattr(new.card, name) for name in kept] == [getattr(old.card, name) for name in kept]
    assert new.card.description == f"began from buildings (sha256 {old.sha256})"


def test_weights_for_other_bands_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", random_pixels(40, 48, bands=5))

    with pytest.raises(WeightsError, match="expects 3 bands of uint8; the images have 5 of uint8"):
        start_from_argmax(tmp_path, folder)


def test_weights_for_another_network_than_asked_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")

    with pytest.raises(OptionError, match=r"--model is maresunet, but .* is for linear"):
        train(folder, tmp_path / "run", options=recipe("maresunet", weights=str(weights)), machine=ONE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "unet"}, "unet: unknown network"),
        ({"model": "maresunet", "encoder": "vgg"}, "unknown encoder vgg"),
        ({"model": "maresunet", "tile": 40}, "tile is 40 px; it must be a multiple"),
        ({"model": "maresunet", "tile": 16}, "needs at least its stride"),
        ({"batch_size": 1, "window": 1}, "batch size 1 and window 1 leave linear a single value"),
        (
            {"model": "maresunet", "batch_size": 1},
            "batch size 1 and window 32 leave maresunet a single value",
        ),
        ({"model": "abcnet", "batch_size": 1, "window": 256}, "batch size is 1; abcnet needs at least 2"),
        ({"model": "attanet-light", "batch_size": 1}, "batch size is 1; attanet-light needs at least 2"),
        (
            {"model": "abcnet", "batch_size": 4, "parts": 4, "window": 256},
            "batch size of each of 4 parts is 1; abcnet needs at least 2",
        ),
        (
            {"model": "maskattn-unet-published", "window": 128},
            "tile is 64 px; maskattn-unet-published takes squares of 128 px only",
        ),
        ({"model": "maskattn-unet-published", "tile": 128}, "window is 32 px; .* takes squares of 128 px"),
        ({"pretrained": "imagenet"}, "linear: has no encoder that imagenet could fill"),
    ],
)
def test_networks_and_sizes_that_do_not_fit_are_refused_before_any_data_are_read(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message) as info:
        train(tmp_path / "nothing", tmp_path / "run", options=recipe(**options), machine=ONE)

    assert info.value.hint
    assert not (tmp_path / "run").exists()


def test_sizes_must_fit_the_network_of_the_weights_to_start_from(tmp_path: Path) -> None:
    weights = write_argmax_weights(tmp_path / "argmax.safetensors")
    options = recipe("", weights=str(weights), batch_size=1, window=1)

    with pytest.raises(OptionError, match="batch size 1 and window 1 leave linear a single value"):
        train(tmp_path / "nothing", tmp_path / "run", options=options, machine=ONE)


@pytest.mark.parametrize("options", [{}, {"model": "maresunet", "pretrained": "imagenet"}])
def test_a_weight_for_auxiliary_heads_that_a_network_does_not_have_is_refused_before_anything_is_fetched(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "fetch_imagenet", {}.__getitem__)

    with pytest.raises(OptionError, match=r"loss\.aux_weight is 0\.4, but \w+ has no auxiliary heads"):
        train(tmp_path / "nothing", tmp_path / "run", options=recipe(aux_weight=0.4, **options), machine=ONE)


def test_a_rate_of_the_encoder_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"optimizer\.encoder_lr is 0\.1, but linear has no encoder"
    ) as info:
        train(tmp_path / "nothing", tmp_path / "run", options=recipe(encoder_lr=0.1), machine=ONE)

    assert info.value.hint


def test_an_encoder_with_a_rate_of_0_stays_as_it_is(folder: Path, tmp_path: Path, encoder: Path) -> None:
    options = from_encoder(encoder, encoder_lr=0, lr=0.05)

    train(folder, tmp_path / "run", options=options, machine=ONE)

    assert torch.equal(
        filters(tmp_path / "run"), torch.load(encoder, weights_only=True)["layer1.0.conv1.weight"]
    )


@pytest.mark.parametrize("size", [(96, 200), (200, 96)])
def test_a_scene_that_a_network_of_one_side_cannot_validate_is_named(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    folder = write_tiles(tmp_path / "d", size=(128, 128), split=SPLIT)
    for part, pixels in {"images": random_pixels(*size), "labels": np.zeros((1, *size), np.uint8)}.items():
        write_raster(folder / part / "c.tif", pixels)
    options = recipe("maskattn-unet-published", window=128, tile=128)

    with pytest.raises(
        RasterError, match=rf"c\.tif: is {size[1]} x {size[0]} px; .* takes squares of 128 px only"
    ):
        train(folder, tmp_path / "run", options=options, machine=ONE)

    assert not (tmp_path / "run").exists()


def test_the_card_has_the_name_of_the_network_however_it_was_spelled(folder: Path, tmp_path: Path) -> None:
    options = recipe("attanet_light", window=32, epochs=1, steps_per_epoch=1)

    summary = train(folder, tmp_path / "run", options=options, machine=ONE)

    assert load_weights(str(summary.best)).card.architecture == "attanet-light"


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A file as torchvision writes it; its tensors are those of seed 7."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        resnet = find_encoder(build_network("maresunet", encoder="resnet18", classes=2))
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    return tmp_path / "resnet.pth"


def from_encoder(source: object, **changes: Any) -> TrainOptions:
    still = {"epochs": 1, "steps_per_epoch": 1, "lr": 1e-9}
    return recipe("maresunet", pretrained=str(source), **{**still, **changes})


def filters(run: Path) -> torch.Tensor:
    return find_encoder(load_weights(str(run / "best.safetensors")).network).layer1[0].conv1.weight


def test_training_can_start_from_a_trained_encoder(
    folder: Path, tmp_path: Path, encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "rsseg"):
        summary = train(folder, tmp_path / "run", options=from_encoder(encoder), machine=ONE)

    expected = torch.load(encoder, weights_only=True)["layer1.0.conv1.weight"]
    assert torch.allclose(filters(tmp_path / "run"), expected, atol=1e-7)
    assert f"encoder resnet18 from {encoder}" in caplog.text
    card = load_weights(str(summary.best)).card
    assert card.scaling == default_scaling(3)
    assert card.description == f"encoder from resnet.pth (sha256 {file_sha256(encoder)})"
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["train"]["pretrained"] == str(
        encoder
    )


def test_going_on_does_not_need_the_encoders_file_any_more(
    folder: Path, tmp_path: Path, encoder: Path
) -> None:
    options = from_encoder(encoder, epochs=2, lr=0.05)
    whole = train(folder, tmp_path / "whole", options=options, machine=ONE)
    train_until(1, folder, tmp_path / "parts", options)
    encoder.unlink()

    assert same_weights(resume(tmp_path / "parts", machine=ONE).best, whole.best)


def test_imagenet_stands_for_a_file_that_is_fetched(
    folder: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "fetch_imagenet", {"resnet18": encoder}.__getitem__)

    train(folder, tmp_path / "run", options=from_encoder("imagenet"), machine=ONE)

    expected = torch.load(encoder, weights_only=True)["layer1.0.conv1.weight"]
    assert torch.allclose(filters(tmp_path / "run"), expected, atol=1e-7)


def test_a_missing_encoder_is_found_out_before_any_data_are_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
        train(tmp_path / "d", tmp_path / "run", options=from_encoder(tmp_path / "none.pth"), machine=ONE)


def test_an_encoder_of_another_depth_is_found_out_before_any_data_are_read(
    tmp_path: Path, encoder: Path
) -> None:
    options = from_encoder(encoder, encoder="resnet34")

    with pytest.raises(WeightsError, match="holds resnet18; the network's encoder is resnet34"):
        train(tmp_path / "nothing", tmp_path / "run", options=options, machine=ONE)


def test_a_damaged_encoder_is_found_out_before_any_data_are_read(tmp_path: Path, encoder: Path) -> None:
    encoder.write_bytes(encoder.read_bytes()[:1000])

    with pytest.raises(WeightsError, match=r"resnet\.pth: "):
        train(tmp_path / "nothing", tmp_path / "run", options=from_encoder(encoder), machine=ONE)


def test_an_encoder_that_cannot_be_fetched_is_found_out_before_any_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_encoder: str) -> Path:
        raise ResourceError("no network")

    monkeypatch.setattr(pretrained, "fetch_imagenet", fail)

    with pytest.raises(ResourceError, match="no network"):
        train(tmp_path / "nothing", tmp_path / "run", options=from_encoder("imagenet"), machine=ONE)


def test_what_the_data_say_of_themselves_stays_beside_the_origin_of_the_encoder(
    folder: Path, tmp_path: Path, encoder: Path
) -> None:
    (tmp_path / "manifest.toml").write_text('tiles = "d"\n[card]\ndescription = "noise"')

    summary = train(tmp_path / "manifest.toml", tmp_path / "run", options=from_encoder(encoder), machine=ONE)

    description = load_weights(str(summary.best)).card.description
    assert description.startswith("noise; encoder from resnet.pth (sha256 ")


def test_frozen_norms_learn_from_single_values(folder: Path, tmp_path: Path) -> None:
    options = recipe("abcnet", norm="frozen", batch_size=1, epochs=1, steps_per_epoch=1)

    assert train(folder, tmp_path / "run", options=options, machine=ONE).epochs == 1


@pytest.mark.parametrize(
    ("model", "why"),
    [("attanet", "has no contexts that could be merged"), ("abcnet", "merged there is one in all")],
)
def test_networks_that_cannot_merge_contexts_are_refused(model: str, why: str) -> None:
    with pytest.raises(OptionError, match=rf"merge contexts is 0\.5; {model} .*{why}"):
        check_recipe(TrainOptions(model=model, merge_contexts=0.5))
    check_recipe(TrainOptions(model="abcnet", norm="frozen", merge_contexts=0.5))
