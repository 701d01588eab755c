"""Views of an image are the symmetries of the square."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsseg.prediction.options import Augmentation
from rsseg.prediction.views import View, views_of

kinds: list[Augmentation] = ["none", "flips", "d4"]
views = st.sampled_from(views_of("d4"))
SQUARE = torch.arange(9).reshape(1, 3, 3)


@given(views, st.integers(1, 7), st.integers(1, 7))
def test_undo_brings_an_image_of_any_shape_back(view: View, height: int, width: int) -> None:
    image = torch.arange(2 * height * width).reshape(1, 2, height, width)

    shown = view.apply(image)

    assert shown.shape[-2:] == ((width, height) if view.swap else (height, width))
    assert torch.equal(view.undo(shown), image)


@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("flips", 4), ("d4", 8)])
def test_views_form_a_group_that_begins_with_the_image_as_it_is(kind: Augmentation, count: int) -> None:
    group = views_of(kind)
    shown = {tuple(view.apply(SQUARE).flatten().tolist()) for view in group}

    twice = {tuple(a.apply(b.apply(SQUARE)).flatten().tolist()) for a, b in product(group, repeat=2)}

    assert group[0] == View()
    assert len(group) == len(shown) == count
    assert twice == shown


def test_d4_holds_the_quarter_turns_and_both_flips() -> None:
    shown = [view.apply(SQUARE) for view in views_of("d4")]

    expected = [torch.rot90(SQUARE, turns, (-2, -1)) for turns in range(4)]
    expected += [torch.flip(turned, (-1,)) for turned in expected]

    assert all(any(torch.equal(a, b) for b in shown) for a in expected)


@given(views)
def test_a_mask_turns_with_its_image(view: View) -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)

    assert torch.equal(view.apply(image > 5)[0], (view.apply(image) > 5)[0])
