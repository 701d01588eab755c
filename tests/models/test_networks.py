from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.attention import ChannelAttention, ChannelGate, GlobalMean, MaskAttention, PositionAttention
from rsseg.models.context import AnyContext, BlockContext, Context
from rsseg.models.network import Network, pad_to_multiple, reduce_valid
from rsseg.models.registry import NETWORKS, build_network, network_entry
from tests.making import let_attention_count
from tests.models.making import image, network

RECORDS = Path(__file__).with_name("records.json")

SPECIFIED = {  # architecture, encoder: parameters for 6 classes, GMAC for 512 x 512 pixels
    ("maresunet", "resnet18"): (16_168_350, 19.04),
    ("maresunet", "resnet34"): (26_276_510, 28.70),
    ("maresunet", "resnet50"): (102_722_702, 105.56),
    ("maresunet", "resnet101"): (121_714_830, 124.95),
    ("manet", "resnet18"): (11_986_590, 15.82),
    ("manet", "resnet34"): (22_094_750, 25.48),
    ("manet", "resnet50"): (35_860_622, 54.02),
    ("manet", "resnet101"): (54_852_750, 73.41),
    ("abcnet", "resnet18"): (13_666_563, 15.61),
    ("macunet", ""): (5_151_734, 29.41),
}
RECORDED: dict[str, tuple[str, dict[str, Any]]] = {
    "maresunet": ("maresunet", {}),
    "maresunet, batch norm": ("maresunet", {"attention_norm": "batch"}),
    "maresunet, scaled energy": ("maresunet", {"energy_positions": 256 * 256}),
    "manet": ("manet", {}),
    "abcnet": ("abcnet", {}),
    "attanet": ("attanet", {}),
    "attanet-light": ("attanet-light", {}),
    "macunet": ("macunet", {}),
    "maskattn-unet": ("maskattn-unet", {}),
    "maskattn-unet, attention at the ends": ("maskattn-unet", {"full_attention": True, "max_tokens": 256}),
    "maskattn-unet, mask of the previous": ("maskattn-unet", {"mask_source": "previous"}),
    "linear": ("linear", {}),
}
ATTENTION_UNETS = ("maresunet", "manet")
WITH_CONTEXT = (*ATTENTION_UNETS, "abcnet", "macunet")
# The slow one, maskattn-unet, has tests of its own.
WITH_ATTENTION = (*WITH_CONTEXT, "attanet", "attanet-light")


def add_up(built: Network, x: Tensor, *parts: Tensor) -> list[AnyContext]:
    """The contexts of all passes, added up over parts of an image: masks (N, H, W)."""
    known: list[AnyContext] = []
    assert built.context_passes is not None
    for _ in range(built.context_passes):
        found = [built.summarise(x, part, known) for part in parts]
        known += [reduce(operator.add, contexts) for contexts in zip(*found, strict=True)]
    return known


@pytest.mark.parametrize(("architecture", "encoder"), SPECIFIED)
def test_size_and_cost_in_the_registry_are_those_of_the_specification(
    architecture: str, encoder: str
) -> None:
    size = network_entry(architecture).sizes[encoder]

    # The published attention takes some sums, about 0.01 GMAC, without a matrix product.
    assert (size.parameters, size.gmac) == (
        SPECIFIED[architecture, encoder][0],
        pytest.approx(SPECIFIED[architecture, encoder][1], abs=0.015),
    )


