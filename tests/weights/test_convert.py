from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rsseg.classes import ClassInfo, ClassTable
from rsseg.errors import OptionError, WeightsError
from rsseg.models.registry import NETWORKS, build_network
from rsseg.preprocess import IMAGENET_MEAN, IMAGENET_STD
from rsseg.weights import save_weights
from rsseg.weights.convert import Conversion, ConvertOptions, plan_conversion
from rsseg.weights.files import file_sha256, load_file
from rsseg.weights.pretrained import find_encoder
from rsseg.weights.published import PUBLISHED
from tests.models.making import filled
from tests.weights.making import torchvision_state, write_lite, write_torchvision

NAMES = ClassTable((ClassInfo(0, "water", "#0000FF"), ClassInfo(1, "land", "#00FF00")))


def our_state(architecture: str = "macunet", **options: Any) -> dict[str, Tensor]:
    """A state dict in our own names, which no rule of a published network changes in the networks used here."""
    return filled(build_network(architecture, **options), dtype=torch.float32).state_dict()


def write(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def convert(path: Path, model: str = "macunet", **options: Any) -> Conversion:
    return plan_conversion(path, ConvertOptions(model=model, **options))


def test_bands_and_classes_are_read_off_the_shapes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", our_state(bands=5, classes=7))

    conversion = convert(path)

    assert conversion.match.fits
    assert (len(conversion.card.bands), len(conversion.card.classes)) == (5, 7)
    assert conversion.card.classes == ClassTable.unnamed(7)
    assert not conversion.encoder_only


@pytest.mark.parametrize("encoder", ["resnet18", "resnet34"])
def test_the_encoder_is_read_off_the_names(tmp_path: Path, encoder: str) -> None:
    path = write(tmp_path / "a.pth", our_state("manet", encoder=encoder, classes=2))

    assert convert(path, "manet").card.encoder == encoder


def test_several_logits_per_class_and_several_heads_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", our_state("abcnet", bands=2, classes=3))

    conversion = convert(path, "abcnet")

    assert (len(conversion.card.bands), len(conversion.card.classes)) == (2, 3)


def test_the_network_has_the_values_of_the_file(tmp_path: Path) -> None:
    state = our_state(classes=2)
    conversion = convert(write(tmp_path / "a.pth", state))

    network = conversion.build()

    assert not network.training
    assert all(torch.equal(t, state[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in our_state(classes=2).items()}

    network = convert(write(tmp_path / "a.pth", state)).build()

    assert {t.dtype for t in network.parameters()} == {torch.float32}
    assert torch.equal(network.get_parameter("head.weight"), state["head.weight"].float())


def test_counters_that_a_file_lacks_become_zero(tmp_path: Path) -> None:
    state = {n: t for n, t in our_state(classes=2).items() if not n.endswith("num_batches_tracked")}

    network = convert(write(tmp_path / "a.pth", state)).build()

    counters = [t for n, t in network.state_dict().items() if n.endswith("num_batches_tracked")]
    assert counters
    assert not any(counters)


def test_missing_unknown_and_misshapen_tensors_are_told_apart(tmp_path: Path) -> None:
    state = our_state(classes=2)
    del state["head.bias"]
    state["tail.bias"] = torch.zeros(2)
    state["head.weight"] = torch.zeros(2, 16, 3, 3)
    state["encoder.1.0.norm.bias"] = torch.zeros(16, dtype=torch.int64)

    conversion = convert(write(tmp_path / "a.pth", state))

    assert conversion.match.missing == ("head.bias",)
    assert conversion.match.unknown == ("tail.bias",)
    assert sorted(conversion.match.misshapen) == [
        "encoder.1.0.norm.bias is int64 (16,), expected float32 (16,)",
        "head.weight is float32 (2, 16, 3, 3), expected float32 (2, 16, 1, 1)",
    ]
    with pytest.raises(
        WeightsError, match=r"a\.pth: does not fit macunet: 1 missing \(head\.bias\), 1 unknown"
    ):
        conversion.build()


def test_a_network_with_an_encoder_does_not_fit_one_without(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", our_state("manet", encoder="resnet18", classes=2))

    conversion = convert(path, "attanet-light")

    assert not conversion.match.fits
    assert "encoder.layer1.0.conv1.weight" in conversion.match.unknown


def test_two_tensors_for_one_place_are_refused(tmp_path: Path) -> None:
    state = our_state(classes=2)
    conversion = convert(write(tmp_path / "a.pth", {**state, "conv10.bias": state["head.bias"]}))

    assert conversion.match.unknown == ("conv10.bias",)


def test_tensors_known_as_unused_are_left_out(tmp_path: Path) -> None:
    state = {"final_layer.0.bias": torch.zeros(2), "upsample1.emb_layer.1.bias": torch.zeros(1)}

    match = convert(write(tmp_path / "a.pth", state), "maskattn-unet-published").match

    assert match.used == {"head.0.bias": "final_layer.0.bias"}
    assert match.unused == ("upsample1.emb_layer.1.bias",)
    assert match.unknown == ()


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = our_state(classes=2)
    state["head.bias"][0] = torch.nan

    with pytest.raises(WeightsError, match=r"tensor head\.bias holds values that are not finite"):
        convert(write(tmp_path / "a.pth", state)).build()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": 4}, "--bands is 4; the file says 3"),
        ({"classes": NAMES}, "--classes is 2; the file says 6"),
        ({"encoder": "resnet18"}, "--encoder is resnet18; the file says resnet34"),
    ],
)
def test_options_that_contradict_the_file_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.pth", our_state("manet", encoder="resnet34", classes=6))

    with pytest.raises(OptionError, match=message) as caught:
        convert(path, "manet", **options)

    assert caught.value.hint == f"leave {message.partition(' ')[0]} out"


def test_options_that_agree_with_the_file_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", our_state("manet", encoder="resnet18", classes=2))

    card = convert(path, "manet", encoder="resnet18", bands=3, classes=NAMES).card

    assert card.classes == NAMES


@pytest.mark.parametrize("scaling", ["", "unit", "imagenet"])
def test_the_scaling_is_the_published_one_unless_said(tmp_path: Path, scaling: str) -> None:
    path = write(tmp_path / "a.pth", our_state(bands=4, classes=2))

    found = convert(path, scaling=scaling).card.scaling

    if scaling == "imagenet":
        assert (found.mean, found.std) == (
            (*IMAGENET_MEAN, IMAGENET_MEAN[0]),
            (*IMAGENET_STD, IMAGENET_STD[0]),
        )
    else:
        assert (found.mean, found.std) == ((0.0,) * 4, (255.0,) * 4)
    assert found.dtype == "uint8"


def test_the_recipes_have_the_scalings_of_the_specifications() -> None:
    assert {name for name, names in PUBLISHED.items() if names.scaling == "unit"} == {
        "maresunet",
        "macunet",
        "maskattn-unet-published",
    }
    assert set(PUBLISHED) == set(NETWORKS) - {"linear", "maskattn-unet"}


def test_the_card_says_where_the_weights_come_from(tmp_path: Path) -> None:
    path = write(tmp_path / "macu.pth", our_state(classes=2))

    card = convert(path).card

    assert card.description == f"converted from macu.pth (sha256 {file_sha256(path)})"
    assert (card.tile, card.halo, card.energy_positions) == (512, 64, None)
    assert card.bands == ("band 1", "band 2", "band 3")


def test_a_network_of_one_size_gets_tiles_of_that_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", {"final_layer.0.bias": torch.zeros(2)})

    card = convert(path, "maskattn-unet-published").card

    assert (card.tile, card.halo) == (128, 16)


def test_too_many_classes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", {"conv10.bias": torch.zeros(300)})

    with pytest.raises(WeightsError, match="has 300 classes; a class map takes 255"):
        convert(path)


def test_a_torchvision_resnet_becomes_the_encoder(tmp_path: Path) -> None:
    state = write_torchvision(tmp_path / "r18.pth")

    conversion = convert(tmp_path / "r18.pth", "abcnet", classes=NAMES, seed=3)
    network = conversion.build()

    assert conversion.encoder_only
    assert conversion.match.unused == ("fc.weight", "fc.bias")
    sha256 = file_sha256(tmp_path / "r18.pth")
    assert conversion.card.description == f"encoder from r18.pth (sha256 {sha256}), decoder untrained"
    assert conversion.card.scaling.mean == IMAGENET_MEAN
    assert conversion.card.bands == ("red", "green", "blue")
    encoder = find_encoder(network).state_dict()
    assert torch.equal(encoder["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_what_is_untrained_depends_on_the_seed_alone(tmp_path: Path) -> None:
    write_torchvision(tmp_path / "r18.pth")

    first, again, other = (
        convert(tmp_path / "r18.pth", "manet", classes=NAMES, seed=seed)
        .build()
        .get_parameter("head.classify.weight")
        for seed in (3, 3, 4)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_torchvision_resnet_takes_other_bands(tmp_path: Path) -> None:
    state = write_torchvision(tmp_path / "r18.pth")

    conversion = convert(tmp_path / "r18.pth", "maresunet", classes=NAMES, bands=5)

    stem = find_encoder(conversion.build()).conv1.weight
    torch.testing.assert_close(stem, state["conv1.weight"][:, [0, 1, 2, 0, 1]] * (3 / 5))
    assert conversion.card.scaling.mean == (*IMAGENET_MEAN, *IMAGENET_MEAN[:2])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("manet", {}, "is a resnet18, which does not say the classes of a manet"),
        ("macunet", {"classes": NAMES}, "is a resnet18, which is no encoder of macunet"),
        ("manet", {"classes": NAMES, "encoder": "resnet50"}, "--encoder is resnet50; the file says resnet18"),
    ],
)
def test_a_torchvision_resnet_that_cannot_be_used_is_refused(
    tmp_path: Path, model: str, options: dict[str, Any], message: str
) -> None:
    write_torchvision(tmp_path / "r18.pth")

    with pytest.raises(OptionError, match=message):
        convert(tmp_path / "r18.pth", model, **options)


def test_an_efficientnet_becomes_the_encoder(tmp_path: Path) -> None:
    theirs = write_lite(tmp_path / "lite.pth", "efficientnet-lite1")

    found = convert(tmp_path / "lite.pth", "attanet", classes=NAMES, bands=4)

    assert (found.card.encoder, found.card.scaling.channels) == ("efficientnet-lite1", 4)
    encoder = found.build().encoder
    assert torch.equal(encoder.blocks[5].bn2.running_var, theirs.blocks[5].bn2.running_var)
    assert encoder.conv_stem.weight.shape[1] == 4


def test_an_efficientnet_takes_its_own_scaling_only(tmp_path: Path) -> None:
    write_lite(tmp_path / "lite.pth", "efficientnet-lite0")

    with pytest.raises(OptionError, match="first convolution is made to take ImageNet's scaling") as caught:
        convert(tmp_path / "lite.pth", "manet", classes=NAMES, scaling="unit")

    assert caught.value.hint == "leave --scaling unit out"


def test_a_torchvision_resnet_of_a_wider_kind_is_refused(tmp_path: Path) -> None:
    state = torchvision_state()
    state["layer1.0.conv1.weight"] = torch.zeros(128, 64, 3, 3)
    conversion = convert(write(tmp_path / "wide.pth", state), "manet", classes=NAMES)

    assert not conversion.match.fits
    with pytest.raises(
        WeightsError, match=r"does not fit the encoder: 1 misshapen \(layer1\.0\.conv1\.weight"
    ):
        conversion.build()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "segnet"}, "segnet: unknown network"),
        ({"model": "macunet", "encoder": "resnet18"}, "macunet: has no encoder, found resnet18"),
        ({"model": "manet", "encoder": "vgg16"}, "manet: unknown encoder vgg16"),
        ({"model": "linear"}, "linear: there is no published state dict of it"),
        ({"model": "manet", "bands": 1025}, "bands is 1025; expected 1 to 1024"),
        ({"model": "manet", "bands": 10**12}, "bands is 1000000000000; expected 1 to 1024"),
        ({"model": "manet", "scaling": "none"}, "scaling is 'none'; expected one of imagenet, unit"),
    ],
)
def test_options_check_themselves(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ConvertOptions(**options)


def test_what_was_converted_loads_as_weights(tmp_path: Path) -> None:
    conversion = convert(write(tmp_path / "a.pth", our_state(bands=2, classes=3)))
    network = conversion.build()
    save_weights(tmp_path / "a.safetensors", network, conversion.card)

    loaded = load_file(tmp_path / "a.safetensors", name="a")

    expected = network.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in loaded.network.state_dict().items())
    assert loaded.card == conversion.card


