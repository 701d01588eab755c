from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models.macunet import AsymmetricUnit, MACUNet
from rsseg.models.network import Network
from tests.models.making import filled, image, network


def test_four_bands_take_the_parameters_of_the_specification() -> None:
    with torch.device("meta"):
        built = MACUNet(bands=4, classes=6)

    assert sum(p.numel() for p in built.parameters()) == 5_151_974


def test_an_asymmetric_unit_is_a_convolution_with_a_strengthened_cross() -> None:
    unit = filled(AsymmetricUnit(5, 6))
    x = image(2, 5, 7, 4, dtype=torch.float64)

    found = unit(x)

    kernel = unit.square.weight.clone()
    kernel[:, :, 1:2, :] += unit.horizontal.weight
    kernel[:, :, :, 1:2] += unit.vertical.weight
    biases = [conv.bias for conv in (unit.square, unit.horizontal, unit.vertical) if conv.bias is not None]
    total = functional.conv2d(x, kernel, torch.stack(biases).sum(dim=0), padding=1)
    torch.testing.assert_close(found, functional.relu(unit.norm(total)), rtol=0, atol=1e-12)


def test_each_pass_takes_the_context_of_one_gate_the_coarsest_first() -> None:
    built = network("macunet")
    x = image(2, 3, 64, 96)

    contexts = all_contexts(built, x)

    shapes = [(c.positions.tolist(), tuple(c.total.shape)) for c in contexts]
    assert shapes == [
        ([8 * 12] * 2, (2, 256)),
        ([16 * 24] * 2, (2, 128)),
        ([32 * 48] * 2, (2, 64)),
        ([64 * 96] * 2, (2, 32)),
    ]


def test_positions_count_where_all_pixels_under_them_are_valid_and_padding_never_is() -> None:
    built = network("macunet")
    valid = torch.ones(1, 33, 50, dtype=torch.bool)
    valid[0, 0, 0] = False

    contexts = all_contexts(built, image(1, 3, 33, 50), valid)

    assert [int(c.positions) for c in contexts] == [4 * 6 - 1, 8 * 12 - 1, 16 * 25 - 1, 33 * 50 - 1]


def test_the_contexts_of_an_image_give_its_own_logits() -> None:
    built = network("macunet", dtype=torch.float64)
    x = image(2, 3, 33, 50, dtype=torch.float64)

    with torch.no_grad():
        found = built(x, all_contexts(built, x))

        torch.testing.assert_close(found, built(x), rtol=0, atol=1e-9)


def test_a_gate_attends_to_what_earlier_contexts_made_of_its_input() -> None:
    built = network("macunet", dtype=torch.float64)
    x, other = (image(1, 3, 32, 48, seed=seed, dtype=torch.float64) for seed in (1, 2))

    with torch.no_grad():
        own, foreign = built.summarise(x)[0], built.summarise(other)[0]
        (after_own,), (after_foreign,) = (
            built.summarise(x, None, (own,)),
            built.summarise(x, None, (foreign,)),
        )

    assert (after_own.total - after_foreign.total).abs().max() > 1e-2


def test_too_few_contexts_do_not_end_the_decoder_early() -> None:
    built = network("macunet")
    x = image(1, 3, 32, 32)

    with pytest.raises(ValueError, match="shorter"):
        built(x, all_contexts(built, x)[:3])


def test_training_on_a_single_position_is_refused() -> None:
    built = network("macunet").train()

    with pytest.raises(OptionError, match="MACUNet: batch size 1 at 16 x 16 px"):
        built(image(1, 3, 16, 16))

    assert built(image(2, 3, 16, 16)).main.isfinite().all()


def all_contexts(built: Network, x: torch.Tensor, valid: torch.Tensor | None = None) -> tuple:
    """The contexts of all passes over one image."""
    known: tuple = ()
    with torch.no_grad():
        for _ in range(4):
            known += built.summarise(x, valid, known)
    return known
