"""Changes as they are made on the device, against slow and obvious versions of each."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from rsseg.classes import IGNORE_INDEX
from rsseg.data.augment import Change, Mix, turn
from rsseg.data.samplers import Sample
from rsseg.preprocess import Scaling
from rsseg.training.augmentation import make_changes
from rsseg.training.loader import Batch, stack_samples

CPU = torch.device("cpu")
WINDOW = 32
PLAIN = Change(
    zoom=1, angle=0, gain=1, offset=(0.0, 0.0, 0.0), blur=0, noise=0, quality=0, dropped=-1, seed=0
)
EVERYTHING = replace(
    PLAIN, zoom=1.3, angle=20, gain=1.1, offset=(0.1, 0.2, -0.1), blur=1.2, noise=0.1, quality=60, seed=7
)
SCALING = Scaling(mean=(110.0, 120.0, 130.0), std=(50.0, 60.0, 70.0))
UNSCALED = Scaling(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def sample(change: Change, *, seed: int = 0, channels: int = 3, dtype: str = "uint8", **given: Any) -> Sample:
    """A sample of noise, all of it valid and of five classes, unless arrays are given."""
    rng, side = np.random.default_rng(seed), change.read_side(WINDOW)
    arrays = {
        "pixels": rng.integers(0, 256, (channels, side, side)).astype(dtype),
        "valid": np.ones((side, side), np.bool_),
        "labels": rng.integers(0, 5, (side, side)).astype(np.uint8),
    }
    return Sample(change=change, **{**arrays, **given})


def made(*samples: Sample, scaling: Scaling = SCALING) -> tuple[Tensor, Tensor]:
    return make_changes(stack_samples(samples), scaling, window=WINDOW, device=CPU)


def equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def smooth(side: int, *, seed: int = 0) -> NDArray[np.float32]:
    """Three channels of which neighbours are alike."""
    noise = np.random.default_rng(seed).normal(size=(3, side, side))
    return (100 * ndimage.gaussian_filter(noise, (0, 2, 2), mode="wrap")).astype(np.float32)


# Nothing asked for, nothing changed.


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_without_changes_a_batch_is_scaled_and_nothing_else(dtype: str, channels: int) -> None:
    change = replace(PLAIN, offset=(0.0,) * channels)
    one = sample(change, channels=channels, dtype=dtype)
    scaling = Scaling(mean=(110.0,) * channels, std=(50.0,) * channels, dtype=dtype)

    x, labels = made(one, scaling=scaling)

    valid = torch.from_numpy(one.valid)[None]
    assert torch.equal(x, scaling.apply(torch.from_numpy(one.pixels)[None], valid))
    assert torch.equal(labels[0], torch.from_numpy(one.labels).long())
    assert (x.dtype, labels.dtype) == (torch.float32, torch.int64)


def test_a_plain_sample_beside_warped_ones_is_as_it_was() -> None:
    one, other = sample(PLAIN), sample(replace(PLAIN, zoom=1.7, angle=33), seed=1)

    x, labels = made(one, other)

    assert equal((x[:1], labels[:1]), made(one))


# A sample is by itself.

CHANGES = st.builds(
    Change,
    zoom=st.sampled_from([1.0, 0.6, 0.9, 1.4, 2.3]),
    angle=st.sampled_from([0.0, 12.0, -45.0]),
    gain=st.floats(0.8, 1.2),
    offset=st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    blur=st.sampled_from([0.0, 0.7, 2.0]),
    noise=st.sampled_from([0.0, 0.2]),
    quality=st.sampled_from([0, 40]),
    dropped=st.integers(-1, 2),
    seed=st.integers(0, 100),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(CHANGES, min_size=2, max_size=4))
def test_a_change_does_not_depend_on_the_batch(changes: list[Change]) -> None:
    samples = [sample(change, seed=number) for number, change in enumerate(changes)]

    together = made(*samples)

    alone = [made(one) for one in samples]
    for part, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(part, torch.cat(parts))


def test_a_change_is_repeated_exactly_and_leaves_the_batch_as_it_was() -> None:
    donor = sample(replace(EVERYTHING, seed=8), seed=1)
    batch = stack_samples([sample(replace(EVERYTHING, zoom=1, angle=0), mix=Mix(bottom=0.5), donor=donor)])
    before = [batch.pixels.copy(), batch.valid.copy(), batch.labels.copy()]

    first, second = (make_changes(batch, SCALING, window=WINDOW, device=CPU) for _ in range(2))

    assert equal(first, second)
    assert all(map(np.array_equal, before, [batch.pixels, batch.valid, batch.labels]))


# Zoom and rotation.


def warped_slowly(planes: NDArray[Any], change: Change, *, finer: int, order: int) -> NDArray[Any]:
    """Planes (C, R, R) at the points of the sample, by scipy: the mean of `finer` x `finer` to a pixel."""
    radians, step = math.radians(change.angle), change.zoom / finer
    matrix = step * np.array(  # of (row, column)
        [[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]]
    )
    size = finer * WINDOW
    offset = (planes.shape[-1] - 1) / 2 - matrix @ np.full(2, (size - 1) / 2)
    points = np.stack(
        [
            ndimage.affine_transform(plane, matrix, offset, (size, size), order=order, mode="nearest")
            for plane in planes
        ]
    )
    return points.reshape(-1, WINDOW, finer, WINDOW, finer).mean(axis=(2, 4))


@pytest.mark.parametrize("zoom", [0.51, 0.83, 1.0, 1.27, 1.49, 1.77, 2.9])
@pytest.mark.parametrize("angle", [0.0, 9.0, -31.0, 77.0])
def test_warps_are_those_of_scipy(zoom: float, angle: float) -> None:
    change = replace(PLAIN, zoom=zoom, angle=angle)
    one = sample(change, pixels=smooth(change.read_side(WINDOW)))

    x, labels = made(one, scaling=UNSCALED)

    expected = warped_slowly(one.pixels.astype(float), change, finer=max(1, round(zoom)), order=1)
    np.testing.assert_allclose(x[0].numpy(), expected, atol=2e-3)
    ids = warped_slowly(one.labels[None].astype(float), change, finer=1, order=0)[0]
    assert np.array_equal(labels[0], ids)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_right_angle_is_a_turn(quarters: int) -> None:
    change = replace(PLAIN, angle=90 * quarters)
    one = sample(change)

    x, labels = made(one, scaling=UNSCALED)

    margin = (change.read_side(WINDOW) - WINDOW) // 2
    middle = (..., slice(margin, margin + WINDOW), slice(margin, margin + WINDOW))
    np.testing.assert_allclose(x[0].numpy(), turn(one.pixels, quarters)[middle], atol=0.02)
    assert np.array_equal(labels[0], turn(one.labels, quarters)[middle])


@pytest.mark.parametrize("zoom", [0.5, 1.5, 2.0])
def test_zoom_2_shows_twice_the_ground_about_the_same_middle(zoom: float) -> None:
    change = replace(PLAIN, zoom=zoom)
    side = change.read_side(WINDOW)
    ramp = np.broadcast_to(np.arange(side, dtype=np.float32), (3, side, side)).copy()

    x, _ = made(sample(change, pixels=ramp), scaling=UNSCALED)

    steps = x[0, 0, 0].diff()
    np.testing.assert_allclose(steps, zoom, atol=1e-3)
    assert x.mean().item() == pytest.approx((side - 1) / 2, abs=1e-3)


def test_pixels_seen_from_far_are_means() -> None:
    change = replace(PLAIN, zoom=2)
    one = sample(change)

    x, _ = made(one, scaling=UNSCALED)

    margin = change.read_side(WINDOW) // 2 - WINDOW
    shown = one.pixels[:, margin : margin + 2 * WINDOW, margin : margin + 2 * WINDOW].astype(float)
    expected = shown.reshape(3, WINDOW, 2, WINDOW, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(x[0].numpy(), expected, atol=0.02)


@pytest.mark.parametrize("zoom", [0.6, 1.3, 1.8])
def test_labels_go_where_their_pixels_go_and_are_never_mixed(zoom: float) -> None:
    change = replace(PLAIN, zoom=zoom, angle=25)
    side = change.read_side(WINDOW)
    ids = np.random.default_rng(0).choice([0, 3, 9, 40], (side // 16 + 1,) * 2).astype(np.uint8)
    ids = np.kron(ids, np.ones((16, 16), np.uint8))[:side, :side]
    picture = np.broadcast_to(ids, (3, side, side)).astype(np.float32)

    x, labels = made(sample(change, pixels=picture, labels=ids), scaling=UNSCALED)

    found = labels[0].numpy()
    inside = ndimage.maximum_filter(found, 5) == ndimage.minimum_filter(found, 5)
    assert set(np.unique(found)) <= {0, 3, 9, 40}
    assert inside.mean() > 0.1
    np.testing.assert_allclose(x[0, 0].numpy()[inside], found[inside], atol=1e-4)


# What is invalid.


@pytest.mark.parametrize("change", [PLAIN, replace(EVERYTHING, zoom=1, angle=0), EVERYTHING])
def test_what_lies_under_invalid_pixels_is_never_seen(change: Change) -> None:
    one = sample(change, dtype="float32")
    valid = np.random.default_rng(2).random(one.valid.shape) < 0.9
    valid[:12] = False
    labels = np.where(valid, one.labels, IGNORE_INDEX).astype(np.uint8)
    others = np.where(valid, one.pixels, np.float32("nan"))

    first = made(replace(one, valid=valid, labels=labels))
    second = made(replace(one, valid=valid, labels=labels, pixels=others))

    assert equal(first, second)
    assert first[0].isfinite().all()


@pytest.mark.parametrize("zoom", [0.7, 1.2, 1.8])
def test_a_pixel_is_valid_where_most_of_it_is_and_labelled_only_there(zoom: float) -> None:
    change = replace(PLAIN, zoom=zoom, angle=10)
    one = sample(change, pixels=np.full((3, change.read_side(WINDOW), change.read_side(WINDOW)), 200))
    valid = np.random.default_rng(2).random(one.valid.shape) < 0.7
    labels = np.where(valid, one.labels, IGNORE_INDEX).astype(np.uint8)

    x, ids = made(replace(one, valid=valid, labels=labels))

    share = warped_slowly(valid[None].astype(float), change, finer=max(1, round(zoom)), order=1)[0]
    nearest = warped_slowly(labels[None].astype(float), change, finer=1, order=0)[0]
    assert np.array_equal((x[0] != 0).all(dim=0), share > 0.5)
    assert np.array_equal(ids[0], np.where(share > 0.5, nearest, IGNORE_INDEX))


@pytest.mark.parametrize("blur", [0.0, 2.0])
@pytest.mark.parametrize(("zoom", "angle"), [(1, 0), (1.2, 10), (2, 0)])
def test_invalid_pixels_are_0_unlabelled_and_do_not_bleed(zoom: float, angle: float, blur: float) -> None:
    one = sample(replace(PLAIN, zoom=zoom, angle=angle, blur=blur, gain=0.9, offset=(0.5, 0.5, 0.5)))
    valid = np.ones_like(one.valid)
    valid[:, : valid.shape[1] // 2] = False
    valid[20, 30] = False
    labels = np.where(valid, np.uint8(1), np.uint8(IGNORE_INDEX))

    x, ids = made(replace(one, pixels=np.full_like(one.pixels, 200), valid=valid, labels=labels))

    shown = torch.tensor([0.5 + 0.9 * (200 - m) / s for m, s in zip(SCALING.mean, SCALING.std, strict=True)])
    is_valid = (x[0] != 0).any(dim=0)
    assert torch.all(x[0][:, ~is_valid] == 0)
    torch.testing.assert_close(x[0][:, is_valid], shown[:, None].expand(3, int(is_valid.sum())))
    assert torch.all(ids[0][~is_valid] == IGNORE_INDEX)
    assert 0.4 < is_valid.float().mean() < 0.6


def test_a_sample_without_a_valid_pixel_is_all_0() -> None:
    one = sample(EVERYTHING)
    none = np.zeros_like(one.valid)

    x, labels = made(replace(one, valid=none, labels=np.full_like(one.labels, IGNORE_INDEX)))

    assert torch.all(x == 0)
    assert torch.all(labels == IGNORE_INDEX)


# Light, blur, noise, JPEG, missing channels.


def test_light_is_a_gain_and_an_offset_to_each_channel() -> None:
    one = sample(replace(PLAIN, gain=1.2, offset=(0.1, -0.2, 0.3)))

    x, _ = made(one)

    plain, _ = made(replace(one, change=PLAIN))
    expected = plain * np.float32(1.2) + torch.tensor([0.1, -0.2, 0.3]).view(1, 3, 1, 1)
    assert torch.equal(x, expected)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 8.0])
def test_blur_is_that_of_scipy_over_what_is_inside(sigma: float) -> None:
    one = sample(replace(PLAIN, blur=sigma))

    x, _ = made(one, scaling=UNSCALED)

    def blurred(plane: NDArray[Any]) -> NDArray[Any]:
        radius = math.ceil(3 * sigma)
        return ndimage.gaussian_filter(plane.astype(float), sigma, mode="constant", radius=radius)

    weights = blurred(np.ones((WINDOW, WINDOW)))
    expected = np.stack([blurred(plane) / weights for plane in one.pixels])
    np.testing.assert_allclose(x[0].numpy(), expected, atol=1e-3)


def test_noise_has_the_size_that_was_drawn_and_is_its_samples_own() -> None:
    one = replace(PLAIN, noise=0.5, seed=3)
    samples = [sample(change) for change in (PLAIN, one, one, replace(one, seed=4))]

    x, _ = made(*samples)

    noise = x - x[0]
    assert torch.equal(noise[1], noise[2])
    assert not torch.equal(noise[1], noise[3])
    assert noise[1].std().item() == pytest.approx(0.5, rel=0.05)
    assert noise[1].mean().item() == pytest.approx(0, abs=0.03)


def photo(height: int, width: int) -> NDArray[np.uint8]:
    """Something with edges and texture, red, green, blue."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, height, width)) + 2 * rng.normal(size=(1, height, width))
    texture = sum(ndimage.gaussian_filter(noise, (0, s, s)) * s for s in (1, 3, 8))
    roofs = np.kron(rng.integers(-60, 60, (3, height // 12 + 1, width // 12 + 1)), np.ones((1, 12, 12)))
    picture = 120 + 25 * texture / texture.std() + roofs[:, :height, :width]
    return picture.clip(0, 255).astype(np.uint8)


def through_a_file(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def decibel(first: NDArray[np.number], second: NDArray[np.number]) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def opened(picture: NDArray[np.uint8], quality: int) -> NDArray[np.float32]:
    """A picture of the window's size after the change, as values of 0 to 255."""
    one = sample(replace(PLAIN, quality=quality))
    x, _ = made(replace(one, pixels=picture), scaling=UNSCALED)
    return x[0].numpy()


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_jpeg_is_nearly_what_a_file_would_hold(quality: int) -> None:
    """kornia rounds softly, so up to 2.5 dB more is kept than by libjpeg."""
    picture = photo(WINDOW, WINDOW)
    expected = through_a_file(picture, quality)

    found = opened(picture, quality)

    assert np.abs(found - expected).mean() < 6.5
    assert -0.5 < decibel(picture, found) - decibel(picture, expected) < 2.5
    assert np.array_equal(found, found.round())


def test_a_lower_quality_loses_more() -> None:
    picture = photo(WINDOW, WINDOW)

    kept = [decibel(picture, opened(picture, quality)) for quality in (10, 30, 50, 75, 95)]

    assert kept == sorted(kept)
    assert kept[-1] > kept[0] + 8


def test_light_is_clipped_to_bytes_where_it_is_compressed() -> None:
    one = sample(replace(PLAIN, gain=1.7, offset=(0.3, 0.2, 0.1), quality=95))

    x, _ = made(one)

    lit, _ = made(replace(one, change=replace(one.change, quality=0)))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (SCALING.mean, SCALING.std))
    assert (lit[0] * std + mean).max() > 300
    assert (x[0] * std + mean).max() <= 255.001


def test_a_missing_channel_is_0_and_the_others_are_as_they_were() -> None:
    one = sample(replace(PLAIN, dropped=1))

    x, _ = made(one)

    plain, _ = made(replace(one, change=PLAIN))
    assert torch.all(x[0, 1] == 0)
    assert torch.equal(x[0, [0, 2]], plain[0, [0, 2]])


# Two samples in one.

DONOR = replace(PLAIN, gain=0.9, offset=(0.3, 0.2, 0.1))


def mixed(mix: Mix, change: Change = PLAIN, donor: Change = DONOR) -> list[tuple[Tensor, Tensor]]:
    """The mixture, and both of what it is made of."""
    one, other = sample(change), sample(donor, seed=1)
    return [
        (x[0], labels[0]) for x, labels in (made(replace(one, mix=mix, donor=other)), made(one), made(other))
    ]


@pytest.mark.parametrize(("change", "donor"), [(PLAIN, DONOR), (EVERYTHING, DONOR), (PLAIN, EVERYTHING)])
def test_a_rectangle_comes_from_the_donor_and_the_rest_is_untouched(change: Change, donor: Change) -> None:
    (x, labels), (own, own_labels), (given, given_labels) = mixed(
        Mix(top=0.25, left=0.5, bottom=0.75, right=1), change, donor
    )

    inside = torch.zeros(WINDOW, WINDOW, dtype=torch.bool)
    inside[8:24, 16:] = True
    assert torch.equal(x, torch.where(inside, given, own))
    assert torch.equal(labels, torch.where(inside, given_labels, own_labels))


@pytest.mark.parametrize("classes", [(1,), (0, 3), (4, 200)])
def test_pasting_takes_the_pixels_of_its_classes_and_no_others(classes: tuple[int, ...]) -> None:
    (x, labels), (own, own_labels), (given, given_labels) = mixed(Mix(classes=classes))

    pasted = torch.from_numpy(np.isin(given_labels, classes))
    assert 0 < pasted.float().mean() < 1
    assert torch.equal(x, torch.where(pasted, given, own))
    assert torch.equal(labels, torch.where(pasted, given_labels, own_labels))


@pytest.mark.parametrize("mix", [Mix(classes=(77,)), Mix(top=0.4, bottom=0.4), Mix(top=0.99, left=0.99)])
def test_where_nothing_is_taken_the_sample_is_untouched(mix: Mix) -> None:
    mixture, own, _ = mixed(mix)

    assert equal(mixture, own)


def test_only_samples_are_learnt_from_and_each_has_its_own_donor() -> None:
    samples = [
        sample(PLAIN, seed=number, mix=Mix(), donor=sample(PLAIN, seed=10 + number)) for number in range(2)
    ]

    x, labels = made(sample(PLAIN, seed=5), *samples)

    expected = made(*(sample(PLAIN, seed=seed) for seed in (5, 10, 11)))
    assert equal((x, labels), expected)
    assert isinstance(stack_samples(samples), Batch)