@pytest.mark.parametrize("bands", [1, 4])
def test_a_torchvision_resnet_keeps_its_own_bands(tmp_path: Path, bands: int) -> None:
    state = write_torchvision(tmp_path / "r18.pth", bands=bands)

    conversion = convert(tmp_path / "r18.pth", "manet", classes=NAMES)

    assert conversion.card.bands == tuple(f"band {n + 1}" for n in range(bands))
    assert torch.equal(find_encoder(conversion.build()).conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("prefix", ["encoder.", "backbone.", "_orig_mod.", "module._orig_mod.backbone."])
def test_a_resnet_that_was_cut_out_of_a_network_is_known(tmp_path: Path, prefix: str) -> None:
    state = {f"{prefix}{name}": t for name, t in torchvision_state().items()}

    conversion = convert(write(tmp_path / "r18.pth", state), "manet", classes=NAMES)

    assert conversion.encoder_only
    assert conversion.match.fits


def test_a_resnet_of_another_depth_is_named(tmp_path: Path) -> None:
    depths = zip("1234", (3, 8, 36, 3), strict=True)
    names = [f"layer{stage}.{n}.conv{c}.weight" for stage, d in depths for n in range(d) for c in "123"]
    state = {name: torch.zeros(1) for name in ("conv1.weight", *names)}

    with pytest.raises(WeightsError, match=r"is a resnet152 with 3, 8, 36, 3 blocks in its stages") as caught:
        convert(write(tmp_path / "r152.pth", state), "manet", classes=NAMES)

    assert str(caught.value.hint).startswith("encoders are resnet18, resnet34, resnet50, resnet101, ")


def test_a_file_of_too_many_bands_is_refused(tmp_path: Path) -> None:
    state = torchvision_state()
    state["conv1.weight"] = torch.zeros(64, 1025, 7, 7)

    with pytest.raises(WeightsError, match="takes 1025 bands; expected up to 1024"):
        convert(write(tmp_path / "r18.pth", state), "manet", classes=NAMES)


def test_misshapen_tensors_are_not_used(tmp_path: Path) -> None:
    state = our_state(classes=2)
    count = len(state)
    state["head.weight"] = torch.zeros(2, 16, 3, 3)

    match = convert(write(tmp_path / "a.pth", state)).match

    assert "head.weight" not in match.used
    assert len(match.used) == count - 1
    assert match.missing == ()


def test_a_name_that_commands_a_terminal_is_spelt_out_and_cut(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.pth", {**our_state(classes=2), "\x1b[2J\n\x9b" + "x" * 100_000: torch.zeros(1)}
    )

    with pytest.raises(WeightsError, match=r"1 unknown \(\\x1b\[2J\\n\\x9bx+\.\.\.\)") as caught:
        convert(path).build()

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 150
