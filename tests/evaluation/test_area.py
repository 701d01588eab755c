"""Areas: the published worked example, a simulation of samples, and samples that say too little."""

from __future__ import annotations

import numpy as np
import pytest

from rsseg.errors import LabelError
from rsseg.evaluation.area import estimate_areas, with_block_errors
from rsseg.evaluation.block_counts import BlockCounts, Place, SparseCounts
from rsseg.evaluation.bootstrap import resampled

# Olofsson et al. 2014, table 8: deforestation, forest gain, stable forest, stable non-forest; rows = map.
SAMPLE = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]).T
MAPPED_HA = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09


def test_areas_of_the_worked_example() -> None:
    found = estimate_areas(SAMPLE, MAPPED_HA)

    # The paper, section 5.2: 21,158 +- 6,158 ha of deforestation where 18,000 were mapped, and so on.
    assert np.rint(found.area).tolist() == [21158, 11686, 285770, 581386]
    assert np.rint(1.96 * found.area_se).tolist() == [6158, 3756, 15510, 16282]
    np.testing.assert_allclose(found.interval[0], [15000, 27315], atol=1)
    assert found.area.sum() == pytest.approx(900_000)


def test_accuracies_of_the_worked_example() -> None:
    found = estimate_areas(SAMPLE, MAPPED_HA)

    # The paper, section 5, with its 95 % intervals, to two digits.
    assert found.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (1.96 * found.users_se).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.producers.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert (round(found.overall, 2), round(1.96 * found.overall_se, 2)) == (0.95, 0.02)


def test_errors_of_producers_accuracy_are_equation_7() -> None:
    """Written out; of the 0.21, 0.23, 0.03, 0.01 that the paper prints, the second and last do not follow from it."""
    found = estimate_areas(SAMPLE, MAPPED_HA)

    n = SAMPLE.T  # rows = map, as in the paper
    total = n.sum(axis=1)
    for j in range(4):
        size = sum(MAPPED_HA[i] * n[i, j] / total[i] for i in range(4))
        p, u = MAPPED_HA[j] * n[j, j] / total[j] / size, n[j, j] / total[j]
        own = MAPPED_HA[j] ** 2 * (1 - p) ** 2 * u * (1 - u) / (total[j] - 1)
        shares = {i: n[i, j] / total[i] for i in range(4) if i != j}
        others = sum(MAPPED_HA[i] ** 2 * q * (1 - q) / (total[i] - 1) for i, q in shares.items())
        assert found.producers_se[j] == pytest.approx(np.sqrt(own + p**2 * others) / size)
    assert (1.96 * found.producers_se).round(2).tolist() == [0.21, 0.25, 0.03, 0.02]


def test_standard_errors_are_the_spread_of_samples() -> None:
    """4000 samples from known strata: estimates hit the truth, and their spread is what one sample says of it."""
    rng = np.random.default_rng(5)
    mapped, sizes = np.array([100.0, 300.0, 600.0]), np.array([120, 150, 200])
    really = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.02, 0.08, 0.9]])  # rows = map
    samples = [
        np.stack([rng.multinomial(n, p) for n, p in zip(sizes, really, strict=True)]).T for _ in range(4000)
    ]

    found = [estimate_areas(sample, mapped) for sample in samples]

    area, producers = np.stack([f.area for f in found]), np.stack([f.producers for f in found])
    overall = np.array([f.overall for f in found])
    np.testing.assert_allclose(area.mean(axis=0), mapped @ really, rtol=0.005)
    np.testing.assert_allclose(np.mean([f.area_se for f in found], axis=0), area.std(axis=0), rtol=0.04)
    np.testing.assert_allclose(
        np.mean([f.producers_se for f in found], axis=0), producers.std(axis=0), rtol=0.06
    )
    assert np.mean([f.overall_se for f in found]) == pytest.approx(overall.std(), rel=0.04)
    low, high = np.stack([f.interval for f in found]).transpose(2, 0, 1)
    held = ((low <= mapped @ really) & (mapped @ really <= high)).mean(axis=0)
    assert ((held > 0.92) & (held < 0.97)).all()


def test_a_perfect_map_keeps_its_areas_without_error() -> None:
    found = estimate_areas(np.diag([50, 70]), np.array([2.0, 8.0]))

    assert found.area.tolist() == [2.0, 8.0]
    assert found.area_se.tolist() == found.producers_se.tolist() == [0.0, 0.0]
    assert (found.overall, found.overall_se) == (1.0, 0.0)


