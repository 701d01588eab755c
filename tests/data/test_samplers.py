"""Samples: functions of (seed, number), cut from the right place, labelled where they ought to be."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from rsseg.data.augment import ORIENTATIONS, turn
from rsseg.data.options import SAMPLINGS, AugmentOptions, SampleOptions
from rsseg.data.places import LabelledPixels, LabelledWindows
from rsseg.data.samplers import Sample, Sampler
from rsseg.data.scenes import Scene, open_dataset, plan_dataset
from rsseg.errors import OptionError
from rsseg.tiling import Window
from tests.data.labelled import brightest, replace_label, square, write_classes, write_features, write_tiles
from tests.making import random_pixels, write_raster

SPLIT = {"train": ["a", "b"], "val": ["c"]}
PLAIN = AugmentOptions(contrast=0, brightness=0, colour=0)
STILL = AugmentOptions(turns="none")
WARPED = AugmentOptions(zoom=2, rotation=30)

UNLIKELY = 1e-3
"""The chance of a fair draw to be refused; seeds are fixed, so it either passes for ever or shows a mistake."""


@contextmanager
def sampler(data: Path, **options: object) -> Iterator[Sampler]:
    with open_dataset(plan_dataset(data)) as dataset:
        yield Sampler(dataset, SampleOptions(**{"window": 16, **options}))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)


def same(a: Sample | None, b: Sample | None) -> bool:
    if a is None or b is None:
        return a is b
    arrays = ("pixels", "valid", "labels")
    drawn = ("zoom", "angle", "gain", "seed")
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
        and all(getattr(a.change, name) == getattr(b.change, name) for name in drawn)
        and a.mix == b.mix
        and same(a.donor, b.donor)
    )


def label_few(folder: Path, **pixels: list[tuple[int, int, int]]) -> None:
    """Label nothing of a tile but pixels: (class, col, row)."""
    for name, labelled in pixels.items():
        label = np.full((40, 48), 255, np.uint8)
        for class_id, col, row in labelled:
            label[row, col] = class_id
        replace_label(folder, name, label)


def middles(drawn: Sampler, count: int) -> Counter[int]:
    """The classes of the middle pixels of samples."""
    samples = map(drawn.sample, range(count))
    return Counter(int(s.labels[s.labels.shape[0] // 2, s.labels.shape[1] // 2]) for s in samples)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(
    "augment", [PLAIN, WARPED, AugmentOptions(cutmix=0.5, paste=0.5, paste_classes=("red",))]
)
def test_samples_do_not_depend_on_threads_or_order(
    folder: Path, sampling: str, augment: AugmentOptions
) -> None:
    numbers = range(40)
    with sampler(folder, sampling=sampling, augment=augment) as one:
        expected = [one.sample(number) for number in numbers]

    with sampler(folder, sampling=sampling, augment=augment) as other, ThreadPoolExecutor(4) as pool:
        backwards = list(pool.map(other.sample, reversed(numbers)))

    assert all(same(a, b) for a, b in zip(expected, reversed(backwards), strict=True))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_seed_and_number_both_change_the_sample(folder: Path, sampling: str) -> None:
    with sampler(folder, sampling=sampling) as base, sampler(folder, sampling=sampling, seed=1) as other:
        first = base.sample(0)

        assert not same(first, base.sample(1))
        assert not same(first, other.sample(0))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_labels_turn_with_their_pixels(folder: Path, sampling: str) -> None:
    with sampler(folder, sampling=sampling, augment=WARPED) as drawn:
        samples = [drawn.sample(number) for number in range(30)]

    for sample in samples:
        labelled = sample.labels != 255
        assert np.array_equal(sample.labels[labelled], brightest(sample.pixels)[0][labelled])
        assert labelled.any()


def test_a_sample_is_a_window_of_the_image_in_one_of_eight_orientations(folder: Path) -> None:
    with sampler(folder, augment=PLAIN) as drawn:
        sample = drawn.sample(0)

    images = np.stack([random_pixels(40, 48, seed=seed) for seed in (0, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(images, (16, 16), axis=(2, 3))
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    assert any((windows == turn(sample.pixels, o)).all(axis=(3, 4, 5)).any() for o in range(ORIENTATIONS))
    assert sample.valid.all()
    assert sample.change.gain == 1


def test_zoom_and_rotation_read_a_larger_square_around_the_same_pixel(tmp_path: Path) -> None:
    """Tiles so large that no square of the middle is shifted."""
    folder = write_tiles(tmp_path / "d", size=(200, 200), split=SPLIT)
    label = np.full((200, 200), 255, np.uint8)
    label[90:110, 90:110] = brightest(random_pixels(200, 200, seed=0))[0][90:110, 90:110]
    replace_label(folder, "a", label)
    replace_label(folder, "b", np.full_like(label, 255))

    with sampler(folder, window=15, augment=AugmentOptions(zoom=2, rotation=45, turns="none")) as drawn:
        samples = [drawn.sample(number) for number in range(40)]

    sides = {sample.pixels.shape[-1] for sample in samples}
    assert all(s.pixels.shape[-1] == s.change.read_side(15) for s in samples)
    assert min(sides) < 15 < 30 < max(sides)
    assert all(s.labels[s.labels.shape[0] // 2, s.labels.shape[0] // 2] != 255 for s in samples)


def test_every_labelled_pixel_is_equally_likely_to_be_in_the_middle(folder: Path) -> None:
    label_few(folder, a=[(0, 20, 20), (1, 30, 20)], b=[(2, 20, 30), (2, 30, 30)])

    with sampler(folder, window=3) as drawn:
        counts = middles(drawn, 800)

    assert set(counts) == {0, 1, 2}
    assert chisquare([counts[n] for n in range(3)], [200, 200, 400]).pvalue > UNLIKELY


def test_balanced_samples_have_each_class_in_the_middle_equally_often(folder: Path) -> None:
    """One pixel of red, two of green, hundreds of blue."""
    label = np.full((40, 48), 2, np.uint8)
    label[20, 20] = 0
    replace_label(folder, "a", label)
    label_few(folder, b=[(1, 10, 10), (1, 40, 30)])

    with sampler(folder, window=3, sampling="balanced", augment=STILL) as drawn:
        whole = middles(drawn, 900)

    # Squares at the edge are shifted, so their middle is another pixel, of blue.
    assert chisquare([whole[n] for n in range(3)], [300, 300, 300]).pvalue > UNLIKELY


def test_balance_leaves_out_classes_that_train_does_not_show(folder: Path) -> None:
    label_few(folder, a=[(0, 20, 20)], b=[(2, 10, 10), (2, 30, 30)])

    with sampler(folder, window=3, sampling="balanced") as drawn:
        counts = middles(drawn, 400)

    assert set(counts) == {0, 2}
    assert chisquare([counts[0], counts[2]]).pvalue > UNLIKELY


@pytest.mark.parametrize(("sampling", "reds"), [("area", 0.75 * 1 + 0.25 * 0.5), ("balanced", 0.5)])
def test_weights_of_scenes_count_within_the_area_and_within_each_class(
    tmp_path: Path, sampling: str, reds: float
) -> None:
    """Scene a, of weight 3, has one red pixel and b, of weight 1, a red and a blue one: reds of a are 6 times b's."""
    folder = write_tiles(tmp_path / "d")
    label_few(folder, a=[(0, 20, 20)], b=[(0, 10, 10), (2, 30, 30)], c=[(0, 1, 1)])
    entry = '[[{}]]\nimage = "d/images/{}.tif"\nlabels = "d/labels/{}.tif"\n'
    rows = [entry.format("train", n, n) + f"weight = {w}\n" for n, w in (("a", 3), ("b", 1))]
    (tmp_path / "m.toml").write_text(
        'classes = "d/classes.json"\n' + "".join(rows) + entry.format("val", "c", "c")
    )

    with sampler(tmp_path / "m.toml", window=3, sampling=sampling, augment=STILL) as drawn:
        samples = [drawn.sample(number) for number in range(600)]

    red = [s for s in samples if s.labels[1, 1] == 0]
    from_a = sum(np.array_equal(s.pixels, random_pixels(40, 48, seed=0)[:, 19:22, 19:22]) for s in red)
    assert chisquare([len(red), 600 - len(red)], [600 * reds, 600 * (1 - reds)]).pvalue > UNLIKELY
    assert chisquare([from_a, len(red) - from_a], np.array([6, 1]) / 7 * len(red)).pvalue > UNLIKELY


