from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.attention import MaskAttention, PublishedMaskAttention
from rsseg.models.maskattn_unet import MaskAttnUNet, PixelNorm, PublishedMaskAttnUNet, Up
from rsseg.models.network import Network
from rsseg.models.registry import build_network
from rsseg.training.contrastive import instance_contrastive_loss
from tests.models.making import filled, image, network

UNUSED_WHEN_PUBLISHED = 230_272
"""Parameters of layers for time embeddings, which the published code holds but never uses."""

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "windows": {"max_tokens": 64},
    "attention at the ends": {"full_attention": True},
    "mask of the previous": {"mask_source": "previous", "full_attention": True},
}
ZERO_GRADIENTS = (
    r".*_attention.*\.key\.bias"  # softmax takes no notice of what is added to the scores of all keys
    r"|down\.\d\.2\.4\.bias|up\.\d\.mix\.1\.4\.bias"  # nor does batch norm of what the one before it adds
)


@pytest.mark.parametrize(
    ("classes", "parameters"), [(20, 24_912_252), (19, 24_912_185), (133, 24_919_823), (150, 24_920_962)]
)
def test_the_published_network_has_the_parameters_of_the_specification_but_the_unused(
    classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        built = PublishedMaskAttnUNet(classes=classes)

    assert sum(p.numel() for p in built.parameters()) == parameters - UNUSED_WHEN_PUBLISHED


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("bands", "height", "width"), [(1, 1, 1), (4, 33, 17), (8, 11, 46)])
def test_any_size_and_any_bands_give_logits_of_that_size(
    bands: int, height: int, width: int, variant: str
) -> None:
    built = network("maskattn-unet", bands=bands, classes=5, **VARIANTS[variant])

    with torch.no_grad():
        logits = built(image(2, bands, height, width))

    assert logits.shape == (2, 5, height, width)
    assert logits.isfinite().all()


def test_other_sizes_are_padded_with_zeros_on_the_right_and_at_the_bottom() -> None:
    built = network("maskattn-unet")
    x = image(1, 3, 13, 18)

    with torch.no_grad():
        found, padded = built(x), built(functional.pad(x, (0, 6, 0, 3)))

    assert torch.equal(found, padded[..., :13, :18])


def test_maps_beyond_the_largest_number_of_tokens_are_cut_and_others_are_not() -> None:
    x = image(1, 3, 16, 24)

    with torch.no_grad():
        whole, cut, fits = (network("maskattn-unet", max_tokens=n)(x) for n in (16384, 64, 16 * 24))

    assert torch.equal(whole, fits)
    assert (whole - cut).abs().max() > 1e-2


def test_attention_is_where_the_published_code_has_it_and_at_the_ends_on_demand() -> None:
    with torch.device("meta"):
        usual, full = MaskAttnUNet(classes=2), MaskAttnUNet(classes=2, full_attention=True)

    assert attended_channels(usual) == [128, 256, 256, 128, 64, 64]
    assert attended_channels(full) == [64, 128, 256, 256, 256, 128, 64, 64]


def attended_channels(built: Network) -> list[int]:
    return [module.query.in_features for module in mask_attention(built)]


def mask_attention(built: Network) -> list[MaskAttention]:
    """The modules in the order of the data."""
    places = ("down_attention", "bottom_attention", "up_attention")
    found = [module for place in places for module in built.get_submodule(place).modules()]
    return [module for module in found if isinstance(module, MaskAttention)]


def test_every_mask_is_learned_straight_through_its_threshold() -> None:
    built = network("maskattn-unet").train()
    for module in mask_attention(built):
        nn.init.constant_(module.mask.weight, 0.0)  # all probabilities alike, so the threshold itself is flat
        nn.init.constant_(module.get_parameter("mask.bias"), 2.0)

    built(image(2, 3, 16, 24)).main.square().mean().backward()

    grads = [module.mask.weight.grad for module in mask_attention(built)]
    assert len(grads) == 6
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_gradients_that_are_zero_by_mathematics_are_zero(variant: str) -> None:
    built = network("maskattn-unet", dtype=torch.float64, **VARIANTS[variant]).train()
    for module in built.modules():
        if isinstance(module, nn.Dropout):
            module.eval()

    logits = built(image(3, 3, 16, 24, dtype=torch.float64)).main
    (logits * image(*logits.shape, seed=8, dtype=torch.float64)).mean().backward()

    zero = set()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Batch norm's epsilon leaves a little, 1e-8, of the gradient of weights that batch norm follows.
        if parameter.grad.norm() < 1e-10 * parameter.norm():
            zero.add(name)
    assert zero == {name for name, _ in built.named_parameters() if re.fullmatch(ZERO_GRADIENTS, name)}


@pytest.mark.parametrize("full_attention", [False, True])
def test_a_mask_of_the_previous_module_is_its_probabilities_resized(full_attention: bool) -> None:
    built = network("maskattn-unet", mask_source="previous", full_attention=full_attention)
    modules = mask_attention(built)
    seen: list[tuple[Tensor, Tensor]] = []
    for module in modules:
        module.register_forward_pre_hook(lambda _, args: seen.append(args))

    with torch.no_grad():
        built(image(1, 3, 16, 24))

        own = [module.mask_probs(x) for module, (x, _) in zip(modules[:-1], seen, strict=False)]
    assert len(seen) == len(modules)
    torch.testing.assert_close(seen[0][1], own[0])
    for before, (x, probs) in zip(own, seen[1:], strict=True):
        expected = functional.interpolate(before, size=x.shape[2:], mode="bilinear")
        torch.testing.assert_close(probs, expected)


