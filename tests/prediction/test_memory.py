"""What a run takes of memory, by its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsseg.prediction import memory
from rsseg.prediction.memory import Holdings, MemoryUse, Part, default_bound, memory_use

HELD = Holdings(
    process_bytes=300 * 10**6,
    network_bytes=80 * 10**6,
    graph_bytes=0,
    read_shape=(512, 512),
    pixel_bytes=3,
    channels=3,
    classes=2,
    layer_bands=1,
    needs_probabilities=False,
    blends=False,
    batch_size=1,
    readers=2,
    ahead=4,
    behind=4,
    cache_bytes=32 * 2**20,
    block_bytes=3 * 512 * 512,
    reader_bytes=0,
    swath_bytes=0,
    band_width=8192,
    keep=384,
    blocks=100,
    width=5000,
    on_host=True,
)


def parts(held: Holdings) -> dict[str, int]:
    return {part.name: part.memory_bytes for part in memory_use(held).parts}


def test_what_is_held_at_different_times_does_not_add_up() -> None:
    use = MemoryUse(
        (
            Part(name="process", memory_bytes=100, when="always"),
            Part(name="network", memory_bytes=30, when="predicting"),
            Part(name="tiles", memory_bytes=20, when="predicting"),
            Part(name="encoding", memory_bytes=40, when="finishing"),
        )
    )

    assert use.total_bytes == 100 + 30 + 20


def test_of_what_predicting_takes_a_part_counts_as_kept_when_all_tiles_are_predicted() -> None:
    use, named = memory_use(HELD), parts(HELD)

    always = [part.memory_bytes for part in use.parts if part.when == "always"]
    kept = [named.get(name, 0) for name in ("network", "swaths of strips", "kept by the allocator")]
    assert use.kept_bytes == sum(always) + sum(kept)
    assert min(kept[0], kept[2]) > 0
    assert use.kept_bytes < use.total_bytes


def test_the_network_takes_more_than_its_tensors() -> None:
    # Measured: MAResU-Net with tensors of 84 MB took 172 MB, of 1342 MB 1536 MB.
    assert 172e6 < parts(replace(HELD, network_bytes=84 * 10**6))["network"] < 1.3 * 172e6
    assert 1536e6 < parts(replace(HELD, network_bytes=1342 * 10**6))["network"] < 1.3 * 1536e6


def test_tiles_ahead_hold_their_pixels_and_two_masks() -> None:
    more = parts(replace(HELD, ahead=HELD.ahead + 1))["tiles ahead"] - parts(HELD)["tiles ahead"]

    assert more == 512 * 512 * (3 + 2)


def test_every_layer_counts_behind_the_network() -> None:
    one, three = parts(HELD), parts(replace(HELD, layer_bands=3))

    assert three["tiles behind"] == 3 * one["tiles behind"]
    assert three["open blocks"] == 3 * one["open blocks"]


def test_two_rows_of_blocks_of_a_band_are_open_and_those_at_work() -> None:
    assert parts(HELD)["open blocks"] == (2 * 16 + 2 * 2) * 512 * 512


def test_what_is_not_there_is_not_named() -> None:
    assert parts(HELD).keys().isdisjoint({"swaths of strips", "making its graph"})


def test_every_reader_takes_what_it_makes_of_a_tile() -> None:
    more = parts(replace(HELD, reader_bytes=1000))["tiles ahead"] - parts(HELD)["tiles ahead"]

    assert more == HELD.readers * 1000


def test_overlaps_count_where_tiles_are_averaged() -> None:
    assert "overlaps" not in parts(HELD)
    assert parts(replace(HELD, blends=True))["overlaps"] > 512 * 8192 * 4 * 3


def test_on_a_gpu_the_batch_alone_is_the_hosts() -> None:
    on_gpu = parts(replace(HELD, network_bytes=0, on_host=False))

    assert "network" not in on_gpu
    assert on_gpu["batch"] < parts(HELD)["batch"]


@pytest.mark.parametrize(
    "more",
    [
        {"batch_size": 4},
        {"readers": 8},
        {"read_shape": (1024, 1024)},
        {"needs_probabilities": True},
        {"cache_bytes": 2**30},
        {"blocks": 10**6},
        {"process_bytes": 10**9},
        {"block_bytes": 10**8},
        {"classes": 20},
        {"pixel_bytes": 16},
        {"graph_bytes": 10**8},
        {"reader_bytes": 10**6},
        {"swath_bytes": 10**8},
    ],
)
def test_more_of_anything_takes_more_memory(more: dict[str, int]) -> None:
    assert memory_use(replace(HELD, **more)).total_bytes > memory_use(HELD).total_bytes


def test_unless_told_otherwise_a_run_keeps_to_a_quarter_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "total_memory", lambda: 8_000)

    assert default_bound() == 2_000
