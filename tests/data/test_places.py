"""Places of samples: pixels that are drawn as likely as they should be, windows that leave nothing out."""

from __future__ import annotations

from collections import Counter
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.stats import chisquare

from rsseg.data.cells import CELL
from rsseg.data.places import LabelledPixels, LabelledWindows
from rsseg.data.scenes import Scene
from tests.data.labelled import LabelsInMemory, scene_of

UNLIKELY = 1e-3
"""The chance of a fair draw to be refused; seeds are fixed, so it either passes for ever or shows a mistake."""


def few_labels(seed: int) -> NDArray[np.uint8]:
    """Labels of three classes on some twenty pixels of a raster of six cells."""
    rng = np.random.default_rng(seed)
    ids = np.full((200, 300), 255, np.uint8)
    for class_id, count in enumerate((12, 6, 2)):
        ids[rng.integers(200, size=count), rng.integers(300, size=count)] = class_id
    return ids


def drawn(
    scenes: list[Scene], densities: list[float], class_id: int | None, count: int
) -> Counter[tuple[int, ...]]:
    """How often each pixel was drawn: the number of its scene, its column and its row."""
    pixels = LabelledPixels(scenes, np.array(densities), class_id=class_id)
    rng = np.random.default_rng(7)
    return Counter((scenes.index(s), col, row) for s, col, row in (pixels.draw(rng) for _ in range(count)))


@pytest.mark.parametrize("class_id", [None, 0, 1, 2])
@pytest.mark.parametrize("density", [1.0, 4.0])
def test_pixels_are_drawn_as_likely_as_their_scenes_say(class_id: int | None, density: float) -> None:
    scenes = [scene_of(few_labels(seed)) for seed in range(3)]
    found = [s.labels.ids != 255 if class_id is None else s.labels.ids == class_id for s in scenes]  # type: ignore[attr-defined]
    places = [(n, int(col), int(row)) for n, mask in enumerate(found) for row, col in np.argwhere(mask)]
    weights = np.array([density if n == 1 else 1.0 for n, _, _ in places])

    counts = drawn(scenes, [1.0, density, 1.0], class_id, 3000)

    assert set(counts) <= set(places)
    expected = 3000 * weights / weights.sum()
    assert chisquare([counts[place] for place in places], expected).pvalue > UNLIKELY


def test_the_test_of_likelihood_notices_a_wrong_one() -> None:
    """The same draws, judged as if the second scene counted a third more than it does."""
    scenes = [scene_of(few_labels(seed)) for seed in range(2)]
    counts = drawn(scenes, [1.0, 1.0], None, 3000)
    sizes = np.array([scenes[0].class_pixels.sum(), scenes[1].class_pixels.sum()], dtype=float)
    by_scene = [sum(count for place, count in counts.items() if place[0] == n) for n in (0, 1)]

    def pvalue(weights: NDArray[np.float64]) -> float:
        return float(chisquare(by_scene, 3000 * weights / weights.sum()).pvalue)

    assert pvalue(sizes) > UNLIKELY > pvalue(sizes * [1, 1.33])


def test_a_cell_that_holds_nothing_else_is_not_read() -> None:
    ids = np.zeros((2 * CELL, CELL), np.uint8)
    ids[CELL + 3, 5] = 255
    scene = scene_of(ids)
    pixels = LabelledPixels([scene], np.ones(1), class_id=None)
    rng = np.random.default_rng(0)

    rows = [pixels.draw(rng)[2] for _ in range(100)]

    reads = cast(LabelsInMemory, scene.labels).reads
    assert reads == sum(row >= CELL for row in rows)
    assert 20 < reads < 80


def test_their_number_is_known() -> None:
    scenes = [scene_of(few_labels(seed)) for seed in range(2)]

    assert len(LabelledPixels(scenes, np.ones(2), class_id=1)) == sum(int(s.class_pixels[1]) for s in scenes)


some_labels = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 255, 255])
)


@given(some_labels, some_labels, st.integers(1, 60), st.integers(1, 200), st.integers(0, 3))
def test_each_pass_shows_every_labelled_pixel_once(
    first: NDArray[np.uint8], second: NDArray[np.uint8], scale: int, side: int, turn: int
) -> None:
    scenes = [scene_of(ids.repeat(scale, 0).repeat(scale, 1)) for ids in (first, second)]
    windows = LabelledWindows(scenes, side=max(side, scale // 4 + 1), seed=1)
    shown = [np.zeros((s.image.grid.height, s.image.grid.width), np.uint8) for s in scenes]

    for number in range(turn * len(windows), (turn + 1) * len(windows)):
        scene, window = windows.window(number)
        which = next(n for n, s in enumerate(scenes) if s is scene)
        shown[which][window.slices()] += 1
        assert max(window.width, window.height) <= max(side, scale // 4 + 1)
        assert (scene.labels.read(window) != 255).any()

    for seen, scene in zip(shown, scenes, strict=True):
        assert seen.max(initial=0) <= 1
        assert (seen[scene.labels.read(scene.labels.grid.window) != 255] == 1).all()


def test_windows_of_a_raster_are_nearly_alike() -> None:
    windows = LabelledWindows([scene_of(np.zeros((300, 520), np.uint8))], side=256, seed=0)

    sizes = Counter((w.width, w.height) for _, w in map(windows.window, range(len(windows))))

    assert sizes == {(173, 150): 4, (174, 150): 2}


def test_each_pass_has_another_order_and_any_number_can_be_asked_for_at_any_time() -> None:
    scenes = [scene_of(np.zeros((160, 160), np.uint8))]
    windows = LabelledWindows(scenes, side=16, seed=0)
    count = len(windows)
    in_order = [windows.window(n)[1] for n in range(3 * count)]

    again = LabelledWindows(scenes, side=16, seed=0)
    backwards = [again.window(n)[1] for n in reversed(range(3 * count))]
    other = [LabelledWindows(scenes, side=16, seed=1).window(n)[1] for n in range(count)]

    assert count == 100
    assert backwards[::-1] == in_order
    assert len({tuple(in_order[p * count : (p + 1) * count]) for p in range(3)} | {tuple(other)}) == 4


def test_labels_are_read_only_where_cells_do_not_tell() -> None:
    """A square of 4 x 4 full cells and a single pixel: windows of 64 px need the labels around the pixel only."""
    ids = np.full((6 * CELL, 6 * CELL), 255, np.uint8)
    ids[: 4 * CELL, : 4 * CELL] = 0
    ids[5 * CELL + 70, 10] = 1
    scene = scene_of(ids)

    windows = LabelledWindows([scene], side=64, seed=0)

    assert len(windows) == 64 + 1
    assert cast(LabelsInMemory, scene.labels).reads == 4