def places(samples: list[Sample], images: list[NDArray[np.uint8]]) -> list[tuple[int, int, int]]:
    """Number of the image, row and column of each sample's first pixel, found by its noise."""
    found = []
    for sample in samples:
        col_hits = [np.argwhere((image == sample.pixels[:, :1, :1]).all(axis=0)) for image in images]
        side = sample.pixels.shape[-1]
        found += [
            (number, int(row), int(col))
            for number, hits in enumerate(col_hits)
            for row, col in hits
            if np.array_equal(images[number][:, row : row + side, col : col + side], sample.pixels)
        ]
    return found


def test_a_pass_over_the_grid_teaches_every_labelled_pixel_once(folder: Path) -> None:
    """Sides of 40 and 48 are no multiples of 19, and labels have holes."""
    images = [random_pixels(40, 48, seed=seed) for seed in (0, 1)]
    rng = np.random.default_rng(3)
    labels = [
        np.where(rng.random((40, 48)) < 0.4, 255, brightest(image)[0]).astype(np.uint8) for image in images
    ]
    labels[1][:, :30] = 255
    for name, label in zip("ab", labels, strict=True):
        replace_label(folder, name, label)
    learnt = np.zeros((2, 40, 48), np.int64)

    with sampler(folder, window=19, sampling="grid", augment=STILL) as drawn:
        samples = [drawn.sample(number) for number in range(9 + 6)]
        later = drawn.sample(15)

    for sample, (image, row, col) in zip(samples, places(samples, images), strict=True):
        learnt[image, row : row + 19, col : col + 19] += sample.labels != 255
    assert np.array_equal(learnt, np.stack(labels) != 255)
    assert any(np.array_equal(later.pixels, sample.pixels) for sample in samples)


