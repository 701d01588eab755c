"""The registry's table of costs and reaches, measured again."""

from __future__ import annotations

import pytest
import torch

from rsseg.models.registry import NETWORKS, NetworkEntry
from tests.models.making import image, network
from tests.models.measuring import measure_cost, measure_reach, take_contexts

SIZES = [(entry, encoder) for entry in NETWORKS.values() for encoder in entry.sizes]
WITH_REACH = [(entry, encoder) for entry, encoder in SIZES if entry.sizes[encoder].reach is not None]
SMALLEST = [(entry, next(iter(entry.sizes))) for entry in NETWORKS.values()]


def label(value: NetworkEntry | str) -> str:
    return value if isinstance(value, str) else value.name


@pytest.mark.parametrize(("entry", "encoder"), SIZES, ids=label)
def test_parameters_and_cost_are_those_of_the_table(entry: NetworkEntry, encoder: str) -> None:
    size = entry.sizes[encoder]

    parameters, gmac = measure_cost(entry, encoder)

    assert parameters == size.parameters
    # The specified figures of MAResU-Net and MANet count sums, about 0.01 GMAC, that take no matrix product here.
    assert gmac == pytest.approx(size.gmac, abs=0.015)


@pytest.mark.parametrize(("entry", "encoder"), SIZES, ids=label)
def test_a_network_has_a_reach_where_its_attention_has_a_context(entry: NetworkEntry, encoder: str) -> None:
    assert (entry.sizes[encoder].reach is None) == (entry.context_passes is None)


@pytest.mark.parametrize(("entry", "encoder"), WITH_REACH, ids=label)
def test_the_reach_is_that_of_the_table(entry: NetworkEntry, encoder: str) -> None:
    reach = entry.sizes[encoder].reach
    assert reach is not None

    assert measure_reach(entry, encoder, axis=3, expected=reach) == reach


@pytest.mark.parametrize(("entry", "encoder"), [case for case in SMALLEST if case in WITH_REACH], ids=label)
def test_the_reach_is_the_same_along_rows(entry: NetworkEntry, encoder: str) -> None:
    reach = entry.sizes[encoder].reach
    assert reach is not None

    assert measure_reach(entry, encoder, axis=2, expected=reach) == reach


@pytest.mark.parametrize(
    ("entry", "encoder"),
    [(entry, encoder) for entry, encoder in SMALLEST if entry.sizes[encoder].reach],
    ids=label,
)
def test_with_a_halo_of_the_reach_a_tile_has_the_logits_of_the_whole(
    entry: NetworkEntry, encoder: str
) -> None:
    reach, stride = entry.sizes[encoder].reach, entry.stride
    assert reach is not None
    halo = -(-reach // stride) * stride
    built = network(entry.name, bands=1, classes=2, dtype=torch.float64)
    x = image(1, 1, stride, 4 * stride + 2 * halo, dtype=torch.float64)
    keep = slice(2 * stride + halo, 3 * stride + halo)
    read = slice(keep.start - halo, keep.stop + halo)

    contexts = take_contexts(built, x)
    with torch.no_grad():
        whole = built(x, contexts)[..., keep]
        tile = built(x[..., read], contexts)[..., halo:-halo]
        narrow = built(x[..., keep], contexts)

    torch.testing.assert_close(tile, whole, rtol=0, atol=1e-9)
    assert (narrow - whole).abs().max() > 1e-2
