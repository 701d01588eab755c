"""How a raster is predicted: what is chosen, what gives way to a bound of memory, what is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from rsseg.errors import ResourceError
from rsseg.models.registry import network_entry
from rsseg.prediction.choice import GPU_BATCH, LEAST_CACHE
from rsseg.prediction.door import resolve_context
from rsseg.prediction.estimate import tensor_bytes
from rsseg.prediction.forward import Forward
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.plan import Plan, plan_prediction
from rsseg.prediction.setup import Setup
from rsseg.prediction.sizes import Sizes, resolve_sizes
from rsseg.preprocess import Stretch
from rsseg.tiling.blending import BlendPlan
from rsseg.weights import Weights, load_weights
from tests.making import random_pixels, write_argmax_weights, write_raster, write_sparse_raster

Planner = Callable[..., Plan]


@pytest.fixture
def linear(tmp_path: Path) -> Weights:
    return load_weights(str(write_argmax_weights(tmp_path / "linear.safetensors")))


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    """Plans a raster, as a rule for processes that hold nothing yet, and whose last step takes nothing."""
    monkeypatch.setattr("rsseg.prediction.memory._ENCODER", 0)
    monkeypatch.setattr("rsseg.prediction.choice.USUAL_PROCESS", 0)

    def plan(
        image: Path,
        weights: Weights,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        held_bytes: int = 0,
        **options: Any,
    ) -> Plan:
        chosen = PredictOptions(**options)
        setup = setup_of(weights, chosen, device=device, precision=precision, held_bytes=held_bytes)
        with open_imagery(image, weights.card, chosen) as imagery:
            return plan_prediction(setup, imagery, tmp_path / "map.tif")

    return plan


def setup_of(
    weights: Weights, options: PredictOptions, *, device: str, precision: str, held_bytes: int
) -> Setup:
    """What a predictor makes of options, but for the network on its device."""
    entry, context = network_entry(weights.card.architecture), resolve_context(weights.card, options)
    return Setup(
        weights=weights,
        forward=cast(Forward, SimpleNamespace(device_type=device)),
        options=options,
        context=context,
        passes=(entry.context_passes or 0) * (context == "raster"),
        side=entry.side,
        precision=precision,
        runtime=options.runtime,
        tensor_bytes=tensor_bytes(weights, side=resolve_sizes(weights.card, options).tile),
        held_bytes=held_bytes,
    )


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_sparse_raster(tmp_path / "large.tif", width=3000, height=2000)


def test_unless_asked_for_a_plan_has_the_cards_tiles(planned: Planner, large: Path, linear: Weights) -> None:
    plan = planned(large, linear)

    assert plan.sizes == Sizes(tile=64, halo=0, stride=1)
    assert len(plan.tiles) == 47 * 32
    assert (plan.context, plan.context_passes, plan.pipeline.batch_size) == ("tile", 0, 1)
    assert plan.memory.total_bytes <= plan.bound_bytes


def test_with_the_context_of_the_raster_tiles_are_as_large_as_is_worthwhile(
    planned: Planner, large: Path, attentive: Weights
) -> None:
    plan = planned(large, attentive, context="raster")

    # Seven by five tiles of 448 px are 7.0 Mpx. The card's are 11.7 Mpx, two by two of 1536 px 9.4 Mpx.
    assert plan.sizes == Sizes(tile=448, halo=8, stride=4)
    assert len(plan.tiles) == 35
    assert plan.context_passes == 2


def test_a_smaller_tile_is_chosen_where_memory_is_short(
    planned: Planner, large: Path, attentive: Weights
) -> None:
    roomy = planned(large, attentive, context="raster", halo=24)

    tight = planned(large, attentive, context="raster", halo=24, max_memory=roomy.memory.total_bytes - 1)

    assert attentive.card.tile < tight.sizes.tile < roomy.sizes.tile
    assert tight.memory.total_bytes <= tight.bound_bytes < roomy.memory.total_bytes


@pytest.mark.parametrize("options", [{"context": "raster", "tile": 96}, {"context": "tile"}])
def test_a_tile_that_was_asked_for_or_attends_to_itself_stays(
    options: dict[str, Any], planned: Planner, large: Path, attentive: Weights
) -> None:
    assert planned(large, attentive, **options).sizes.tile == options.get("tile", attentive.card.tile)


def test_batches_shrink_before_queues_and_queues_before_the_cache(
    planned: Planner, large: Path, attentive: Weights
) -> None:
    seen = [planned(large, attentive, device="cuda", tile=1024)]
    with pytest.raises(ResourceError):
        while True:
            bound = seen[-1].memory.total_bytes - 1
            seen.append(planned(large, attentive, device="cuda", tile=1024, max_memory=bound))

    queues = [plan.pipeline for plan in seen]
    assert [queue.batch_size for queue in queues] == [GPU_BATCH, 4, 2, 1, 1, 1]
    assert [queue.cache_bytes for queue in queues][-2:] == [PredictOptions.cache_bytes, LEAST_CACHE]
    assert queues[-1].ahead < queues[-3].ahead


def test_a_batch_size_that_was_asked_for_stays(planned: Planner, large: Path, attentive: Weights) -> None:
    roomy = planned(large, attentive, batch_size=16, tile=512)

    tight = planned(large, attentive, batch_size=16, tile=512, max_memory=roomy.memory.total_bytes - 1)

    assert tight.pipeline.batch_size == roomy.pipeline.batch_size == 16
    assert tight.pipeline.ahead < roomy.pipeline.ahead


def test_what_a_process_happens_to_hold_changes_neither_tile_nor_batch(
    planned: Planner, large: Path, attentive: Weights
) -> None:
    asked = {"context": "raster", "device": "cuda", "max_memory": 330_000_000}
    fresh = planned(large, attentive, **asked)

    full = planned(large, attentive, held_bytes=asked["max_memory"] - fresh.memory.total_bytes + 1, **asked)

    assert (full.sizes, full.pipeline.batch_size) == (fresh.sizes, fresh.pipeline.batch_size)
    assert full.pipeline.ahead < fresh.pipeline.ahead
    with pytest.raises(ResourceError, match=f"tiles of {fresh.sizes.tile} px in batches of"):
        planned(large, attentive, held_bytes=asked["max_memory"], **asked)


def test_pixels_that_are_stretched_take_more(planned: Planner, large: Path, linear: Weights) -> None:
    plain, stretched = (planned(large, linear, tile=512, stretch=scale) for scale in (None, Stretch(0, 200)))

    parts = [{p.name: p.memory_bytes for p in plan.memory.parts} for plan in (plain, stretched)]
    assert parts[1]["tiles ahead"] > 2 * parts[0]["tiles ahead"]
    assert parts[1]["batch"] > parts[0]["batch"]


def test_another_ground_size_takes_more(planned: Planner, large: Path, linear: Weights) -> None:
    resampled = planned(large, linear, tile=512, gsd=0.3)

    assert resampled.memory.total_bytes - planned(large, linear, tile=512).memory.total_bytes > 50e6


def test_another_runtime_takes_more(planned: Planner, large: Path, linear: Weights) -> None:
    assert "making its graph" in {
        part.name for part in planned(large, linear, runtime="onnxruntime").memory.parts
    }


def test_the_blocks_of_a_second_file_count(planned: Planner, tmp_path: Path) -> None:
    weights = load_weights(str(write_argmax_weights(tmp_path / "four.safetensors", bands=4)))
    first = write_raster(tmp_path / "a.tif", random_pixels(300, 2048, bands=2), tiled=True)
    second = write_raster(tmp_path / "b.tif", random_pixels(300, 2048, bands=2), tiled=True)
    blocks = {"tiled": True, "blockxsize": 1024, "blockysize": 1024}
    wide = write_raster(tmp_path / "c.tif", random_pixels(300, 2048, bands=2), **blocks)

    narrow_blocks, wide_blocks = (planned(first, weights, extra=extra) for extra in (second, wide))

    assert wide_blocks.memory.total_bytes > narrow_blocks.memory.total_bytes


def test_tiles_that_are_averaged_are_all_counted(planned: Planner, linear: Weights, tmp_path: Path) -> None:
    image = write_sparse_raster(tmp_path / "wide.tif", width=20_000, height=500)

    plan = planned(image, linear, tile=256, halo=32, blend="average")

    assert isinstance(plan.decided, BlendPlan)
    assert len(plan.decided) > len(plan.tiles)  # those at the edge of two bands are decided in both


@pytest.mark.parametrize(
    "options", [{"tile": 2048, "batch_size": 8}, {"tile": 2048}, {"tile": 512, "batch_size": 64}]
)
def test_what_cannot_fit_is_refused_with_what_would(
    options: dict[str, Any], planned: Planner, large: Path, attentive: Weights
) -> None:
    with pytest.raises(
        ResourceError, match=r"--max-memory is 0\.3GB; tiles of \d+ px in batches of"
    ) as caught:
        planned(large, attentive, max_memory=300_000_000, **{"batch_size": 64, **options})

    hint = re.fullmatch(r"--tile (\d+) --batch-size 1 would take [\d.]+GB", str(caught.value.hint))
    assert hint is not None
    fitting = planned(large, attentive, max_memory=300_000_000, tile=int(hint[1]), batch_size=1)
    assert fitting.memory.total_bytes <= 300_000_000


def test_where_nothing_fits_the_least_is_named(planned: Planner, large: Path, linear: Weights) -> None:
    with pytest.raises(ResourceError, match="--max-memory is 1MB") as caught:
        planned(large, linear, max_memory=1_000_000)

    allowed = re.search(r"--max-memory ([\d.]+)GB", str(caught.value.hint))
    assert allowed is not None
    assert planned(large, linear, max_memory=int(float(allowed[1]) * 1e9)).sizes.tile == 64


def test_memory_does_not_grow_with_the_raster(planned: Planner, linear: Weights, tmp_path: Path) -> None:
    sizes = [
        planned(write_sparse_raster(tmp_path / f"{side}.tif", width=side, height=side), linear)
        for side in (10_000, 100_000)
    ]

    small, huge = (plan.memory.total_bytes for plan in sizes)
    assert huge - small < 12e6  # what the journal remembers of 38,000 blocks


def test_a_band_of_a_raster_in_strips_is_as_wide_as_what_is_read_of_a_strip(
    planned: Planner, linear: Weights, tmp_path: Path
) -> None:
    pixels = np.zeros((3, 64, 20_000), dtype=np.uint8)
    image = write_raster(tmp_path / "strips.tif", pixels, compress="deflate", blockysize=1)

    plan = planned(image, linear)

    assert plan.tiles.band_width == 20_000
    assert "swaths of strips" in {part.name for part in plan.memory.parts}
    assert plan.warnings == ()


def test_half_precision_takes_less(planned: Planner, large: Path, attentive: Weights) -> None:
    half = planned(large, attentive, precision="bf16")

    assert half.memory.total_bytes < planned(large, attentive).memory.total_bytes


def full_disk(_folder: object) -> Any:
    return shutil._ntuple_diskusage(10**9, 10**9, 0)  # type: ignore[attr-defined]


def test_a_disk_that_is_too_small_is_refused_at_once(
    planned: Planner, linear: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", full_disk)
    image = write_raster(tmp_path / "a.tif", random_pixels(64, 64))

    with pytest.raises(ResourceError, match=r"map\.tif: needs 0 MB on its disk while it is made"):
        planned(image, linear)


@pytest.mark.parametrize("options", [{"nodata": 3}, {"collar": "white"}, {"stretch": Stretch(0, 1)}])
def test_a_disk_that_may_be_large_enough_is_tried(
    options: dict[str, Any],
    planned: Planner,
    linear: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.disk_usage", full_disk)
    dtype = "float32" if "stretch" in options else "uint8"  # which may be NaN
    image = write_raster(tmp_path / "a.tif", random_pixels(64, 64).astype(dtype))

    plan = planned(image, linear, **options)

    assert plan.disk.total_bytes > plan.disk.free_bytes


def test_a_disk_is_tried_where_a_second_file_may_miss_pixels(
    planned: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", full_disk)
    weights = load_weights(str(write_argmax_weights(tmp_path / "four.safetensors", bands=4)))
    first, second = (
        write_raster(tmp_path / name, random_pixels(64, 64, bands=2), nodata=nodata)
        for name, nodata in (("a.tif", None), ("b.tif", 0))
    )

    assert planned(first, weights, extra=second).disk.total_bytes > 0
    with pytest.raises(ResourceError):
        planned(first, weights, extra=first)