@pytest.mark.parametrize(("architecture", "parameters"), [("maresunet", 26_276_221), ("manet", 35_860_333)])
def test_the_default_encoder_is_the_papers(architecture: str, parameters: int) -> None:
    with torch.device("meta"):
        built = build_network(architecture, classes=5)

    assert sum(p.numel() for p in built.parameters()) == parameters


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (33, 33), (31, 97), (75, 101)])
@pytest.mark.parametrize("architecture", [name for name, entry in NETWORKS.items() if entry.encoders])
def test_an_efficientnet_takes_any_size_and_gives_features_of_the_size_of_a_resnets(
    architecture: str, height: int, width: int
) -> None:
    lite, resnet = (network(architecture, encoder=name) for name in ("efficientnet-lite0", "resnet18"))
    x = image(1, 3, height, width)

    with torch.no_grad():
        assert lite(x).shape == (1, 4, height, width)
        features, others = (built.encode(pad_to_multiple(x, built.padding)) for built in (lite, resnet))

    assert [f.shape[2:] for f in features] == [f.shape[2:] for f in others]


@pytest.mark.parametrize(("bands", "height", "width"), [(1, 1, 1), (4, 33, 33), (8, 31, 97), (3, 100, 160)])
@pytest.mark.parametrize("architecture", [*WITH_ATTENTION, "linear"])
def test_any_size_and_any_bands_give_logits_of_that_size(
    architecture: str, bands: int, height: int, width: int
) -> None:
    built = network(architecture, bands=bands, classes=5)

    with torch.no_grad():
        logits = built(image(2, bands, height, width))

    assert logits.shape == (2, 5, height, width)
    assert logits.isfinite().all()


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_other_sizes_are_padded_with_zeros_on_the_right_and_at_the_bottom(architecture: str) -> None:
    built = network(architecture)
    x = image(1, 3, 33, 50)

    with torch.no_grad():
        found, padded = built(x), built(functional.pad(x, (0, -50 % built.padding, 0, -33 % built.padding)))

    assert torch.equal(found, padded[..., :33, :50])


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_merged_samples_attend_to_one_another_as_parts_of_one_image(architecture: str) -> None:
    built = network(architecture, dtype=torch.float64)
    let_attention_count(built)
    x = image(2, 3, 64, 96, dtype=torch.float64)

    with torch.no_grad():
        known: tuple[AnyContext, ...] = ()
        for _ in range(built.context_passes or 0):
            taken = zip(*(built.summarise(one[None], None, known) for one in x), strict=True)
            known += tuple(one + other for one, other in taken)
        found, alone = built(x, merge=True), built(x)

    assert torch.allclose(found, built(x, known), rtol=0, atol=1e-9)
    assert (found - alone).abs().amax(dim=(1, 2, 3)).min() > 1e-6


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_what_samples_have_merged_has_a_gradient(architecture: str) -> None:
    built = network(architecture).train()
    let_attention_count(built)
    for part in built.modules():
        part.train(not isinstance(part, nn.BatchNorm2d))  # ABC-Net's pooled one would see a single value
    x = image(4, 3, 64, 64).requires_grad_()

    logits = built(x, merge=True).main
    logits[0].square().sum().backward()

    assert x.grad is not None
    assert (x.grad[1:].abs().amax(dim=(1, 2, 3)) > 0).all()
    assert all(p.grad is not None for n, p in built.named_parameters() if not n.startswith("auxiliary_heads"))


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_contexts_of_the_parts_of_an_image_add_up_to_its_own(architecture: str) -> None:
    built = network(architecture, dtype=torch.float64)
    x = image(1, 3, 64, 96, dtype=torch.float64)
    keep = torch.zeros(1, 64, 96, dtype=torch.bool)
    keep[:, :32, :64] = True

    with torch.no_grad():
        found = built(x, add_up(built, x, keep, ~keep))
        expected = built(x)
        alone = built(x, add_up(built, x, keep))

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert (alone - expected).abs().max() > 1e-2


def single(contexts: Iterable[AnyContext]) -> Iterator[Context]:
    """The contexts of single attention modules."""
    for context in contexts:
        yield from (context.position, context.channel) if isinstance(context, BlockContext) else (context,)


