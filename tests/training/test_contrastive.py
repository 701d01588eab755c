"""The instance-contrastive loss against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rsseg.training.contrastive import instance_contrastive_loss


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def constant_in_each(instances: Tensor, **values: tuple[float, float]) -> Tensor:
    """An embedding (N, 2, H, W) that is the same for all pixels of one id: `id_1=(x, y)`."""
    embedding = torch.zeros(instances.shape[0], 2, *instances.shape[1:])
    for name, value in values.items():
        place = (instances == int(name.removeprefix("id_"))).unsqueeze(1)
        embedding = torch.where(place, torch.tensor(value).view(1, 2, 1, 1), embedding)
    return embedding


def test_it_is_the_mean_over_instances_of_margin_less_the_distance_to_what_is_not_theirs() -> None:
    instances = torch.tensor([[[1, 1, 0, 0], [1, 255, 0, 0]], [[9, 9, 0, 7], [255, 255, 7, 7]]])
    embedding = constant_in_each(
        instances, id_1=(0.3, 0.4), id_7=(0.0, 3.0), id_9=(0.0, -3.0), id_255=(0.3, 0.4)
    )

    loss = instance_contrastive_loss(embedding, instances, generator=seeded())

    # Anchor and positive agree. Instance 1 is 0.5 from stuff, 7 and 9 are more than the margin from anything.
    assert loss.item() == pytest.approx(((1 - 0.5) + 0.0 + 0.0) / 3, abs=1e-5)


def test_an_image_knows_nothing_of_the_others_in_its_batch() -> None:
    instances = torch.tensor([[[1, 1, 0]], [[1, 1, 0]]])
    embedding = torch.tensor([[[[0.0, 0.0, 5.0]]], [[[9.0, 9.0, 9.5]]]])

    loss = instance_contrastive_loss(embedding, instances, generator=seeded())

    assert loss.item() == pytest.approx((0.0 + 0.5) / 2, abs=1e-5)


def test_distance_within_an_instance_costs() -> None:
    instances = torch.tensor([[[3, 3, 0]]])
    embedding = torch.tensor([[[[0.0, 2.0, 1.0]], [[0.0, 0.0, 0.0]]]])  # a positive 2 away, the negative 1

    loss = instance_contrastive_loss(embedding, instances, generator=seeded())

    assert loss.item() == pytest.approx(2 - 1 + 1, abs=1e-5)


def drawn_places(instances: Tensor, seed: int) -> set[int]:
    """The pixels that take a gradient."""
    embedding = torch.randn(1, 3, *instances.shape[1:], generator=seeded(1), requires_grad=True)
    (instance_contrastive_loss(0.01 * embedding, instances, generator=seeded(seed))).backward()
    assert embedding.grad is not None
    return set(embedding.grad.abs().sum(dim=1).flatten().nonzero().flatten().tolist())


def test_two_distinct_pixels_of_the_instance_and_one_from_elsewhere_are_drawn_and_never_void() -> None:
    instances = torch.tensor([[[5, 5, 5, 0, 0, 8, 255]]])  # instance 8 has one pixel only

    draws = [drawn_places(instances, seed) for seed in range(60)]

    assert all(len(draw) == 3 and len(draw & {0, 1, 2}) == 2 for draw in draws)
    assert set.union(*draws) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "instances",
    [
        [[0, 0, 0, 0]],  # nothing but stuff
        [[255, 255, 255, 255]],
        [[1, 2, 3, 0]],  # a pixel each
        [[1, 1, 255, 255]],  # nothing to be told from
    ],
)
def test_without_an_instance_that_counts_it_is_0_and_moves_nothing(instances: list[list[int]]) -> None:
    embedding = torch.randn(1, 2, 1, 4, generator=seeded(), requires_grad=True)

    loss = instance_contrastive_loss(embedding, torch.tensor([instances]), generator=seeded())
    loss.backward()

    assert loss.item() == 0
    assert embedding.grad is not None
    assert (embedding.grad == 0).all()


def test_the_generator_alone_decides_what_is_drawn() -> None:
    instances = torch.randint(0, 4, (2, 8, 8), generator=seeded())
    embedding = torch.randn(2, 4, 8, 8, generator=seeded())

    first, again, other = (
        instance_contrastive_loss(embedding, instances, generator=seeded(seed)).item() for seed in (1, 1, 2)
    )

    assert first == again
    assert not math.isclose(first, other)


def test_half_precision_embeddings_give_a_float32_loss() -> None:
    instances = torch.tensor([[[1, 1, 0]]])

    loss = instance_contrastive_loss(torch.zeros(1, 2, 1, 3).bfloat16(), instances, generator=seeded())

    assert loss.dtype == torch.float32
