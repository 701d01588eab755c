"""The synthetic world: laws of its plan, its painting and its light. Files are tested in test_synthetic_files.py."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsseg.classes import NODATA_CLASS
from rsseg.data.synthetic import LANDCOVER, Rendering, Scene, render_window
from rsseg.data.synthetic.blocks import block_bounds, build_block
from rsseg.data.synthetic.camera import add_noise, blur, jpeg
from rsseg.data.synthetic.canvas import TREE_HEIGHT, Canvas, tree_stamps
from rsseg.data.synthetic.layers import Block, Layer, Tree
from rsseg.data.synthetic.light import Sun, develop, shadows, sun_of
from rsseg.data.synthetic.noise import TABLE_PERIOD, hashed, smooth_noise, texture
from rsseg.data.synthetic.palette import BARE, BUILDING, CAR, LOW_VEGETATION, TREE, WATER, Paint
from rsseg.data.synthetic.plots import Rect
from rsseg.data.synthetic.render import paint_window, sunward
from rsseg.data.synthetic.roofs import TALLEST_M
from rsseg.data.synthetic.shapes import Quad, box, disc, polygon
from rsseg.data.synthetic.streets import block_frame, block_range
from rsseg.errors import OptionError
from rsseg.tiling import Window

SCENE = Scene(width=560, height=540, seed=5, gsd_m=0.2)
SOIL = Paint((100.0, 90.0, 80.0), BARE)
ROOF = Paint((150.0, 150.0, 150.0), BUILDING)

seeds = st.integers(0, 2**32 - 1)
places = st.integers(-30, 30)


@pytest.fixture(scope="module")
def whole() -> Rendering:
    return render_window(SCENE, Window.whole(SCENE.width, SCENE.height))


@settings(max_examples=15, deadline=None)
@given(st.integers(-40, 559), st.integers(-40, 539), st.integers(1, 64), st.integers(1, 64))
def test_a_window_is_the_cut_out_of_the_whole(
    whole: Rendering, col: int, row: int, width: int, height: int
) -> None:
    window = Window(col, row, width, height)
    inside = window.intersection(Window.whole(SCENE.width, SCENE.height))

    made = render_window(SCENE, window)

    part, there = inside.slices(window), inside.slices()
    assert (made.rgb[:, *part] == whole.rgb[:, *there]).all()
    assert (made.label[part] == whole.label[there]).all()
    assert (made.valid[part] == whole.valid[there]).all()
    assert made.valid.sum() == whole.valid[there].sum(), "outside the scene nothing is valid"


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(-3000, 3000), st.integers(-3000, 3000), st.integers(0, 24), st.integers(0, 24))
def test_what_is_painted_does_not_depend_on_the_window(seed: int, col: int, row: int, x: int, y: int) -> None:
    scene, sun = Scene(seed=seed), sun_of(seed)
    large, small = Window(col, row, 64, 64), Window(col + x, row + y, 40, 40)

    one, other = paint_window(scene, large, sun=sun), paint_window(scene, small, sun=sun)

    part = small.slices(large)
    assert (one.tables().colors[one.surface[part]] == other.tables().colors[other.surface]).all()
    assert (one.height[part] == other.height).all()
    assert (one.detail[part] == other.detail).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(1400, 2500), st.integers(1400, 2500))
def test_light_and_shadow_do_not_depend_on_the_window(col: int, row: int) -> None:
    scene, sun = Scene(seed=1), sun_of(1)
    large, small = Window(col - 40, row - 40, 130, 140), Window(col, row, 48, 48)

    one, other = (
        develop(paint_window(scene, sunward(w, sun, scene.gsd_m), sun=sun), w, sun, seed=1)
        for w in (large, small)
    )

    part = small.slices(large)
    assert (one[0][:, *part] == other[0]).all()
    assert (one[1][part] == other[1]).all()


@pytest.mark.parametrize("corner", [(2000, 2000), (1400, 2300), (2500, 1500)])
def test_solid_labels_equal_those_of_the_slow_obvious_way(corner: tuple[int, int]) -> None:
    scene, sun = Scene(seed=1), sun_of(1)
    window = Window(*corner, 64, 64)
    canvas = paint_window(scene, window, sun=sun)
    label = canvas.tables().labels[canvas.surface]

    expected = _topmost_labels(scene, window, sun)

    solid = np.isin(label, (BUILDING, CAR, WATER)) | (
        np.isin(expected, (BUILDING, CAR, WATER)) & (label != TREE)
    )
    assert solid.any()
    assert (label[solid] == expected[solid]).all()


def _topmost_labels(scene: Scene, window: Window, sun: Sun) -> np.ndarray:
    """For each pixel the last shape of the last layer that holds its centre; without trees."""
    x0, y0 = window.col_off * scene.gsd_m, window.row_off * scene.gsd_m
    cols, rows = block_range(scene.seed, x0, y0, x0 + 64 * scene.gsd_m, y0 + 64 * scene.gsd_m)
    blocks = [build_block(scene.seed, i, j, sun.direction) for j in rows for i in cols]
    label = np.full((64, 64), BARE)
    for layer, block in itertools.product(Layer, blocks):
        for shape in block.layers[layer]:
            if not _near(shape.bounds, x0, y0, 64 * scene.gsd_m):
                continue
            for row, col in np.ndindex(64, 64):
                x, y = (window.col_off + col + 0.5) * scene.gsd_m, (window.row_off + row + 0.5) * scene.gsd_m
                if all(a * x + c >= -(b * y) for a, b, c in shape.edges.tolist()):
                    label[row, col] = shape.paint.label
    return label


def _near(bounds: tuple[float, float, float, float], x: float, y: float, side: float) -> bool:
    return bounds[0] <= x + side and bounds[2] >= x and bounds[1] <= y + side and bounds[3] >= y


def test_every_class_appears_and_none_else() -> None:
    made = render_window(Scene(width=512, height=512, gsd_m=0.9), Window.whole(512, 512))

    assert set(np.unique(made.label).tolist()) == {*range(len(LANDCOVER)), NODATA_CLASS}


def test_nodata_is_one_corner_and_nothing_else(whole: Rendering) -> None:
    assert (whole.valid == (whole.rgb > 0).all(axis=0)).all()
    assert (whole.valid == (whole.rgb > 0).any(axis=0)).all()
    assert (whole.valid == (whole.label != NODATA_CLASS)).all()
    corners = [whole.valid[r, c] for r in (0, -1) for c in (0, -1)]
    assert sum(corners) == 3
    assert 0.005 < 1 - whole.valid.mean() < 0.1


def test_a_scene_without_valid_pixels_in_a_cell_is_blank_there() -> None:
    scene = Scene(width=9000, height=9000, seed=5)
    corner = {
        (r, c): render_window(scene, Window(c, r, 8, 8)).valid.any() for r in (0, 8992) for c in (0, 8992)
    }
    row, col = next(place for place, valid in corner.items() if not valid)

    made = render_window(scene, Window(col, row, 8, 8))

    assert (made.rgb == 0).all()
    assert (made.label == NODATA_CLASS).all()


def test_a_larger_scene_shows_more_of_the_same_world(whole: Rendering) -> None:
    larger = render_window(Scene(width=1400, height=1300, seed=5, gsd_m=0.2), Window.whole(560, 540))

    both = larger.valid & whole.valid
    assert both.any()
    assert (larger.rgb[:, both] == whole.rgb[:, both]).all()
    assert (larger.label[both] == whole.label[both]).all()


def test_a_moved_scene_shows_the_world_further_on() -> None:
    near = Scene(width=2048, height=2048, seed=3)
    moved = Scene(width=2048, height=2048, seed=3, cells_east=2, cells_south=1)

    there = render_window(near, Window(1024 + 500, 512 + 490, 64, 64))
    here = render_window(moved, Window(500, 490, 64, 64))

    assert here.valid.all() and there.valid.all()
    assert (here.rgb == there.rgb).all()
    assert (here.label == there.label).all()


def test_seeds_give_different_towns() -> None:
    one, other = (render_window(Scene(seed=s), Window(2000, 2000, 64, 64)) for s in (1, 2))

    assert (one.rgb != other.rgb).any()


def test_one_pixel_can_be_asked_for(whole: Rendering) -> None:
    made = render_window(SCENE, Window(300, 200, 1, 1))

    assert (made.rgb[:, 0, 0] == whole.rgb[:, 200, 300]).all()


def test_an_empty_window_gives_empty_arrays() -> None:
    made = render_window(SCENE, Window(10, 10, 0, 5))

    assert made.rgb.shape == (3, 5, 0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"width": 0}, "size is 0 x 4096 px"),
        ({"height": -3}, "size is 4096 x -3 px"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"gsd_m": 0.01}, "gsd is 0.01 m"),
        ({"gsd_m": 5.0}, "gsd is 5.0 m"),
        ({"gsd_m": math.nan}, "gsd is nan m"),
    ],
)
def test_scenes_that_cannot_be_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Scene(**wrong)  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seeds, places, places)
def test_neighbouring_blocks_share_a_side_and_its_street(seed: int, i: int, j: int) -> None:
    block, right, below = block_frame(seed, i, j), block_frame(seed, i + 1, j), block_frame(seed, i, j + 1)

    assert (block.right.coefficients == right.left.coefficients).all()
    assert (block.bottom.coefficients == below.top.coefficients).all()
    assert block.streets[2] == right.streets[0]
    assert block.streets[3] == below.streets[1]


@settings(max_examples=20, deadline=None)
@given(seeds, places, places, st.floats(0, 1))
def test_the_patch_of_a_block_ends_on_its_four_curves(seed: int, i: int, j: int, t: float) -> None:
    frame = block_frame(seed, i, j)
    at, zero, one = np.array([t]), np.array([0.0]), np.array([1.0])

    assert frame.at(at, zero) == pytest.approx(frame.top.at(at))
    assert frame.at(at, one) == pytest.approx(frame.bottom.at(at))
    assert frame.at(zero, at) == pytest.approx(frame.left.at(at))
    assert frame.at(one, at) == pytest.approx(frame.right.at(at))


@settings(max_examples=20, deadline=None)
@given(seeds, places, places, st.floats(0, 0.5), st.floats(0.5, 1), st.floats(0, 1))
def test_a_part_of_a_curve_lies_on_it(seed: int, i: int, j: int, start: float, end: float, t: float) -> None:
    curve = block_frame(seed, i, j).top

    part = curve.between(start, end)

    assert part.at(np.array([t])) == pytest.approx(curve.at(np.array([start + t * (end - start)])))


@settings(max_examples=6, deadline=None)
@given(seeds, st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(1, 90))
def test_no_block_that_touches_a_rectangle_is_missed(seed: int, x: float, y: float, side: float) -> None:
    cols, rows = block_range(seed, x, y, x + side, y + side)

    around = itertools.product(range(cols.start - 2, cols.stop + 2), range(rows.start - 2, rows.stop + 2))
    outside = [(i, j) for i, j in around if i not in cols or j not in rows]

    assert not any(_near(block_bounds(seed, i, j), x, y, side) for i, j in outside)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blocks_keep_within_their_bounds_and_below_the_height_shadows_rely_on(seed: int) -> None:
    for i, j in itertools.product(range(-1, 4), range(-1, 3)):
        x0, y0, x1, y1 = block_bounds(seed, i, j)
        block = build_block(seed, i, j, (0.6, 0.8))

        for shape in itertools.chain(*block.layers):
            assert x0 <= shape.bounds[0] and y0 <= shape.bounds[1]
            assert shape.bounds[2] <= x1 and shape.bounds[3] <= y1
            assert 0 <= shape.height <= TALLEST_M
        for tree in block.trees:
            assert x0 <= tree.x - 1.3 * tree.radius and tree.x + 1.3 * tree.radius <= x1
            assert TREE_HEIGHT * tree.radius <= TALLEST_M


def test_roofs_are_buildings_and_nothing_else_is() -> None:
    for i, j in itertools.product(range(1, 5), range(1, 4)):
        block = build_block(0, i, j, (0.6, 0.8))

        for layer in Layer:
            labels = {shape.paint.label for shape in block.layers[layer]}
            assert labels <= {BUILDING} if layer is Layer.ROOF else BUILDING not in labels


@given(st.floats(0.1, 0.9), st.floats(0, 0.1), st.booleans())
def test_the_halves_and_their_gap_make_up_the_whole(at: float, gap: float, across: bool) -> None:
    parts = Rect(0.1, 0.2, 0.8, 0.9).halved(at, gap, across=across)

    assert sum((r.s1 - r.s0) * (r.t1 - r.t0) for r in parts) == pytest.approx(0.7 * 0.7)


def test_a_block_finds_the_shapes_that_touch_a_rectangle() -> None:
    block = Block()
    left, right = (polygon(box((x, 0.0), (1.0, 0.0), 2, 2), ROOF) for x in (0.0, 10.0))
    block.add(Layer.ROOF, left, right)

    assert block.touching(Layer.ROOF, (5, -1, 20, 1)) == [right]
    assert block.touching(Layer.ROOF, (-9, -9, 20, 9)) == [left, right]
    assert block.touching(Layer.GROUND, (-9, -9, 20, 9)) == []


def test_a_pixel_belongs_to_a_shape_that_holds_its_centre() -> None:
    canvas = Canvas(Window(0, 0, 6, 4), gsd_m=1.0, ground=SOIL)

    canvas.paint(polygon([(1.4, 0.6), (4.6, 0.6), (4.6, 2.4), (1.4, 2.4)], ROOF, height=3.0))

    expected = np.zeros((4, 6))
    expected[1:2, 1:5] = 3.0
    assert (canvas.height == expected).all()
    assert (canvas.tables().labels[canvas.surface] == np.where(expected > 0, BUILDING, BARE)).all()


@given(st.permutations(range(4)))
def test_a_convex_polygon_is_the_same_whatever_corner_it_starts_with(order: list[int]) -> None:
    ring = [(1.0, 1.0), (9.0, 2.0), (8.0, 9.0), (2.0, 7.0)]
    start, back = order[0], order[1] % 2
    turned = (ring[start:] + ring[:start])[:: -1 if back else 1]
    one, other = (Canvas(Window(0, 0, 10, 10), gsd_m=1.0, ground=SOIL) for _ in range(2))

    one.paint(polygon(ring, ROOF, height=1.0))
    other.paint(polygon(turned, ROOF, height=1.0))

    assert (one.height == other.height).all()
    assert one.height.any()


def test_a_disc_has_nearly_the_area_of_a_circle() -> None:
    canvas = Canvas(Window(0, 0, 60, 60), gsd_m=0.1, ground=SOIL)

    canvas.paint(disc((3.0, 3.0), 2.0, ROOF, height=1.0, corners=24))

    assert canvas.height.sum() * 0.01 == pytest.approx(math.pi * 4, rel=0.03)


def test_a_tree_stands_above_low_things_and_below_high_ones() -> None:
    stamps = tree_stamps(0, 0.5, (0.6, 0.8))
    low, high = (Canvas(Window(0, 0, 20, 20), gsd_m=0.5, ground=SOIL) for _ in range(2))
    floor = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]
    low.paint(polygon(floor, ROOF, height=0.5))
    high.paint(polygon(floor, ROOF, height=15.0))

    for canvas in (low, high):
        canvas.plant(Tree(5.0, 5.0, 2.0, 0), stamps)

    assert low.tables().labels[low.surface[10, 10]] == TREE
    assert (high.tables().labels[high.surface] == BUILDING).all()


def test_a_tree_outside_the_canvas_leaves_no_trace() -> None:
    canvas = Canvas(Window(0, 0, 8, 8), gsd_m=0.5, ground=SOIL)

    canvas.plant(Tree(50.0, 50.0, 2.0, 0), tree_stamps(0, 0.5, (0.6, 0.8)))

    assert (canvas.surface == 0).all()


@pytest.mark.parametrize("slope", [-0.75, 0.25, 0.5])
def test_a_pillar_throws_a_shadow_as_long_as_the_sun_makes_it(slope: float) -> None:
    sun = Sun(slope=slope, rise=1.5)
    height = np.zeros((40, 40), dtype=np.float32)
    height[30, 20] = 9.0

    dark = shadows(height, sun, gsd_m=0.5)

    length = [math.hypot(s, s * slope) * 0.5 * 1.5 for s in range(40)]
    expected = sum(0 < drop < 9.0 - 0.12 for drop in length)
    assert abs(int(dark.any(axis=1).sum()) - expected) <= 1
    rows, cols = np.nonzero(dark)
    assert rows.max() == 29
    assert np.abs(cols - (20 - (30 - rows) * slope)).max() <= 1.5


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75]), st.floats(0.8, 2.5), seeds)
def test_shadows_equal_those_of_walking_towards_the_sun(slope: float, rise: float, seed: int) -> None:
    sun = Sun(slope=slope, rise=rise)
    height = (np.random.default_rng(seed).random((48, 64)) ** 6 * 12).astype(np.float32)

    dark = shadows(height, sun, gsd_m=1.0)

    expected = np.zeros((16, 16), dtype=bool)
    for row, col, steps in itertools.product(range(16), range(16), range(1, 32)):
        parts = [2**k for k in range(5) if steps & 2**k]
        cols = sum(round(p * slope) for p in parts)
        drop = sum(math.hypot(p, round(p * slope)) * rise for p in parts)
        expected[row, col] |= height[row + steps, 24 + col + cols] - drop > height[row, 24 + col] + 0.12
    assert (dark[:16, 24:40] == expected).mean() > 0.995, "only rounding at the very edge may differ"


def test_the_sun_reaches_far_enough_for_the_tallest_roof() -> None:
    for seed in range(20):
        sun = sun_of(seed)
        assert sun.reach(0.15) * 0.15 * math.hypot(1, sun.slope) * sun.rise >= TALLEST_M
        assert sun.slope * 4 == round(sun.slope * 4)
        assert math.hypot(*sun.direction) == pytest.approx(1)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_textures_are_periodic_with_unit_deviation(slope: float) -> None:
    table = texture(9, 1, slope=slope, pad=64)

    assert table.shape == (TABLE_PERIOD + 64, TABLE_PERIOD + 64)
    assert (table[:64, :64] == table[TABLE_PERIOD:, TABLE_PERIOD:]).all()
    core = table[:TABLE_PERIOD, :TABLE_PERIOD]
    assert abs(core.mean()) < 1e-3
    assert core.std() == pytest.approx(1, abs=1e-3)


def test_hashed_numbers_fill_the_unit_interval_evenly() -> None:
    i, j = np.meshgrid(np.arange(-50, 50), np.arange(-50, 50))

    values = hashed(3, 1, i, j)

    assert values.shape == (100, 100)
    assert (values >= 0).all() and (values < 1).all()
    assert len(np.unique(values)) == values.size
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert np.abs(counts - 1000).max() < 150


def test_smooth_noise_passes_through_its_lattice_without_steps() -> None:
    x = np.linspace(-3, 3, 6001)

    values = smooth_noise(1, 2, x, np.full_like(x, 0.4))

    assert np.abs(np.diff(values)).max() < 0.005
    assert (np.abs(values) <= 1).all()


def test_the_lens_leaves_an_even_image_alone() -> None:
    assert (blur(np.full((3, 10, 12), 77, dtype=np.float32)) == 77).all()
    assert blur(np.zeros((3, 10, 12), dtype=np.float32)).shape == (3, 8, 10)


def test_the_lens_spreads_a_point_over_its_neighbours() -> None:
    image = np.zeros((3, 5, 5), dtype=np.float32)
    image[:, 2, 2] = 16

    assert blur(image)[0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_noise_is_mostly_common_to_the_channels() -> None:
    white = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    image = np.zeros((3, 128, 128), dtype=np.float32)

    noisy = add_noise(image, np.random.default_rng(1), white=white)

    assert noisy[1].std() == pytest.approx(2.6, rel=0.1)
    assert np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1] > 0.9


@given(st.integers(0, 255))
def test_jpeg_keeps_an_even_grey(value: int) -> None:
    out = jpeg(np.full((3, 16, 16), value, dtype=np.float32))

    assert np.abs(out.astype(int) - value).max() <= 1


def test_jpeg_stays_close_and_changes_only_the_block_that_changed() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.float32)
    image = np.stack([60 + smooth, 80 + 0.5 * smooth, 150 - smooth])
    other = image.copy()
    other[:, 3, 4] = 255

    one, two = jpeg(image), jpeg(other)

    assert np.abs(one - image).max() < 8
    different = (one != two).any(axis=0)
    assert different[:16, :16].any()
    assert not different[16:].any() and not different[:, 16:].any()


def test_insets_stop_at_the_middle_of_a_quad() -> None:
    quad = Quad((0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (0.0, 2.0))

    assert quad.inset(1, 0.5, 1, 0.5) == Quad((1.0, 0.5), (3.0, 0.5), (3.0, 1.5), (1.0, 1.5))
    assert quad.inset(9, 9, 9, 9).width == pytest.approx(0.16)
    assert (quad.turned().width, quad.turned().depth) == (2.0, 4.0)


def test_vegetation_takes_the_share_of_a_surface_that_its_paint_says(whole: Rendering) -> None:
    assert 0.1 < (whole.label == LOW_VEGETATION).mean() < 0.9
