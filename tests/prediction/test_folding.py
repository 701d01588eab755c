import pytest
import torch
from torch import Tensor, nn

from rsseg.models.registry import NETWORKS, network_entry
from rsseg.prediction.folding import fold_norms
from tests.models.making import filled, image, network

FOLDED = {
    "maresunet": 32,
    "manet": 32,
    "abcnet": 31,
    "attanet": 30,
    "attanet-light": 20,
    "macunet": 0,
    "maskattn-unet": 32,
    "maskattn-unet-published": 33,
    "linear": 0,
}
"""Batch norms in the forward pass of eval mode, but for those of MACU-Net and ABCNet that follow a sum."""

SLOW = {"maskattn-unet", "maskattn-unet-published"}


def conv_and_norm(*, transposed: bool = False, bias: bool = True) -> nn.Sequential:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    return filled(nn.Sequential(kind(3, 5, 3, bias=bias), nn.BatchNorm2d(5)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_a_folded_convolution_does_for_both(*, transposed: bool, bias: bool) -> None:
    pair = conv_and_norm(transposed=transposed, bias=bias)
    x = image(2, 3, 9, 8, dtype=torch.float64)
    expected = pair(x)

    assert fold_norms(pair, x) == ["1"]

    assert isinstance(pair[1], nn.Identity)
    assert torch.allclose(pair(x), expected, atol=1e-12)


class Twice(nn.Module):
    """Something reads what the convolution gives, before the norm does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)


class Changed(Twice):
    """Something changes what the convolution gave, in place."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).relu_())


class Shown(Twice):
    """The network gives back what the convolution gave."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return y, self.norm(y)


class Again(Twice):
    """The convolution runs twice, once without the norm."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.conv(x)


class Shared(Twice):
    """The norm runs twice, once on something else."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return y + self.norm(y)


@pytest.mark.parametrize("kind", [Twice, Changed, Shown, Again, Shared])
def test_a_norm_that_is_not_the_only_reader_stays(kind: type[Twice]) -> None:
    module = filled(kind())

    assert fold_norms(module, image(1, 3, 4, 4, dtype=torch.float64)) == []
    assert isinstance(module.norm, nn.BatchNorm2d)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in SLOW])
def test_every_network_keeps_its_logits_and_contexts(name: str) -> None:
    whole, folded = (network(name, dtype=torch.float64) for _ in range(2))
    x = image(2, 3, 64, 96, dtype=torch.float64)

    done = fold_norms(folded, x[:1, :, :64, :64])

    assert len(done) == FOLDED[name]
    assert torch.allclose(folded(x), whole(x), atol=1e-10)
    if whole.context_passes:
        known: tuple = ()
        other: tuple = ()
        for _ in range(whole.context_passes):
            known += tuple(c.over_samples() for c in whole.summarise(x, known=known))
            other += tuple(c.over_samples() for c in folded.summarise(x, known=other))
        assert torch.allclose(folded(x, other), whole(x, known), atol=1e-10)


def test_an_encoder_that_convolves_channels_by_themselves_keeps_its_features() -> None:
    whole, folded = (
        network("manet", encoder="efficientnet-lite0", dtype=torch.float64).eval() for _ in range(2)
    )
    x = image(2, 3, 64, 96, dtype=torch.float64)

    done = fold_norms(folded, x[:1, :, :64, :64])

    norms = sum(isinstance(module, nn.BatchNorm2d) for module in whole.modules())
    assert len(done) == norms == 60
    assert torch.allclose(folded(x), whole(x), atol=1e-10)


def test_a_network_for_one_size_is_folded_at_that_size() -> None:
    name = "maskattn-unet-published"
    side = network_entry(name).side
    whole, folded = (network(name) for _ in range(2))
    x = image(1, 3, side, side)

    assert len(fold_norms(folded, x)) == FOLDED[name]
    assert torch.allclose(folded(x), whole(x), atol=1e-3)