def test_a_window_of_the_grid_keeps_all_labels_of_the_larger_square_it_is_cut_from(tmp_path: Path) -> None:
    """Where the square is not shifted: around the middle one of nine windows."""
    folder = write_tiles(tmp_path / "d", size=(96, 96), split=SPLIT)
    images = [random_pixels(96, 96, seed=seed) for seed in (0, 1)]

    with sampler(folder, window=32, sampling="grid", augment=AugmentOptions(zoom=2, turns="none")) as drawn:
        samples = [drawn.sample(number) for number in range(4 * 18)]

    inside = [s for s in samples if s.valid.all()]
    corners = zip(inside, places(inside, images), strict=True)
    middle = [s for s, (_, row, col) in corners if row == col == 48 - s.pixels.shape[-1] // 2]
    assert len(middle) == 8
    assert {s.pixels.shape[-1] > 32 for s in middle} == {True, False}
    assert all((s.labels != 255).all() for s in middle)


def test_the_grid_says_that_weights_do_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiles(tmp_path / "d")
    entry = '[[{0}]]\nimage = "d/images/{1}.tif"\nlabels = "d/labels/{1}.tif"\n'
    rows = entry.format("train", "a") + "weight = 2\n" + entry.format("val", "b")
    (tmp_path / "m.toml").write_text('classes = "d/classes.json"\n' + rows)

    with caplog.at_level(logging.WARNING, "rsseg"), sampler(tmp_path / "m.toml", sampling="grid"):
        pass

    assert "the weights of scenes do not count" in caplog.text


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_what_is_pasted_is_in_the_donor(folder: Path, sampling: str) -> None:
    """A single red pixel in all of train: a donor drawn by area would hardly ever show it."""
    for name in "ab":
        label = brightest(random_pixels(40, 48, seed="ab".index(name)))[0]
        label[label == 0] = 1
        if name == "b":
            label[30, 30] = 0
        replace_label(folder, name, label)

    pasting = AugmentOptions(paste=1, paste_classes=("red",))
    with sampler(folder, window=5, sampling=sampling, augment=pasting) as drawn:
        samples = [drawn.sample(number) for number in range(20)]

    assert all(s.mix is not None and s.mix.classes == (0,) for s in samples)
    assert all(s.donor is not None and (s.donor.labels == 0).sum() == 1 for s in samples)


def test_a_rectangle_comes_from_any_labelled_place(folder: Path) -> None:
    with sampler(folder, augment=AugmentOptions(cutmix=1)) as drawn:
        samples = [drawn.sample(number) for number in range(10)]

    assert all(s.donor is not None and not np.array_equal(s.pixels, s.donor.pixels) for s in samples)
    assert all(s.donor is not None and s.donor.donor is None for s in samples)


def test_a_class_to_paste_that_train_does_not_show_is_refused(folder: Path) -> None:
    label_few(folder, a=[(0, 20, 20)], b=[(2, 10, 10)])

    with (
        pytest.raises(OptionError, match="paste classes have green, of which train has no pixel"),
        sampler(folder, augment=AugmentOptions(paste=0.1, paste_classes=("red", "green"))),
    ):
        pass


def test_changes_that_do_not_fit_the_images_are_refused(folder: Path) -> None:
    for name in "abc":
        write_raster(folder / "images" / f"{name}.tif", random_pixels(40, 48).astype(np.uint16))

    with pytest.raises(OptionError, match="jpeg"), sampler(folder, augment=AugmentOptions(jpeg=50)):
        pass


def test_windows_are_shifted_into_the_raster(folder: Path) -> None:
    with sampler(folder, window=40) as drawn:
        samples = [drawn.sample(number) for number in range(20)]

    assert all(s.valid.all() and (s.labels != 255).all() for s in samples)


BENT = [
    AugmentOptions(turns=turns, rotation=rotation, zoom=zoom)
    for turns, rotation, zoom in [("none", 45, 1.0), ("all", 180, 1.0), ("all", 45, 1.4), ("all", 0, 2.0)]
]


def seen(sample: Sample, window: int) -> NDArray[np.bool_]:
    """Which pixels of the square that was read have their middle in the zoomed and rotated sample."""
    side, angle = sample.labels.shape[-1], math.radians(sample.change.angle)
    offsets = np.arange(side) - (side - 1) / 2
    right, down = offsets[None, :], offsets[:, None]
    cols = math.cos(angle) * right + math.sin(angle) * down
    rows = math.cos(angle) * down - math.sin(angle) * right
    seen: NDArray[np.bool_] = np.maximum(np.abs(cols), np.abs(rows)) <= window * sample.change.zoom / 2
    return seen


@pytest.mark.parametrize("augment", BENT)
@pytest.mark.parametrize("window", [16, 25])
def test_corners_are_shown_as_often_as_the_middle(
    tmp_path: Path, augment: AugmentOptions, window: int
) -> None:
    """Three labelled pixels, so far apart that no sample shows two."""
    folder = write_tiles(tmp_path / "d", size=(170, 170), split=SPLIT)
    for name in "ab":
        label = np.full((170, 170), 255, np.uint8)
        label[[0, 169, 85], [0, 169, 85]] = 0, 1, 2
        replace_label(folder, name, label)

    with sampler(folder, window=window, augment=augment) as drawn:
        samples = [drawn.sample(number) for number in range(150)]

    shown = [s.labels[seen(s, window) & (s.labels != 255)].tolist() for s in samples]
    assert {len(ids) for ids in shown} == {1}
    counts = Counter(ids[0] for ids in shown)
    assert chisquare([counts[n] for n in range(3)]).pvalue > UNLIKELY


def note_draws(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """The pixels that are drawn from now on: number of the tile, column and row."""
    drawn: list[tuple[int, int, int]] = []
    draw = LabelledPixels.draw

    def noted(self: LabelledPixels, rng: np.random.Generator) -> tuple[Scene, int, int]:
        scene, col, row = draw(self, rng)
        drawn.append(("abc".index(Path(scene.image.path).stem), col, row))
        return scene, col, row

    monkeypatch.setattr(LabelledPixels, "draw", noted)
    return drawn


@pytest.mark.parametrize("augment", BENT)
def test_every_drawn_pixel_is_in_its_sample(
    folder: Path, augment: AugmentOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rasters that are labelled all over and hardly larger than the window; a pixel is known by its noise."""
    images = [random_pixels(40, 48, seed=seed) for seed in (0, 1)]
    pixels = note_draws(monkeypatch)

    with sampler(folder, window=32, augment=augment) as drawn:
        samples = [drawn.sample(number) for number in range(300)]

    for sample, (image, col, row) in zip(samples, pixels, strict=True):
        here = (sample.pixels == images[image][:, row, col, None, None]).all(axis=0)
        assert (here & (sample.labels != 255) & seen(sample, 32)).any()


@pytest.mark.parametrize("window", [9, 16, 40])
def test_a_sample_without_zoom_or_rotation_is_the_square_around_its_pixel_that_lies_in_the_raster(
    folder: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [random_pixels(40, 48, seed=seed) for seed in (0, 1)]
    pixels = note_draws(monkeypatch)

    with sampler(folder, window=window, augment=STILL) as drawn:
        samples = [drawn.sample(number) for number in range(60)]

    for sample, (image, col, row) in zip(samples, pixels, strict=True):
        left, top = np.clip([col - window // 2, row - window // 2], 0, [48 - window, 40 - window])
        assert np.array_equal(sample.pixels, images[image][:, top : top + window, left : left + window])


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_window_of_the_grid_is_in_its_sample_but_for_corners_that_rotation_cuts_off(
    folder: Path, zoom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 16 x 20 px, all of them at the border."""
    reads: list[Window] = []
    augment = AugmentOptions(rotation=180, zoom=zoom, turns="none")
    with open_dataset(plan_dataset(folder)) as data:
        drawn = Sampler(data, SampleOptions(window=20, sampling="grid", augment=augment))
        for scene in data.train:
            read = scene.image.read
            monkeypatch.setattr(
                scene.image, "read", lambda window, read=read: (reads.append(window), read(window))[1]
            )
        samples = [drawn.sample(number) for number in range(5 * 12)]
        grid = LabelledWindows(data.train, side=20, seed=0)
        owns = [grid.window(number)[1] for number in range(5 * 12)]

    for sample, own, read in zip(samples, owns, reads, strict=True):
        # What lies so near to the middle of the window is shown at any angle.
        far = math.floor((20 * sample.change.zoom / math.sqrt(2) - 1) / 2)
        core = Window(own.col_off + own.width // 2, own.row_off + own.height // 2, 0, 0).expanded(far)
        kept = core.intersection(own).slices(read)
        assert (seen(sample, 20) & (sample.labels != 255))[kept].all()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_raster_smaller_than_the_window_is_surrounded_by_nothing(folder: Path, sampling: str) -> None:
    with sampler(folder, window=64, sampling=sampling) as drawn:
        samples = [drawn.sample(number) for number in range(8)]

    for sample in samples:
        assert sample.pixels.shape == (3, 64, 64)
        assert sample.valid.sum() == 40 * 48
        assert np.array_equal(sample.labels == 255, ~sample.valid)


def test_a_small_raster_is_moved_so_that_the_pixel_is_near_the_middle(folder: Path) -> None:
    """A labelled pixel at the left edge of 48 columns, and one at the right, in a window of 64."""
    label_few(folder, a=[(0, 0, 20)], b=[(1, 47, 20)])

    with sampler(folder, window=64, augment=STILL) as drawn:
        samples = [drawn.sample(number) for number in range(20)]

    starts = {int(s.labels.min()): int(np.flatnonzero(s.valid.any(axis=0))[0]) for s in samples}
    assert starts == {0: 16, 1: 0}


def test_nothing_is_learnt_from_invalid_pixels(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        pixels = random_pixels(40, 48, seed=seed)
        pixels[:, :, ::3] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)

    with sampler(folder) as drawn:
        sample = drawn.sample(0)

    assert 0 < (~sample.valid).sum() < sample.valid.size
    assert np.array_equal(sample.labels == 255, ~sample.valid)


def test_windows_with_hardly_anything_to_learn_are_drawn_again(folder: Path) -> None:
    for seed, name in enumerate("ab"):
        pixels = random_pixels(40, 48, seed=seed)
        pixels[:, :, 24:] = 0
        write_raster(folder / "images" / f"{name}.tif", pixels, nodata=0)

    with sampler(folder) as drawn:
        shares = [(drawn.sample(number).labels != 255).mean() for number in range(60)]

    assert min(shares) >= 0.05


def test_what_lies_outside_a_small_raster_does_not_count_as_unlabelled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a window of 200 the raster is less than the share that is asked for, and yet it is read once only."""
    with open_dataset(plan_dataset(folder)) as data:
        drawn = Sampler(data, SampleOptions(window=200))
        reads: list[object] = []
        for scene in data.train:
            read = scene.image.read
            monkeypatch.setattr(
                scene.image, "read", lambda window, read=read: (reads.append(window), read(window))[1]
            )
        sample = drawn.sample(0)

    assert (sample.labels != 255).mean() < 0.05
    assert len(reads) == 1


def test_a_sample_is_given_even_where_nothing_better_is_found(folder: Path) -> None:
    label_few(folder, a=[(1, 20, 20)], b=[(1, 20, 20)])

    with sampler(folder) as drawn:
        assert (drawn.sample(0).labels != 255).sum() == 1


STORED = {
    "tiled uint8": (np.uint8, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}),
    "tiled uint16": (np.uint16, {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}),
    "striped uint8": (np.uint8, {"blockysize": 3, "compress": "deflate", "interleave": "pixel"}),
    "striped float32": (np.float32, {"blockysize": 1, "interleave": "band"}),
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_threads_read_the_right_pixels_of_large_rasters(tmp_path: Path, stored: str, sampling: str) -> None:
    """A raster so wide that its strips would be read as swaths, labels by polygons in an area; eight threads."""
    dtype, profile = STORED[stored]
    height, width, side = 90, 2300, 24
    pixels = random_pixels(height, width).astype(dtype) * dtype(1.5 if dtype == np.float32 else 1)
    write_raster(tmp_path / "wide.tif", pixels, **profile)
    write_features(tmp_path / "ponds.geojson", *(square(60 * n, 20, 30) for n in range(38)))
    write_features(tmp_path / "train.geojson", square(0, 0, 1200))
    write_features(tmp_path / "val.geojson", square(1200, 0, 1100))
    write_classes(tmp_path, ["background", "pond"])
    rules = 'image = "wide.tif"\nlabels = "ponds.geojson"\nclass = "pond"\nunlabelled = "background"\n'
    (tmp_path / "m.toml").write_text(
        'classes = "classes.json"\n'
        + "".join(f'[[{part}]]\n{rules}aoi = "{part}.geojson"\n' for part in ("train", "val"))
    )
    labels = np.zeros((height, width), np.uint8)
    for n in range(38):
        labels[20:50, 60 * n : 60 * n + 30] = 1
    labels[:, 1200:] = 255
    numbers = range(120)

    with sampler(tmp_path / "m.toml", window=side, sampling=sampling, augment=STILL) as one:
        expected = [one.sample(number) for number in numbers]
    several = sampler(tmp_path / "m.toml", window=side, sampling=sampling, augment=STILL)
    with several as many, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(many.sample, numbers))

    assert all(same(a, b) for a, b in zip(expected, found, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(pixels[0], (side, side))
    for sample in expected:
        [(row, col)] = np.argwhere((windows[:, :, ::7, ::7] == sample.pixels[0, ::7, ::7]).all(axis=(2, 3)))
        shown = np.s_[row : row + side, col : col + side]
        learnt = sample.labels != 255
        assert sample.pixels.dtype == dtype
        assert np.array_equal(pixels[:, *shown], sample.pixels)
        assert np.array_equal(sample.labels[learnt], labels[shown][learnt])
        assert learnt.any()
        assert sampling == "grid" or np.array_equal(sample.labels, labels[shown])


@pytest.mark.parametrize("options", [{"window": 0}, {"seed": -1}])
def test_options_outside_their_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))} is"):
        SampleOptions(**options)  # type: ignore[arg-type]


def test_an_unknown_sampling_is_refused() -> None:
    with pytest.raises(OptionError, match="sampling is 'fair'; expected one of area, balanced, grid"):
        SampleOptions(sampling="fair")
