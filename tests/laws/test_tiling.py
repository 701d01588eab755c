"""The law of the raster context: with one context for all, tiles are the network run once on the whole raster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from rsseg.models.context import AnyContext
from rsseg.models.network import Network
from rsseg.models.registry import NETWORKS
from rsseg.prediction import run
from rsseg.prediction.context_pass import take_contexts
from rsseg.prediction.contexts import add_contexts, change_tensors
from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.tiling import Tile, Window, choose_tiles, plan_tiles
from rsseg.tiling.plan import padded_length
from rsseg.weights import Weights
from tests.conftest import PARITY
from tests.making import let_attention_count, random_pixels, read_band, write_raster
from tests.models.making import image, network
from tests.prediction.attentive import REACH, attentive

__all__ = ["attentive"]  # a fixture

DEAR = ("macunet",)
"""Networks that take minutes for a raster of 1000 x 777 pixels, five times at full resolution: 100 rows must do."""
NAMES = [name for name, entry in NETWORKS.items() if entry.context_passes]
TILE = 832
"""Wide enough for any halo here, and for a raster of 777 rows to need but one row of tiles, which saves time."""
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Of the largest difference, in parts of the logits' standard deviation."""


@dataclass(frozen=True)
class Subject:
    """A network whose attention counts, and the smallest halo that holds all that it sees."""

    name: str
    network: Network
    halo: int

    def plan(self, width: int, height: int) -> list[Tile]:
        return plan_tiles(width, height, tile=TILE, halo=self.halo, stride=self.network.stride)


@pytest.fixture(scope="module", params=NAMES)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    made = network(request.param, classes=2, dtype=torch.float64)
    let_attention_count(made)
    reach = next(iter(NETWORKS[request.param].sizes.values())).reach
    assert reach is not None
    yield Subject(request.param, made, padded_length(reach, stride=made.stride))


def contexts_of(
    network: Network, parts: Sequence[tuple[Tensor, Tensor]], known: tuple[AnyContext, ...] = ()
) -> tuple[AnyContext, ...]:
    """All contexts of an image, from its parts (x, which of their pixels count), in the type of x."""
    passes = network.context_passes
    assert passes is not None
    for _ in range(passes):
        sums = [network.summarise(x, counted, known) for x, counted in parts]
        merged = reduce(add_contexts, sums)
        dtype = parts[0][0].dtype
        known += change_tensors(merged, lambda _, t, to=dtype: t.to(to) if t.is_floating_point() else t)
    return known


