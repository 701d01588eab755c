"""Features kept between the passes of a raster's context: no bit of the map depends on them."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from shapely import box
from torch import Tensor

from rsseg.errors import OptionError
from rsseg.prediction import feature_store
from rsseg.prediction.engine import Predictor, predict_raster
from rsseg.prediction.feature_store import FeatureStore
from rsseg.prediction.options import PredictOptions
from rsseg.tiling import Window
from rsseg.weights import Weights, init_weights, load_card, load_weights, save_weights
from tests.making import let_attention_count, random_pixels, write_argmax_weights, write_raster
from tests.prediction.attentive import REACH, TwoPasses
from tests.raster.make import write_geojson

A, B, C = (Window(64 * n, 0, 64, 64) for n in range(3))


def features(seed: int, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Two levels, the second channels last."""
    generator = torch.Generator().manual_seed(seed)
    fine, coarse = (torch.randn(1, 3 * n, 8 // n, 8 // n, generator=generator).to(dtype) for n in (1, 2))
    return fine, coarse.to(memory_format=torch.channels_last)


SLOT_BYTES = 4 * (3 * 64 + 6 * 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_come_back_bit_for_bit_and_as_they_lay(tmp_path: Path, dtype: torch.dtype) -> None:
    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        for number, window in enumerate((A, B, C)):
            store.save(window, 0, features(number, dtype=dtype))
            store.save(window, 1, features(number + 10, dtype=dtype))

        for number, window in ((1, B), (0, A), (2, C)):
            for view in (0, 1):
                found = store.load(window, view)
                assert found is not None
                for one, other in zip(found, features(number + 10 * view, dtype=dtype), strict=True):
                    assert torch.equal(one, other)
                    assert (one.dtype, one.stride()) == (other.dtype, other.stride())
        assert store.load(Window(0, 64, 64, 64), 0) is None
        assert not list(tmp_path.iterdir())  # the file has no name


def test_what_there_is_no_room_for_is_not_kept(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, most_bytes=2 * SLOT_BYTES) as store:
        for window in (A, A, B, C):
            store.save(window, 0, features(0))

        assert store.load(A, 0) is not None
        assert store.load(B, 0) is not None
        assert store.load(C, 0) is None


def test_features_that_lie_otherwise_are_not_kept(tmp_path: Path) -> None:
    fine, coarse = features(0)
    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        store.save(A, 0, (fine[:, ::2], coarse))  # not all of the memory between is theirs
        store.save(B, 0, (fine, coarse))
        store.save(C, 0, (fine, coarse.contiguous()))  # another layout than the first

        assert [store.load(window, 0) is None for window in (A, B, C)] == [True, False, True]


def test_a_batch_is_filled_up_with_its_last_tile_and_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    whole = [torch.cat(level) for level in zip(features(0), features(1), strict=True)]
    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        store.of([A, B], size=2).save(0, whole)

        found = store.of([A, B], size=3).load(0)
        assert found is not None
        for level, expected in zip(found, whole, strict=True):
            assert torch.equal(level, torch.cat([expected, expected[1:]]))
        assert store.of([A, C], size=2).load(0) is None
        assert store.of([A], size=1).load(1) is None


@pytest.mark.parametrize("call", ["pwrite", "preadv"])
def test_a_disk_that_fails_costs_the_features_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        store.save(A, 0, features(0))
        monkeypatch.setattr(feature_store.os, call, fail)
        with caplog.at_level(logging.WARNING):
            store.save(B, 0, features(1))
            assert store.load(A, 0) is None
        monkeypatch.undo()
        store.save(C, 0, features(2))
        assert store.load(C, 0) is None  # it has given up

    assert [
        f"{tmp_path}: keeps no features (No space left on device)" in r.message for r in caplog.records
    ] == [True]


def test_a_file_that_was_cut_is_not_believed(tmp_path: Path) -> None:
    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        store.save(A, 0, features(0))
        os.ftruncate(store._file, SLOT_BYTES - 1)

        assert store.load(A, 0) is None


def test_each_side_from_which_a_tile_is_seen_has_a_layout(tmp_path: Path) -> None:
    fine, coarse = features(0)
    tall = (torch.zeros(1, 3, 4, 16), coarse)
    with FeatureStore(tmp_path, most_bytes=2**20) as store:
        for window in (A, B):
            store.save(window, 0, (fine, coarse))
            store.save(window, 1, tall)

        assert store.load(B, 0) is not None
        found = store.load(B, 1)
        assert found is not None
        assert found[0].shape == (1, 3, 4, 16)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often features were kept and found."""
    count: Counter[str] = Counter()
    save, load = FeatureStore.save, FeatureStore.load

    def spied_save(self: FeatureStore, window: Window, view: int, made: tuple[Tensor, ...]) -> None:
        before = len(self._slots)
        save(self, window, view, made)
        count["kept"] += len(self._slots) - before

    def spied_load(self: FeatureStore, window: Window, view: int) -> tuple[Tensor, ...] | None:
        found = load(self, window, view)
        count["found"] += found is not None
        return found

    monkeypatch.setattr(FeatureStore, "save", spied_save)
    monkeypatch.setattr(FeatureStore, "load", spied_load)
    return count


def maps_of(weights: Weights, image: Path, folder: Path, **chosen: Any) -> dict[str, bytes]:
    """The bytes of all that a prediction writes."""
    folder.mkdir()
    options = PredictOptions(
        context="raster",
        device="cpu",
        probabilities=folder / "probabilities.tif",
        **{"halo": REACH, **chosen},
    )
    predict_raster(image, folder / "map.tif", weights=weights, options=options)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = random_pixels(150, 190)
    pixels[:, 7:60, 20:71] = 0
    return write_raster(tmp_path / "i.tif", pixels, nodata=0)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"tta": "flips"},
        {"tta": "d4", "batch_size": 3},
        {"batch_size": 4},
        {"blend": "average"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_the_map_is_the_same_whatever_is_kept(
    attentive: Weights, image: Path, tmp_path: Path, chosen: dict[str, Any], counted: Counter[str]
) -> None:
    nothing = maps_of(attentive, image, tmp_path / "nothing", tile=64, feature_cache=0, **chosen)
    assert not counted
    some = maps_of(attentive, image, tmp_path / "some", tile=64, feature_cache=20_000, **chosen)
    few = counted["kept"]
    everything = maps_of(attentive, image, tmp_path / "everything", tile=64, **chosen)

    assert len(nothing) >= 2
    assert nothing == some == everything
    assert 0 < few < counted["kept"] - few <= counted["found"]


def test_every_side_of_a_raster_narrower_than_a_tile_is_kept(
    attentive: Weights, tmp_path: Path, counted: Counter[str]
) -> None:
    narrow = write_raster(tmp_path / "n.tif", random_pixels(20, 190))

    nothing = maps_of(attentive, narrow, tmp_path / "nothing", tile=64, tta="d4", feature_cache=0)
    everything = maps_of(attentive, narrow, tmp_path / "everything", tile=64, tta="d4")

    assert nothing == everything
    assert counted["kept"] % 8 == 0
    assert counted["found"] >= 2 * counted["kept"] > 0


def test_a_run_that_is_gone_on_with_keeps_nothing_that_nobody_reads(
    attentive: Weights, image: Path, tmp_path: Path, counted: Counter[str]
) -> None:
    options = PredictOptions(context="raster", device="cpu", tile=64, halo=REACH)
    predict_raster(image, tmp_path / "whole.tif", weights=attentive, options=options)
    counted.clear()

    def stop(share: float) -> None:
        if share > 0.9:  # the context is staged
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_raster(image, tmp_path / "map.tif", weights=attentive, options=options, on_progress=stop)
    assert counted["kept"] > 0
    counted.clear()
    predict_raster(image, tmp_path / "map.tif", weights=attentive, options=options)

    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert not counted["kept"]


@pytest.mark.parametrize("chosen", [{"context_sample": 0.4}, {"aoi": "aoi.geojson"}], ids=str)
def test_where_not_all_tiles_are_read_again_nothing_is_kept(
    attentive: Weights, image: Path, tmp_path: Path, chosen: dict[str, Any], counted: Counter[str]
) -> None:
    if "aoi" in chosen:
        part = box(350_000, 3_060_000 - 9, 350_000 + 9, 3_060_000)
        chosen = {"aoi": write_geojson(tmp_path / chosen["aoi"], [(part, {})], epsg=32645)}

    maps_of(attentive, image, tmp_path / "map", tile=64, **chosen)

    assert not counted["kept"]


def test_it_is_about_the_context_of_a_raster() -> None:
    with pytest.raises(OptionError, match="--feature-cache is about the context of a raster"):
        PredictOptions(feature_cache=10**9)
    PredictOptions(feature_cache=0, context="raster")


@pytest.mark.parametrize("architecture", ["maresunet", "abcnet", "macunet"])
def test_the_map_of_a_real_network_is_the_same_too(
    image: Path, tmp_path: Path, architecture: str, counted: Counter[str]
) -> None:
    path = tmp_path / "w.safetensors"
    encoder = "" if architecture == "macunet" else "resnet18"
    card = replace(load_card(str(write_argmax_weights(path))), architecture=architecture, encoder=encoder)
    network = init_weights(card, seed=1)
    let_attention_count(network)
    save_weights(path, network, card)
    weights = load_weights(str(path))

    nothing = maps_of(weights, image, tmp_path / "nothing", tile=96, halo=0, feature_cache=0)
    everything = maps_of(weights, image, tmp_path / "everything", tile=96, halo=0)

    assert nothing == everything
    assert counted["found"] >= weights.network.context_passes * counted["kept"] > 0


@pytest.mark.parametrize("room", [None, 0])
def test_each_tile_is_encoded_once(
    attentive: Weights,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int | None,
) -> None:
    predictor = Predictor(
        attentive, PredictOptions(context="raster", device="cpu", tile=64, halo=REACH, feature_cache=room)
    )
    plan = predictor.plan(image, tmp_path / "map.tif")
    seen = []
    encode = TwoPasses.encode

    def spy(self: TwoPasses, x: Tensor) -> Sequence[Tensor]:
        seen.append(x.shape[-1])
        return encode(self, x)

    monkeypatch.setattr(TwoPasses, "encode", spy)
    predictor.predict(image, tmp_path / "map.tif")

    windows = [tile.read for tile in plan.tiles]
    assert seen.count(64) == (3 * len(windows) if room == 0 else len(set(windows)))
    assert plan.disk.feature_bytes == (0 if room == 0 else len(plan.tiles) * 64 * 64 * 8 * 4 / 16)
    assert (plan.tile_cost == 1) == (room == 0)