def assert_same(found: Iterable[Context], expected: Iterable[Context]) -> None:
    """Compare counts, sums and peaks, not averages."""
    for one, other in zip(found, expected, strict=True):
        for field in fields(other):
            torch.testing.assert_close(
                getattr(one, field.name), getattr(other, field.name), rtol=1e-9, atol=1e-9, msg=field.name
            )


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_counts_sums_and_peaks_of_two_parts_give_those_of_the_whole(architecture: str) -> None:
    built = network(architecture, dtype=torch.float64)
    x = image(1, 3, 64, 96, dtype=torch.float64)
    keep = torch.zeros(1, 64, 96, dtype=torch.bool)
    keep[:, :32, :64] = True

    known: tuple[AnyContext, ...] = ()
    with torch.no_grad():
        for _ in range(built.context_passes or 0):
            whole, part, rest = (built.summarise(x, valid, known) for valid in (None, keep, ~keep))
            merged = [one + other for one, other in zip(single(part), single(rest), strict=True)]

            assert_same(merged, single(whole))
            for one, all_ in zip(single(part), single(whole), strict=True):
                assert int(one.positions) * 3 == int(all_.positions)
            known += whole

    assert known


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_contexts_of_a_part_are_those_of_the_features_under_it(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = network(architecture, dtype=torch.float64)
    x = image(1, 3, 64, 96, dtype=torch.float64)
    keep = torch.zeros(1, 64, 96, dtype=torch.bool)
    keep[:, :32, :64] = True
    taken: list[tuple[Context, Context]] = []

    def spy(summarise: Callable[..., Context]) -> Callable[..., Context]:
        def and_cropped(features: Tensor, valid: Tensor | None = None) -> Context:
            under = features[:, :, : features.shape[2] // 2, : features.shape[3] * 2 // 3]
            taken.append((summarise(features, valid), summarise(under)))
            return taken[-1][0]

        return and_cropped

    whole = add_up(built, x, torch.ones_like(keep))
    for module in built.modules():
        if isinstance(module, (PositionAttention, ChannelAttention, GlobalMean, ChannelGate)):
            monkeypatch.setattr(module, "summarise", spy(module.summarise))
    found: list[AnyContext] = []
    with torch.no_grad():
        while len(found) < len(whole):
            found += built.summarise(x, keep, whole[: len(found)])

    assert {id(context) for context in single(found)} == {id(context) for context, _ in taken}
    assert_same(*zip(*taken, strict=True))


@pytest.mark.parametrize("architecture", ["attanet", "attanet-light", "maskattn-unet", "linear"])
def test_a_network_without_contexts_refuses_them(architecture: str) -> None:
    built = network(architecture)
    foreign = network("abcnet").summarise(image(1, 3, 32, 32))

    with pytest.raises(OptionError, match="takes no contexts, found 3"):
        built(image(1, 3, 32, 32), foreign)


@pytest.mark.parametrize("architecture", ATTENTION_UNETS)
def test_there_is_one_context_for_each_attention_module(architecture: str) -> None:
    built = network(architecture)

    with torch.no_grad():
        contexts = built.summarise(image(2, 3, 64, 96))

    assert len(contexts) == 4
    counts = [context.position.positions.tolist() for context in contexts]
    assert counts == [[2 * 3] * 2, [4 * 6] * 2, [8 * 12] * 2, [16 * 24] * 2]


@pytest.mark.parametrize("architecture", WITH_CONTEXT)
def test_an_image_without_valid_pixels_gives_finite_logits(architecture: str) -> None:
    built = network(architecture)
    x = torch.zeros(1, 3, 40, 40)

    with torch.no_grad():
        logits = built(x, add_up(built, x, torch.zeros(1, 40, 40, dtype=torch.bool)))

    assert logits.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", WITH_ATTENTION)
def test_autocast_stays_near_float32(architecture: str, dtype: torch.dtype) -> None:
    built = network(architecture)
    x = image(1, 3, 64, 64)

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = built(x)

    with torch.no_grad():
        expected = built(x)
    assert found.isfinite().all()
    assert (found.float() - expected).abs().mean() < 0.05 * expected.std()


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", WITH_ATTENTION)
def test_training_reaches_every_parameter(architecture: str, autocast: bool) -> None:
    built = network(architecture).train()
    built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = image(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = built(x)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    found = (logits.main, *logits.auxiliary)
    torch.stack([functional.cross_entropy(each.float(), labels) for each in found]).sum().backward()

    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_each_block_takes_its_share_of_the_energy_positions() -> None:
    built = network("manet", energy_positions=256 * 256)

    shares = [m.energy_positions for m in built.modules() if isinstance(m, ChannelAttention)]

    assert shares == [64, 256, 1024, 4096]


@pytest.mark.parametrize("architecture", ATTENTION_UNETS)
def test_energy_positions_of_the_images_own_size_are_the_published_energy(architecture: str) -> None:
    x = image(1, 3, 64, 96, dtype=torch.float64)

    with torch.no_grad():
        scaled = network(architecture, dtype=torch.float64, energy_positions=64 * 96)(x)
        published = network(architecture, dtype=torch.float64)(x)

    torch.testing.assert_close(scaled, published, rtol=0, atol=1e-10)


def test_a_position_is_valid_where_all_pixels_under_it_are() -> None:
    valid = torch.ones(1, 33, 64, dtype=torch.bool)
    valid[0, 5, 9] = False

    reduced = reduce_valid(valid, stride=4, padding=32)

    assert reduced is not None
    assert reduced.shape == (1, 16, 16)
    expected = torch.ones(1, 16, 16, dtype=torch.bool)
    expected[0, 1, 2] = False
    expected[0, 8:] = False  # row 32 is alone in its position, and the rest is padding
    assert torch.equal(reduced, expected)


def test_padding_leaves_a_multiple_alone() -> None:
    x = image(1, 1, 4, 8)

    assert pad_to_multiple(x, 4) is x
    assert pad_to_multiple(x, 8).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_attention_starts_as_if_it_were_not_there_and_masks_nearly_open(architecture: str) -> None:
    built = build_network(architecture, classes=2)

    for name, parameter in built.named_parameters():
        assert not name.endswith("scale") or not parameter.any(), name
    for module in built.modules():
        if isinstance(module, MaskAttention):
            torch.testing.assert_close(module.mask.bias, torch.tensor([2.0]), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("architecture", "otherwise"),
    [
        ("maresunet", r"encoder\."),
        ("manet", r"encoder\."),
        ("attanet", r"encoder\.|.*classify|gate\.project"),
        ("attanet-light", r".*classify|gate\.project"),
        ("abcnet", r"encoder\.|(?!.*attention)"),
        ("macunet", r"(?!)"),
    ],
)
def test_other_convolutions_keep_the_start_of_torch(architecture: str, otherwise: str) -> None:
    built = build_network(architecture, encoder=next(iter(network_entry(architecture).sizes)), classes=9)

    tried = 0
    for name, module in built.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and not re.match(otherwise, name):
            bound = module.weight[0].numel() ** -0.5  # uniform numbers up to it
            assert module.weight.abs().max() <= bound * (1 + 1e-6), name
            assert module.weight.numel() < 1000 or module.weight.abs().max() > 0.95 * bound, name
            tried += module.weight.numel() >= 1000
    assert tried >= 3


@pytest.mark.parametrize("name", RECORDED)
def test_a_network_gives_its_recorded_numbers(name: str, record: bool) -> None:
    architecture, options = RECORDED[name]
    built = network(architecture, bands=4, classes=3, dtype=torch.float64, **options)
    with torch.no_grad():
        logits = built(image(2, 4, 40, 56, dtype=torch.float64)).flatten()
    found = {"std": float(logits.std()), "values": logits[:: logits.numel() // 6].tolist()}

    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    if record:
        records[name] = found
        RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")

    assert found["std"] == pytest.approx(records[name]["std"], rel=1e-6)
    assert found["values"] == pytest.approx(records[name]["values"], rel=1e-6, abs=1e-8)
