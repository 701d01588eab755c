"""What holds for every network of the registry: any size, bands and classes; gradients for all that is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models import attention
from rsseg.models.network import Logits, Network
from rsseg.models.registry import NETWORKS, NetworkEntry
from tests.models.making import image, network

NOWHERE = r"(?!)"
MASKED = (  # the key of every attention, and the norms that another norm follows
    r"(down|up)_attention\.\d\.key\.bias|(down\.\d\.2|up\.\d\.mix\.1)\.4\.(weight|bias)"
)
ZERO_GRADIENTS = {
    # Batch norm takes away what is the same at every position: a bias before it; and through attention, whose weights
    # sum to 1, the bias of the values. It also takes away the size of what it reads: a scale before it, or the weight
    # of another batch norm. The softmax takes away what is the same for all keys: their bias.
    "maresunet": r"decoder\d\.(reduce|upsample|expand)\.conv\.bias",
    "manet": r"decoder\d\.(reduce|upsample|expand)\.conv\.bias|attention\d\.position\.value\.bias",
    "abcnet": r"enhance(16|32)\.attention\.(value\.bias|scale)",
    "attanet": NOWHERE,
    "attanet-light": NOWHERE,
    "macunet": r".*\.(square|horizontal|vertical)\.bias",
    "maskattn-unet": MASKED,
    "maskattn-unet-published": rf"{MASKED}|head\.0\.bias",
    "linear": NOWHERE,
}
"""Whose gradient in training is zero by mathematics, but for the epsilons that keep divisors from zero."""

SMALL_SIDE = 32
"""For the network of one size: its attention at 128 px takes seconds, and the fixtures are of that size."""

each_network = pytest.mark.parametrize("entry", NETWORKS.values(), ids=NETWORKS.keys())


class Case(NamedTuple):
    """What a network is built for, and the height and width of its input."""

    bands: int
    classes: int
    height: int
    width: int


CASES = (Case(1, 2, 37, 101), Case(8, 20, 65, 50), Case(4, 7, 129, 202), Case(2, 3, 300, 500))
LARGEST = CASES[-1]


@pytest.fixture(autouse=True, scope="module")
def small_side() -> Iterator[None]:
    """Build networks that take squares of one side only for a smaller one."""
    with pytest.MonkeyPatch.context() as patch:
        for entry in NETWORKS.values():
            if entry.side is not None:
                patch.setattr(entry.build, "side", SMALL_SIDE)
        yield


@pytest.fixture(
    scope="module",
    params=[(entry, case) for entry in NETWORKS.values() for case in CASES],
    ids=lambda pair: f"{pair[0].name}-{pair[1].bands}-{pair[1].classes}-{pair[1].height}x{pair[1].width}",
)
def built(request: pytest.FixtureRequest) -> tuple[Network, Case]:
    """A network on its smallest encoder, and what it was built for."""
    entry, case = request.param
    # Attention within windows of 128 px costs a minute at the largest size.
    large = case.height * case.width > 10_000
    options = {"max_tokens": 32 * 32} if entry.name == "maskattn-unet" and large else {}
    if entry.side is not None:
        case = case._replace(height=SMALL_SIDE, width=SMALL_SIDE)
    return network(entry.name, bands=case.bands, classes=case.classes, **options), case


def sample(case: Case, *, count: int) -> Tensor:
    return image(count, case.bands, case.height, case.width)


def assert_sound(logits: Tensor, case: Case, *, count: int) -> None:
    assert logits.shape == (count, case.classes, case.height, case.width)
    assert logits.isfinite().all()


def smaller(case: Case) -> Case:
    """The largest case at half its size: two samples, and more maps than in eval mode."""
    return case._replace(height=case.height // 2 + 1, width=case.width // 2 + 1) if case == LARGEST else case


def test_one_image_of_any_size_gives_logits(built: tuple[Network, Case]) -> None:
    network, case = built

    with torch.no_grad():
        logits = network.eval()(sample(case, count=1))

    assert_sound(logits, case, count=1)


def test_one_image_in_bfloat16_gives_finite_logits(built: tuple[Network, Case]) -> None:
    network, case = built
    case = smaller(case)

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network.eval()(sample(case, count=1))

    assert_sound(logits, case, count=1)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_two_images_in_training_give_logits_of_every_head(
    built: tuple[Network, Case], autocast: bool
) -> None:
    network, case = built
    case = smaller(case)

    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = network.train()(sample(case, count=2))

    assert isinstance(logits, Logits)
    assert len(logits.auxiliary) == len(network.auxiliary_heads)
    for each in (logits.main, *logits.auxiliary):
        assert_sound(each, case, count=2)


@each_network
def test_one_image_in_training_is_enough_or_refused_with_the_reason(entry: NetworkEntry) -> None:
    side = SMALL_SIDE if entry.side is not None else 40
    trained = network(entry.name, classes=2).train()

    if entry.least_batch == 1:
        with torch.no_grad():
            assert_sound(trained(image(1, 3, side, side)).main, Case(3, 2, side, side), count=1)
    else:
        with pytest.raises(
            OptionError, match=f"a batch of 1 samples of {side} x {side} px leaves batch norm"
        ):
            trained(image(1, 3, side, side))


@each_network
def test_every_parameter_has_a_gradient_and_only_mathematics_makes_it_zero(
    entry: NetworkEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = network(entry.name, dtype=torch.float64).train()
    _without_accidents(trained)
    monkeypatch.setattr(attention, "EPSILON", 0.0)
    side = SMALL_SIDE if entry.name.startswith("maskattn") else 64
    labels = torch.arange(3 * side * side).view(3, side, side) % 4

    logits = trained(image(3, 3, side, side, dtype=torch.float64))
    losses = [functional.cross_entropy(each, labels) for each in (logits.main, *logits.auxiliary)]
    torch.stack(losses).sum().backward()

    sizes = {}
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        sizes[name] = float(parameter.grad.norm() / parameter.detach().norm())
    # All are below 1e-13 or above 1e-6.
    zero = {name for name, size in sizes.items() if size < 1e-10}
    assert zero == {name for name in sizes if re.fullmatch(ZERO_GRADIENTS[entry.name], name)}


def _without_accidents(trained: Network) -> None:
    """Set all scales of attention to 1 / 2, take away epsilons, and keep ReLU from closing a whole gate.

    Three samples, not two: of two numbers batch norm leaves only which is larger.
    """
    for name, parameter in trained.named_parameters():
        if name.endswith("scale"):
            nn.init.constant_(parameter, 0.5)
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-20
        if isinstance(module, attention.ChannelGate):
            module.peak_in.weight.data.abs_()  # the smallest gate has two units
