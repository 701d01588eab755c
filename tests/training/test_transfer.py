"""Weights for other classes keep what they know: of the same classes, the same logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rsseg.classes import ClassInfo, ClassTable
from rsseg.models.network import Network
from rsseg.models.registry import NETWORKS, NetworkEntry, build_network
from rsseg.preprocess import default_scaling
from rsseg.training.transfer import fill_from_other_classes
from rsseg.weights import Weights, init_weights
from rsseg.weights.card import new_card


def classes(*names: str) -> ClassTable:
    return ClassTable(tuple(ClassInfo(number, name, "#102030") for number, name in enumerate(names)))


def weights_for(model: str, *names: str) -> Weights:
    encoder = "resnet18" if NETWORKS[model].encoders else ""
    card = new_card(
        model, encoder=encoder, classes=classes(*names), scaling=default_scaling(3), description=""
    )
    return Weights(network=init_weights(card, seed=1), card=card, name="old", sha256="0" * 64)


def transferred(old: Weights, *names: str) -> tuple[Network, Network, tuple[str, ...]]:
    """A network for other classes as it was made, and filled, with what was shared."""
    card = replace(old.card, classes=classes(*names))
    network = init_weights(card, seed=2)
    return init_weights(card, seed=2), network, fill_from_other_classes(network, card, old)


def all_logits(network: Network, x: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        main, auxiliary = network.classify(network.decode(network.encode(x)), height=64, width=64)
    return main, *auxiliary


@pytest.mark.parametrize("model", ["linear", "attanet-light", "macunet", "abcnet"])
def test_classes_of_the_same_name_keep_their_logits_in_every_head(model: str) -> None:
    old = weights_for(model, "road", "roof", "tree")
    before, network, shared = transferred(old, "water", "tree", "road", "sand")
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    assert shared == ("tree", "road")
    for found, expected in zip(all_logits(network, x), all_logits(old.network, x), strict=True):
        difference = found[:, [1, 2]] - expected[:, [2, 0]]
        assert difference.abs().max() < 1e-5 * expected.abs().max()  # a convolution rounds as it is wide
    for name, tensor in network.state_dict().items():
        kept, fresh = old.network.state_dict()[name], before.state_dict()[name]
        if tensor.shape == kept.shape:
            assert torch.equal(tensor, kept)
        else:
            rows = tensor.unflatten(0, (4, -1))[[0, 3]]
            assert torch.equal(rows, fresh.unflatten(0, (4, -1))[[0, 3]])


def test_as_many_classes_of_other_names_begin_anew_all_the_same() -> None:
    old = weights_for("linear", "road", "roof", "tree")

    before, network, shared = transferred(old, "a", "b", "c")

    assert shared == ()
    assert torch.equal(network.head.weight, before.head.weight)
    assert not torch.equal(network.head.weight, old.network.head.weight)


def test_the_same_classes_in_another_order_change_places() -> None:
    old = weights_for("linear", "road", "roof")

    _, network, shared = transferred(old, "roof", "road")

    assert shared == ("roof", "road")
    assert torch.equal(network.head.weight, old.network.head.weight.flip(0))
    assert torch.equal(network.head.bias, old.network.head.bias.flip(0))


@pytest.mark.parametrize("names", [("roof",), tuple(map(str, range(255)))])
def test_one_class_and_as_many_as_there_can_be(names: tuple[str, ...]) -> None:
    old = weights_for("linear", "roof", "7")

    _, network, shared = transferred(old, *names)

    assert shared == tuple(name for name in names if name in ("roof", "7"))
    row = names.index(shared[0])
    assert torch.equal(
        network.head.weight[row], old.network.head.weight[old.card.classes.names.index(shared[0])]
    )


@pytest.mark.parametrize("entry", NETWORKS.values(), ids=NETWORKS.keys())
def test_in_every_network_only_heads_depend_on_the_classes(entry: NetworkEntry) -> None:
    name, encoder = entry.name, next(iter(entry.sizes))
    with torch.device("meta"):
        three, five = (build_network(name, encoder=encoder, classes=n).state_dict() for n in (3, 5))

    differ = [tensor for tensor in three if three[tensor].shape != five[tensor].shape]
    assert differ
    for tensor in differ:
        assert tensor.startswith(("head.", "auxiliary_heads."))
        assert three[tensor].shape[0] * 5 == five[tensor].shape[0] * 3
        assert three[tensor].shape[1:] == five[tensor].shape[1:]
