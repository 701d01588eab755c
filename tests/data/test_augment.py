"""Turns and changes of light."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.data.augment import ORIENTATIONS, JitterOptions, draw_light, turn
from rsseg.errors import OptionError

SQUARE = np.arange(9).reshape(3, 3)


def test_the_eight_orientations_are_all_different() -> None:
    seen = {turn(SQUARE, orientation).tobytes() for orientation in range(ORIENTATIONS)}

    assert len(seen) == ORIENTATIONS


def test_orientation_0_changes_nothing_and_4_flips_left_and_right() -> None:
    assert np.array_equal(turn(SQUARE, 0), SQUARE)
    assert np.array_equal(turn(SQUARE, 4), SQUARE[:, ::-1])


@given(st.integers(0, ORIENTATIONS - 1))
def test_all_channels_turn_together(orientation: int) -> None:
    stack = np.stack([SQUARE, SQUARE + 100])

    turned = turn(stack, orientation)

    assert np.array_equal(turned[1], turned[0] + 100)
    assert np.array_equal(turned[0], turn(SQUARE, orientation))


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_light_stays_within_its_bounds(seed: int, channels: int) -> None:
    options = JitterOptions(contrast=0.2, brightness=0.3, colour=0.1)

    gain, offset = draw_light(np.random.default_rng(seed), channels, options=options)

    assert 0.8 <= gain <= 1.2
    assert offset.shape == (channels,)
    assert np.all(np.abs(offset) <= 0.4 + 1e-6)
    assert np.ptp(offset) <= 0.2 + 1e-6


def test_no_jitter_leaves_the_light_alone() -> None:
    options = JitterOptions(contrast=0, brightness=0, colour=0)

    gain, offset = draw_light(np.random.default_rng(0), 3, options=options)

    assert gain == 1
    assert np.array_equal(offset, np.zeros(3))


@pytest.mark.parametrize("name", ["contrast", "brightness", "colour"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_jitter_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{name} jitter is"):
        JitterOptions(**{name: value})