def tiled_logits(subject: Subject, x: Tensor, valid: Tensor) -> tuple[Tensor, float]:
    """Logits tile by tile with the context of all, and how far one tile with its own is away from them."""
    net, (height, width) = subject.network, x.shape[2:]
    padded = torch.nn.functional.pad(x, (0, -width % net.padding, 0, -height % net.padding))
    tiles = subject.plan(width, height)
    parts = []
    for tile in tiles:
        counted = torch.zeros(1, tile.read.height, tile.read.width, dtype=torch.bool)
        counted[(..., *tile.keep.slices(tile.read))] = valid[(..., *tile.keep.slices())]
        parts.append((padded[(..., *tile.read.slices())], counted))
    contexts = contexts_of(net, parts)
    logits = torch.empty(1, 2, height, width, dtype=x.dtype)
    for tile, (part, _) in zip(tiles, parts, strict=True):
        logits[(..., *tile.keep.slices())] = net(part, contexts)[(..., *tile.keep.slices(tile.read))]
    tile, (part, _) = tiles[len(tiles) // 2], parts[len(tiles) // 2]
    alone = net(part)[(..., *tile.keep.slices(tile.read))]
    return logits, float((alone - logits[(..., *tile.keep.slices())]).abs().max())


@pytest.mark.parametrize(
    ("dtype", "width", "height"),
    [
        (torch.float64, 960, 32),
        (torch.float64, 33, 1000),
        (torch.float64, 33, 33),
        (torch.float64, 250, 120),
        (torch.float32, 1000, 777),
    ],
    ids=["divisible", "strip", "33 px", "within a tile", "1000 x 777"],
)
def test_tiles_with_one_context_are_the_network_run_once_on_the_whole_raster(
    subject: Subject,
    dtype: torch.dtype,
    width: int,
    height: int,
    record_property: Callable[[str, object], None],
) -> None:
    net = subject.network.to(dtype)
    height = min(height, 100) if subject.name in DEAR and height == 777 else height
    x, valid = image(1, 3, height, width, dtype=dtype), torch.ones(1, height, width, dtype=torch.bool)
    divisible = width % net.padding == height % net.padding == 0
    if not divisible:
        valid[:, height // 3 : height // 2, width // 3 : width // 2] = False
        x[:, :, ~valid[0]] = 0

    with torch.inference_mode():
        # Where the raster has to be padded, the padding belongs to no context.
        whole = net(x) if divisible else net(x, contexts_of(net, [(x, valid)]))
        found, alone = tiled_logits(subject, x, valid)

    error, tolerance = float((found - whole).abs().max()), TOLERANCE[dtype] * float(whole.std())
    what = f"{subject.name} {width} x {height}, halo {subject.halo}; tile context {alone:.1e}"
    kind = str(dtype).removeprefix("torch.")
    record_property(PARITY, f"{what:48} {kind}  {error:8.1e}  {tolerance:8.1e}  {error / tolerance:6.3f}")
    assert error <= tolerance
    if len(subject.plan(width, height)) > 1:
        assert alone > 1e-2


def holed_pixels(height: int, width: int) -> NDArray[np.uint8]:
    """Noise with a corner and a hole of zeros."""
    pixels = random_pixels(height, width)
    pixels[:, :40, :90] = 0
    pixels[:, 130:171, 60:99] = 0
    return pixels


def expected_map(weights: Weights, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The classes of the network run once on all pixels, and where two logits are not nearly equal."""
    valid = torch.from_numpy(pixels.any(axis=0))[None]
    x = weights.card.scaling.apply(torch.from_numpy(pixels)[None], valid)
    with torch.inference_mode():
        logits = weights.network(x, contexts_of(weights.network, [(x, valid)]))[0].numpy()
    ranked = np.sort(logits, axis=0)
    classes = np.where(valid[0].numpy(), logits.argmax(axis=0), 255).astype(np.uint8)
    return classes, ranked[-1] - ranked[-2] > 1e-4


@given(
    keep=st.integers(5, 40),
    halo=st.integers(REACH // 4, 5),
    batch_size=st.integers(1, 5),
    readers=st.integers(1, 4),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_map_does_not_depend_on_how_the_raster_was_cut(
    attentive: Weights, tmp_path: Path, *, keep: int, halo: int, batch_size: int, readers: int
) -> None:
    """Two passes of attention, pixels without data, any tiles: the classes are those of the whole raster."""
    pixels = holed_pixels(203, 307)
    raster = write_raster(tmp_path / "i.tif", pixels, nodata=0)
    options = PredictOptions(
        tile=4 * keep + 8 * halo,
        halo=4 * halo,
        context="raster",
        batch_size=batch_size,
        readers=readers,
        device="cpu",
        overwrite=True,
    )

    predict_raster(raster, tmp_path / "map.tif", weights=attentive, options=options)

    expected, clear = expected_map(attentive, pixels)
    assert clear.mean() > 0.99
    assert (read_band(tmp_path / "map.tif") == expected)[clear].all()


def test_a_map_with_the_context_of_tiles_does_depend_on_it(attentive: Weights, tmp_path: Path) -> None:
    pixels = holed_pixels(203, 307)
    raster = write_raster(tmp_path / "i.tif", pixels, nodata=0)
    options = PredictOptions(tile=64, halo=REACH, context="tile", device="cpu")

    predict_raster(raster, tmp_path / "map.tif", weights=attentive, options=options)

    assert (read_band(tmp_path / "map.tif") != expected_map(attentive, pixels)[0]).mean() > 0.01


def test_a_map_does_not_depend_on_the_order_of_the_tiles(
    attentive: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = holed_pixels(203, 307)
    raster = write_raster(tmp_path / "i.tif", pixels, nodata=0)
    options = PredictOptions(tile=64, halo=REACH, context="raster", device="cpu")
    monkeypatch.setattr(run, "choose_tiles", lambda tiles, wanted: choose_tiles(tiles, wanted)[::-1])
    monkeypatch.setattr(
        run,
        "take_contexts",
        lambda forward, reader, tiles, **options: take_contexts(forward, reader, tiles[::-1], **options),
    )

    predict_raster(raster, tmp_path / "map.tif", weights=attentive, options=options)

    expected, clear = expected_map(attentive, pixels)
    assert (read_band(tmp_path / "map.tif") == expected)[clear].all()


def test_a_part_is_classified_as_the_whole_was_with_the_context_of_the_whole(
    attentive: Weights, tmp_path: Path
) -> None:
    pixels = holed_pixels(203, 307)
    whole = write_raster(tmp_path / "whole.tif", pixels, nodata=0)
    part = write_raster(tmp_path / "part.tif", pixels[:, 48:160, 100:228], nodata=0)
    sizes = PredictOptions(tile=64, halo=REACH, device="cpu")
    context = tmp_path / "context.safetensors"
    given_context = replace(sizes, use_context=context)

    predict_raster(whole, tmp_path / "a.tif", weights=attentive, options=replace(sizes, save_context=context))
    predict_raster(part, tmp_path / "b.tif", weights=attentive, options=given_context)
    predict_raster(whole, tmp_path / "c.tif", weights=attentive, options=given_context)

    # Near its edges the part does not know what lies beyond.
    known, inside = Window(108, 56, 112, 96), Window(8, 8, 112, 96)
    there, here = read_band(tmp_path / "a.tif"), read_band(tmp_path / "b.tif")
    assert (there[known.slices()] == here[inside.slices()]).mean() > 0.9999
    assert (there == read_band(tmp_path / "c.tif")).all()


def test_the_bundled_kind_of_network_gives_the_map_of_the_whole_raster(
    attentive: Weights, tmp_path: Path
) -> None:
    """MAResU-Net through the engine, and what makes it so: with less halo than it sees, the tiles show."""
    net = network("maresunet", classes=3)
    card = replace(attentive.card, architecture="maresunet", encoder="resnet18", tile=704, halo=288)
    weights = replace(attentive, network=net, card=card)
    pixels = random_pixels(32, 1000)
    raster = write_raster(tmp_path / "i.tif", pixels)
    expected, clear = expected_map(weights, pixels)
    agreement = {}

    for tile, halo in ((704, 288), (832, 288), (96, 0)):
        options = PredictOptions(tile=tile, halo=halo, context="raster", device="cpu", overwrite=True)
        predict_raster(raster, tmp_path / "map.tif", weights=weights, options=options)
        agreement[halo, tile] = (read_band(tmp_path / "map.tif") == expected)[clear].mean()

    assert clear.mean() > 0.99
    assert agreement[288, 704] == agreement[288, 832] == 1
    assert agreement[0, 96] < 0.99