def test_the_mask_of_the_last_module_is_left_out_where_none_follows_to_use_it() -> None:
    with torch.device("meta"):
        own = MaskAttnUNet(classes=2).state_dict().keys()
        previous = MaskAttnUNet(classes=2, mask_source="previous").state_dict().keys()

    assert own - previous == {"up_attention.2.mask.weight", "up_attention.2.mask.bias"}
    assert previous <= own


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_near_float32(dtype: torch.dtype) -> None:
    built = network("maskattn-unet")
    x = image(1, 3, 16, 24)

    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        found = built(x)

    with torch.no_grad():
        expected = built(x)
    assert found.isfinite().all()
    assert (found.float() - expected).abs().mean() < 0.05 * expected.std()


def test_dropout_takes_single_numbers_and_not_whole_channels() -> None:
    up = filled(Up(32, 16, dropout=0.3), dtype=torch.float32).train()

    zero = up(image(2, 16, 8, 8), image(2, 16, 16, 16)) == 0

    assert 0.27 < zero.float().mean() < 0.33
    assert zero.flatten(2).float().mean(dim=2).max() < 0.5


@pytest.mark.parametrize("network_class", [MaskAttnUNet, PublishedMaskAttnUNet])
def test_dropout_follows_the_two_coarser_blocks_of_the_decoder(
    network_class: type[MaskAttnUNet | PublishedMaskAttnUNet],
) -> None:
    with torch.device("meta"):
        built = network_class(classes=2)

    assert [module.p for module in built.modules() if isinstance(module, nn.Dropout)] == [0.3, 0.3, 0.0]


def test_the_last_norm_takes_each_pixel_by_itself() -> None:
    norm = filled(PixelNorm(6))
    x = image(2, 6, 3, 4, dtype=torch.float64)

    found = norm(x)

    deviation = x - x.mean(dim=1, keepdim=True)
    unit = deviation / (deviation.square().mean(dim=1, keepdim=True) + norm.eps).sqrt()
    expected = unit * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_embeddings_have_the_images_size_and_their_head_adds_nothing_to_the_logits() -> None:
    built = network("maskattn-unet", embeddings=16)
    x = image(2, 3, 13, 18)

    with torch.no_grad():
        embeddings, logits = built.embed(x), built(x)

    assert embeddings.shape == (2, 16, 13, 18)
    assert embeddings.min() < 0  # no ReLU
    plain = MaskAttnUNet(classes=4).eval()
    weights = built.state_dict()
    plain.load_state_dict({name: value for name, value in weights.items() if "embedding" not in name})
    with torch.no_grad():
        assert torch.equal(plain(x), logits)


def test_the_contrastive_loss_trains_the_embeddings_down_to_the_encoder() -> None:
    built = network("maskattn-unet", embeddings=4).train()
    instances = torch.ones(2, 16, 24, dtype=torch.int64)
    instances[:, :, 12:] = 2

    embedding = built.embed(image(2, 3, 16, 24))
    instance_contrastive_loss(embedding, instances, generator=torch.Generator().manual_seed(0)).backward()

    for name in ("embedding.weight", "down.0.0.weight"):
        grad = built.get_parameter(name).grad
        assert grad is not None
        assert grad.isfinite().all()
        assert grad.any()


def test_a_network_without_embeddings_says_so() -> None:
    built = network("maskattn-unet")

    with pytest.raises(OptionError, match="MaskAttnUNet: has no embeddings") as caught:
        built.embed(image(1, 3, 8, 8))

    assert caught.value.hint == "build it with embeddings=16, for instance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_source": "next"}, "mask_source is 'next'; it must be 'own' or 'previous'"),
        ({"embeddings": -1}, "embeddings is -1; it must be at least 0"),
        ({"max_tokens": 0}, "max_tokens is 0; it must be 1 or more"),
        ({"variant": "published"}, "maskattn-unet: has no option variant"),
        ({"permute": True}, "maskattn-unet: has no option permute"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        build_network("maskattn-unet", classes=2, **options)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 121), (256, 128)])
def test_the_published_network_refuses_all_sizes_but_its_own(height: int, width: int) -> None:
    built = network("maskattn-unet-published")

    with pytest.raises(OptionError, match=f"takes 128 x 128 px only, found {width} x {height}") as caught:
        built(image(1, 3, height, width))

    assert caught.value.hint == "use maskattn-unet, which takes any size"


@pytest.mark.parametrize("permute", [False, True])
def test_the_published_scrambling_is_mended_on_demand(permute: bool) -> None:
    with torch.device("meta"):
        built = build_network("maskattn-unet-published", classes=2, permute=permute)

    modules = [module for module in built.modules() if isinstance(module, PublishedMaskAttention)]
    assert [module.permute for module in modules] == [permute] * 6
