"""What is drawn for a sample: turns, changes, mixes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.classes import ClassTable
from rsseg.data.augment import (
    ORIENTATIONS,
    Change,
    check_augment,
    draw_change,
    draw_mix,
    draw_orientation,
    turn,
)
from rsseg.data.options import AugmentOptions
from rsseg.errors import OptionError

SQUARE = np.arange(9).reshape(3, 3)
CLASSES = ClassTable.unnamed(3)
STILL: dict[str, Any] = {"contrast": 0, "brightness": 0, "colour": 0}
ALL = AugmentOptions(
    zoom=2,
    rotation=20,
    contrast=0.2,
    brightness=0.3,
    colour=0.1,
    blur=2,
    noise=0.4,
    jpeg=30,
    drop_band=0.3,
    cutmix=0.3,
    paste=0.4,
    paste_classes=("1",),
)


def changes(options: AugmentOptions, *, channels: int = 3, count: int = 400) -> list[Change]:
    return [draw_change(np.random.default_rng(seed), channels, options=options) for seed in range(count)]


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


@pytest.mark.parametrize(("turns", "expected"), [("all", set(range(8))), ("mirror", {0, 4}), ("none", {0})])
def test_turns_say_which_orientations_are_drawn(turns: str, expected: set[int]) -> None:
    rng = np.random.default_rng(0)

    assert {draw_orientation(rng, turns) for _ in range(200)} == expected


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_change_stays_within_its_bounds(seed: int, channels: int) -> None:
    change = draw_change(np.random.default_rng(seed), channels, options=ALL)

    assert 1 / 2 <= change.zoom <= 2
    assert abs(change.angle) <= 20
    assert 0.8 <= change.gain <= 1.2
    assert len(change.offset) == channels
    assert np.all(np.abs(change.offset) <= 0.4)
    assert np.ptp(change.offset) <= 0.2
    assert 0 <= change.blur <= 2
    assert 0 <= change.noise <= 0.4
    assert change.quality == 0 or 30 <= change.quality <= 95
    assert -1 <= change.dropped < channels


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_options_of_zero_leave_everything_as_it_is(seed: int, channels: int) -> None:
    change = draw_change(np.random.default_rng(seed), channels, options=AugmentOptions(**STILL))

    assert not change.is_warp
    assert (change.gain, change.offset) == (1, (0,) * channels)
    assert (change.blur, change.noise, change.quality, change.dropped) == (0, 0, 0, -1)


def test_light_is_drawn_over_its_whole_range_both_ways() -> None:
    drawn = changes(ALL)

    assert np.mean([change.gain for change in drawn]) == pytest.approx(1, abs=0.02)
    assert min(change.gain for change in drawn) < 0.81
    assert max(change.gain for change in drawn) > 1.19
    assert np.mean([change.zoom > 1 for change in drawn]) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("name", "share"), [("blur", 0.3), ("noise", 0.3), ("quality", 0.3), ("dropped", 0.3)]
)
def test_a_share_of_the_samples_is_rough(name: str, share: float) -> None:
    none = -1 if name == "dropped" else 0

    rough = [getattr(change, name) != none for change in changes(ALL)]

    assert np.mean(rough) == pytest.approx(share, abs=0.06)


def test_every_channel_is_missing_at_times() -> None:
    assert {change.dropped for change in changes(ALL)} == {-1, 0, 1, 2}


OPTIONS = st.builds(
    AugmentOptions,
    zoom=st.floats(1, 4),
    rotation=st.floats(0, 180),
    contrast=st.floats(0, 0.9),
    brightness=st.floats(0, 0.9),
    colour=st.floats(0, 0.9),
    blur=st.floats(0, 8),
    noise=st.floats(0, 4),
    jpeg=st.integers(0, 95),
    drop_band=st.floats(0, 1),
    cutmix=st.floats(0, 1),
    turns=st.sampled_from(["all", "mirror", "none"]),
)


@given(OPTIONS, st.integers(0, 2**32), st.integers(1, 5))
def test_every_draw_moves_the_generator_equally(options: AugmentOptions, seed: int, channels: int) -> None:
    first, second = np.random.default_rng(seed), np.random.default_rng(seed)

    for rng, chosen in ((first, options), (second, AugmentOptions(**STILL))):
        draw_mix(rng, options=chosen, paste_ids=())
        draw_change(rng, channels, options=chosen)
        draw_orientation(rng, chosen.turns)

    assert first.bit_generator.state == second.bit_generator.state


@given(st.integers(0, 2**32))
def test_one_option_does_not_change_what_another_does(seed: int) -> None:
    alone = AugmentOptions(**STILL, blur=2)

    first, second = (draw_change(np.random.default_rng(seed), 3, options=o) for o in (alone, ALL))

    assert first.blur == second.blur


@given(st.integers(1, 70), st.floats(0.25, 4), st.floats(-180, 180))
def test_a_read_square_holds_all_points_of_the_sample_and_their_neighbours(
    window: int, zoom: float, angle: float
) -> None:
    values: dict[str, Any] = dict.fromkeys(("blur", "noise", "quality"), 0)
    change = Change(zoom=zoom, angle=angle, gain=1, offset=(), dropped=-1, seed=0, **values)

    side = change.read_side(window)

    finer = max(1, round(zoom))
    places = (np.arange(finer * window) + 0.5 - finer * window / 2) * zoom / finer
    turned = places[:, None] * math.cos(math.radians(angle)) - places * math.sin(math.radians(angle))
    assert side % 2 == window % 2
    if change.is_warp:
        assert np.abs(turned).max() <= (side - 1) / 2 + 1e-9
        assert side <= window * zoom * math.sqrt(2) + 3 + 1e-9
    else:
        assert side == window


def test_a_mix_is_drawn_as_often_as_asked() -> None:
    mixes = [draw_mix(np.random.default_rng(seed), options=ALL, paste_ids=(1,)) for seed in range(1000)]

    assert np.mean([mix is None for mix in mixes]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([bool(mix and mix.classes) for mix in mixes]) == pytest.approx(0.4, abs=0.04)


@given(st.integers(0, 2**32))
def test_a_rectangle_lies_inside_the_sample(seed: int) -> None:
    mix = draw_mix(np.random.default_rng(seed), options=AugmentOptions(cutmix=1), paste_ids=())

    assert mix is not None
    assert 0 <= mix.top <= mix.bottom <= 1
    assert 0 <= mix.left <= mix.right <= 1


def test_a_rectangle_that_is_not_cut_off_is_square_and_of_any_area() -> None:
    mixes = [
        draw_mix(np.random.default_rng(seed), options=AugmentOptions(cutmix=1), paste_ids=())
        for seed in range(4000)
    ]

    whole = [m for m in mixes if m and m.top > 0 and m.left > 0 and m.bottom < 1 and m.right < 1]
    for mix in whole:
        assert mix.bottom - mix.top == pytest.approx(mix.right - mix.left)
    # A square of area a lies inside with probability (1 - sqrt a) ** 2, of which the mean is 1/6.
    assert len(whole) / len(mixes) == pytest.approx(1 / 6, abs=0.02)


@pytest.mark.parametrize("name", ["contrast", "brightness", "colour"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_light_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=f"{name} is"):
        AugmentOptions(**{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"zoom": 0.5}, "zoom is 0.5; it must be at least 1"),
        ({"rotation": 181}, "rotation is 181"),
        ({"blur": 9}, "blur is 9"),
        ({"noise": float("inf")}, "noise is inf"),
        ({"jpeg": 96}, "jpeg is 96; it must be at least 0 and at most 95"),
        ({"drop_band": 1.5}, "augment.drop_band is 1.5"),
        ({"cutmix": 0.6, "paste": 0.6, "paste_classes": ("1",)}, r"augment\.cutmix \+ augment\.paste is 1.2"),
        ({"turns": "some"}, "turns is 'some'; expected one of all, mirror, none"),
        ({"paste": 0.3}, "augment.paste is 0.3, augment.paste_classes are none"),
        ({"paste_classes": ("1",)}, "augment.paste is 0.0, augment.paste_classes are 1"),
    ],
)
def test_options_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        AugmentOptions(**values)


def test_what_fits_gives_the_ids_of_the_classes_to_paste() -> None:
    options = AugmentOptions(
        jpeg=50, drop_band=0.1, paste=0.1, paste_classes=(CLASSES.names[2], CLASSES.names[0])
    )

    assert check_augment(options, channels=3, dtype="uint8", classes=CLASSES) == (2, 0)


def test_without_changes_any_image_fits() -> None:
    assert check_augment(AugmentOptions(), channels=1, dtype="float32", classes=CLASSES) == ()


@pytest.mark.parametrize(
    ("values", "channels", "dtype", "message"),
    [
        ({"jpeg": 50}, 4, "uint8", "jpeg is 50, but images have 4 channels of uint8"),
        ({"jpeg": 50}, 3, "uint16", "jpeg is 50, but images have 3 channels of uint16"),
        ({"drop_band": 0.1}, 1, "uint8", "augment.drop_band is 0.1, but images have one channel"),
        ({"paste": 0.1, "paste_classes": ("car",)}, 3, "uint8", "'car', which is no class of the data"),
    ],
)
def test_changes_that_the_images_cannot_have_are_refused(
    values: dict[str, Any], channels: int, dtype: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        check_augment(AugmentOptions(**values), channels=channels, dtype=dtype, classes=CLASSES)

    assert caught.value.hint
