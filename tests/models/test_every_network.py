"""What holds for every network of the registry: any size, bands and classes; gradients for all that is trained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import OptionError
from rsseg.models import attention
from rsseg.models.maskattn_unet import PublishedMaskAttnUNet
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


SMALLEST, LARGEST = Case(1, 2, 37, 101), Case(8, 20, 300, 500)

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("maresunet", {"attention_norm": "batch"}),
    ("maresunet", {"energy_positions": 64 * 64}),
    ("manet", {"energy_positions": 64 * 64}),
    ("maskattn-unet", {"full_attention": True}),
    ("maskattn-unet", {"mask_source": "previous"}),
    ("maskattn-unet-published", {"permute": True}),
]


def cases(entry: NetworkEntry) -> st.SearchStrategy[Case]:
    """Cases that a network can be tried on within seconds."""
    height, width = (75, 125) if entry.name == "maskattn-unet" else (LARGEST.height, LARGEST.width)
    return st.builds(
        Case,
        st.integers(SMALLEST.bands, LARGEST.bands),
        st.integers(SMALLEST.classes, LARGEST.classes),
        st.integers(SMALLEST.height, height),
        st.integers(SMALLEST.width, width),
    ).map(lambda case: at_its_side(entry, case))


def at_its_side(entry: NetworkEntry, case: Case) -> Case:
    return case if entry.side is None else case._replace(height=SMALL_SIDE, width=SMALL_SIDE)


@pytest.fixture(autouse=True, scope="module")
def small_side() -> Iterator[None]:
    """Build networks that take squares of one side only for a smaller one."""
    with pytest.MonkeyPatch.context() as patch:
        for entry in NETWORKS.values():
            if entry.side is not None:
                patch.setattr(entry.build, "side", SMALL_SIDE)
        yield


def sample(case: Case, *, count: int) -> Tensor:
    return image(count, case.bands, case.height, case.width)


def assert_sound(logits: Tensor, case: Case, *, count: int) -> None:
    assert logits.shape == (count, case.classes, case.height, case.width)
    assert logits.isfinite().all()


def assert_predicts(network: Network, case: Case, *, bf16: bool) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = network.eval()(sample(case, count=1))

    assert_sound(logits, case, count=1)


def assert_trains(network: Network, case: Case, *, bf16: bool) -> None:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = network.train()(sample(case, count=2))

    assert isinstance(logits, Logits)
    assert len(logits.auxiliary) == len(network.auxiliary_heads)
    for each in (logits.main, *logits.auxiliary):
        assert_sound(each, case, count=2)


@each_network
@settings(max_examples=3, derandomize=True, database=None, phases=[Phase.generate])
@given(data=st.data())
def test_any_case_gives_finite_logits_of_its_size(entry: NetworkEntry, data: st.DataObject) -> None:
    case = data.draw(cases(entry))
    built = network(entry.name, bands=case.bands, classes=case.classes)

    assert_predicts(built, case, bf16=False)
    assert_predicts(built, case, bf16=True)
    assert_trains(built, case, bf16=True)


@each_network
@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_the_smallest_case_is_sound_in_prediction_and_training(entry: NetworkEntry, bf16: bool) -> None:
    case = at_its_side(entry, SMALLEST)
    built = network(entry.name, bands=case.bands, classes=case.classes)

    assert_predicts(built, case, bf16=bf16)
    assert_trains(built, case, bf16=bf16)


@pytest.mark.parametrize("name", [name for name, entry in NETWORKS.items() if entry.side is None])
def test_the_largest_case_is_sound_in_prediction_and_training(name: str) -> None:
    # The slow one: attention within windows of 128 px and training would take minutes.
    slow = name == "maskattn-unet"
    options = {"max_tokens": 32 * 32} if slow else {}
    built = network(name, bands=LARGEST.bands, classes=LARGEST.classes, **options)

    assert_predicts(built, LARGEST, bf16=slow)
    if not slow:
        assert_trains(built, LARGEST, bf16=True)


def test_windows_of_the_default_size_take_over_where_a_map_has_more_positions() -> None:
    case = Case(3, 2, 130, 133)
    assert case.height * case.width > 16384

    assert_predicts(network("maskattn-unet", classes=2), case, bf16=True)


def test_the_published_mask_attention_takes_its_true_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublishedMaskAttnUNet, "side", 128)

    assert_predicts(network("maskattn-unet-published", classes=2), Case(3, 2, 128, 128), bf16=False)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_variants_train(name: str, options: dict[str, Any]) -> None:
    side = SMALL_SIDE if name.startswith("maskattn") else 64
    built = network(name, **options).train()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = built(image(2, 3, side, side)).main
    functional.cross_entropy(logits.float(), torch.zeros(2, side, side, dtype=torch.int64)).backward()

    assert_sound(logits, Case(3, 4, side, side), count=2)
    for parameter_name, parameter in built.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@each_network
def test_one_image_in_training_is_enough_or_refused_with_the_reason(entry: NetworkEntry) -> None:
    side = SMALL_SIDE if entry.side is not None else 40
    trained = network(entry.name, classes=2).train()

    if entry.least_batch == 1:
        with torch.no_grad():
            assert_sound(trained(image(1, 3, side, side)).main, Case(3, 2, side, side), count=1)
    else:
        with pytest.raises(OptionError, match=f"batch size 1 at {side} x {side} px leaves batch norm"):
            trained(image(1, 3, side, side))


def test_a_network_without_batch_norm_trains_on_a_single_pixel() -> None:
    logits = network("linear").train()(image(1, 3, 1, 1))

    assert_sound(logits.main, Case(3, 4, 1, 1), count=1)


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