@pytest.mark.parametrize("seed", range(200))
def test_no_perfect_map_has_an_error_by_rounding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))

    found = estimate_areas(np.diag(rng.integers(2, 10**6, classes)), rng.random(classes) * 1000)

    assert found.area_se.tolist() == found.users_se.tolist() == found.producers_se.tolist() == [0.0] * classes
    np.testing.assert_allclose(found.interval.T, [found.mapped] * 2)
    assert found.overall_se == 0.0


def test_a_class_that_is_not_on_the_map_still_has_an_area() -> None:
    sample = np.array([[90, 0], [10, 0]])  # one pixel in ten of class 0 is really class 1

    found = estimate_areas(sample, np.array([100.0, 0.0]))

    np.testing.assert_allclose(found.area, [90, 10])
    assert found.area_se[1] == pytest.approx(100 * np.sqrt(0.1 * 0.9 / 99))
    assert found.producers[1] == 0.0
    assert np.isnan(found.users[1])


def test_a_class_on_the_map_that_the_sample_lacks_leaves_the_areas_unknown() -> None:
    found = estimate_areas(np.array([[90, 0], [10, 0]]), np.array([50.0, 50.0]))

    assert np.isnan(found.area).all()
    assert np.isnan(found.overall)
    assert found.users[0] == 0.9


def test_one_pixel_of_a_class_gives_no_standard_error() -> None:
    found = estimate_areas(np.array([[90, 0], [10, 1]]), np.array([50.0, 50.0]))

    np.testing.assert_allclose(found.area, [45, 55])
    assert np.isnan(found.area_se).all()
    assert np.isnan(found.users_se[1])


def test_a_map_without_area_is_refused() -> None:
    with pytest.raises(LabelError, match="cover an area of 0; expected more than 0"):
        estimate_areas(np.diag([1, 1]), np.zeros(2))


def correlated_blocks(rng: np.random.Generator, count: int = 80, pixels: int = 400) -> BlockCounts:
    """Half of each block is mapped as either class; how much of it is right varies from block to block."""
    blocks = {}
    for i, (a, b) in enumerate(rng.beta(8, 2, (count, 2))):
        right = rng.binomial(pixels, [a, b])
        matrix = np.array([[right[0], pixels - right[1]], [pixels - right[0], right[1]]])
        blocks[Place(0, 0, i)] = SparseCounts.of(matrix)
    return BlockCounts((2, 2), blocks=blocks)


def test_errors_from_blocks_are_the_spread_where_pixels_hang_together() -> None:
    mapped, rng = np.array([500.0, 500.0]), np.random.default_rng(8)
    trials = [correlated_blocks(rng) for _ in range(200)]
    spread = np.std([with_block_errors(t, mapped, replicates=2)[0].area[0] for t in trials])

    by_blocks, _ = with_block_errors(trials[0], mapped, replicates=400)
    by_pixels = estimate_areas(trials[0].total(), mapped)

    assert by_blocks.area_se[0] == pytest.approx(spread, rel=0.25)
    assert by_pixels.area_se[0] < spread / 3
    np.testing.assert_array_equal(by_blocks.area, by_pixels.area)


def test_errors_from_blocks_are_those_of_the_estimates_of_replicates() -> None:
    counts = correlated_blocks(np.random.default_rng(2), count=10)
    mapped = np.array([3.0, 7.0])

    found, _ = with_block_errors(counts, mapped, replicates=50, seed=4)

    sums = resampled(counts.rows(sorted(counts.blocks)), replicates=50, seed=4)
    drawn = [estimate_areas(of.reshape(2, 2), mapped) for of in sums]
    np.testing.assert_allclose(found.area_se, np.std([d.area for d in drawn], axis=0, ddof=1))
    assert found.overall_se == pytest.approx(np.std([d.overall for d in drawn], ddof=1))


def test_one_block_gives_no_standard_error() -> None:
    found, _ = with_block_errors(
        BlockCounts((2, 2), blocks={Place(0, 0, 0): SparseCounts.of(np.diag([5, 5]))}), np.ones(2)
    )

    assert np.isnan(found.area_se).all()
    assert found.area.tolist() == [1.0, 1.0]


def test_a_stratum_that_one_block_samples_gives_no_standard_error_but_to_the_others_users_accuracy() -> None:
    matrices = [np.array([[9 - i, 0], [i, 0]]) for i in range(4)] + [np.array([[5, 1], [1, 3]])]
    counts = BlockCounts(
        (2, 2), blocks={Place(0, 0, i): SparseCounts.of(matrix) for i, matrix in enumerate(matrices)}
    )

    found, drawn = with_block_errors(counts, np.array([6.0, 4.0]), replicates=50)

    assert np.isnan(found.area_se).all()
    assert np.isnan(found.overall_se)
    assert np.isnan(found.users_se).tolist() == [False, True]
    assert [drawn.classes["users"][k].blocks for k in (0, 1)] == [5, 1]
