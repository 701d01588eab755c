"""What must hold of `predict_raster` as a whole, whatever the raster and however it is cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin
from torch import nn

from rsseg.errors import RasterError
from rsseg.models.linear import Linear
from rsseg.prediction.engine import predict_raster
from rsseg.prediction.options import PredictOptions
from rsseg.raster import open_label_raster, open_raster
from rsseg.weights import Weights, init_weights, load_weights, save_weights
from tests.making import THREE, random_pixels, read_band, write_argmax_weights, write_raster

HEIGHT, WIDTH = 530, 610


@pytest.fixture(scope="module")
def argmax(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return load_weights(str(write_argmax_weights(tmp_path_factory.mktemp("w") / "argmax.safetensors")))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, argmax: Weights) -> Weights:
    """A MAResU-Net whose attention counts: its scales are 0.5 instead of the initial 0."""
    card = replace(argmax.card, architecture="maresunet", encoder="resnet18", tile=64, halo=0)
    made = init_weights(card, seed=3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.shape == (1,):
                assert name.endswith(("gamma", "scale")), name
                parameter.fill_(0.5)
    path = tmp_path_factory.mktemp("w") / "network.safetensors"
    save_weights(path, made, card)
    return load_weights(str(path))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raster(tmp_path_factory.mktemp("i") / "i.tif", random_pixels(HEIGHT, WIDTH), tiled=True)


@given(
    tile=st.integers(64, 700),
    share=st.floats(0, 0.4),
    batch_size=st.integers(1, 5),
    readers=st.integers(1, 4),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_map_does_not_depend_on_how_the_raster_was_cut(
    image: Path, argmax: Weights, tmp_path: Path, *, tile: int, share: float, batch_size: int, readers: int
) -> None:
    options = PredictOptions(
        tile=tile, halo=int(tile * share), batch_size=batch_size, readers=readers, overwrite=True
    )

    summary = predict_raster(image, tmp_path / "map.tif", weights=argmax, options=options)

    expected = random_pixels(HEIGHT, WIDTH).argmax(axis=0)
    assert (read_band(tmp_path / "map.tif") == expected).all()
    assert summary.class_pixels == tuple(np.bincount(expected.ravel(), minlength=3))


@pytest.mark.parametrize(("halo", "same"), [(1, True), (8, True), (0, False)])
def test_a_halo_as_wide_as_the_network_sees_makes_tiles_invisible(
    image: Path, argmax: Weights, tmp_path: Path, *, halo: int, same: bool
) -> None:
    """A 3 x 3 convolution looks one pixel far: with less halo than that, the seams must show."""
    torch.manual_seed(2)
    network = Linear(classes=3).eval()
    network.head = nn.Conv2d(3, 3, kernel_size=3, padding=1)
    pixels = torch.from_numpy(random_pixels(HEIGHT, WIDTH)).float()
    with torch.inference_mode():
        whole = network(pixels[None])[0].argmax(dim=0).numpy()

    predict_raster(
        image,
        tmp_path / "map.tif",
        weights=replace(argmax, network=network),
        options=PredictOptions(tile=100, halo=halo, device="cpu"),
    )

    share = (read_band(tmp_path / "map.tif") == whole).mean()
    assert share > 0.99999 if same else share < 0.9999


def test_the_same_run_gives_the_same_bytes(image: Path, argmax: Weights, tmp_path: Path) -> None:
    for name, readers in (("a", 1), ("b", 3)):
        (tmp_path / name).mkdir()
        predict_raster(
            image, tmp_path / name / "map.tif", weights=argmax, options=PredictOptions(readers=readers)
        )

    for file in ("map.tif", "map.tif.aux.xml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_moving_the_raster_in_the_world_moves_the_map(image: Path, argmax: Weights, tmp_path: Path) -> None:
    elsewhere = from_origin(10_000, 20_000, 2, 2)
    moved = write_raster(
        tmp_path / "moved.tif", random_pixels(HEIGHT, WIDTH), transform=elsewhere, crs="EPSG:2056"
    )

    predict_raster(image, tmp_path / "here.tif", weights=argmax)
    predict_raster(moved, tmp_path / "there.tif", weights=argmax)

    assert (read_band(tmp_path / "here.tif") == read_band(tmp_path / "there.tif")).all()
    with open_raster(moved) as source, open_label_raster(tmp_path / "there.tif") as made:
        assert made.grid == source.grid


def test_pixels_without_data_are_255_and_only_they(argmax: Weights, tmp_path: Path) -> None:
    pixels = random_pixels(200, 300)
    pixels[:, 20:150, :170] = 0
    image = write_raster(tmp_path / "holes.tif", pixels, nodata=0)

    summary = predict_raster(image, tmp_path / "map.tif", weights=argmax)

    expected = pixels.argmax(axis=0)
    expected[20:150, :170] = 255
    assert (read_band(tmp_path / "map.tif") == expected).all()
    assert summary.nodata_pixels == 130 * 170
    assert summary.skipped_tiles > 0


def test_a_raster_without_any_data_becomes_an_empty_map(argmax: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "empty.tif", np.zeros((3, 100, 100), np.uint8), nodata=0)

    summary = predict_raster(image, tmp_path / "map.tif", weights=argmax)

    assert (read_band(tmp_path / "map.tif") == 255).all()
    assert summary.skipped_tiles == summary.tiles


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 33), (60, 45), (100, 77)])
def test_a_raster_in_one_tile_is_the_forward_of_the_network(
    network: Weights, tmp_path: Path, height: int, width: int
) -> None:
    pixels = random_pixels(height, width, seed=5)
    image = write_raster(tmp_path / "small.tif", pixels)
    scaled = network.card.scaling.apply(
        torch.from_numpy(pixels)[None], torch.ones(1, height, width, dtype=torch.bool)
    )

    predict_raster(
        image, tmp_path / "map.tif", weights=network, options=PredictOptions(tile=128, device="cpu")
    )

    with torch.inference_mode():
        logits = network.network(scaled)[0].numpy()
    ranked = np.sort(logits, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-4  # where two logits are equal, rounding decides
    assert clear.mean() > 0.9
    assert (read_band(tmp_path / "map.tif") == logits.argmax(axis=0))[clear].all()


def test_batching_does_not_change_what_a_network_decides(network: Weights, tmp_path: Path) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(150, 170))
    maps = []

    for batch_size in (1, 4):
        options = PredictOptions(batch_size=batch_size, device="cpu", overwrite=True)
        predict_raster(image, tmp_path / "map.tif", weights=network, options=options)
        maps.append(read_band(tmp_path / "map.tif"))

    assert (maps[0] == maps[1]).mean() > 0.999  # rounding may decide a tie otherwise


def test_progress_rises_to_one(image: Path, argmax: Weights, tmp_path: Path) -> None:
    shares: list[float] = []

    predict_raster(image, tmp_path / "map.tif", weights=argmax, on_progress=shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 10


def test_a_failed_run_leaves_nothing(argmax: Weights, tmp_path: Path) -> None:
    image = write_raster(
        tmp_path / "cut.tif", random_pixels(300, 300), tiled=True, blockxsize=64, blockysize=64
    )
    image.write_bytes(image.read_bytes()[:-100_000])

    with pytest.raises(RasterError, match=r"cut\.tif: cannot read \d+ x \d+ px at column \d+, row \d+"):
        predict_raster(image, tmp_path / "map.tif", weights=argmax)

    assert [p.name for p in tmp_path.iterdir()] == ["cut.tif"]


def test_the_classes_of_the_card_name_those_of_the_map(image: Path, argmax: Weights, tmp_path: Path) -> None:
    predict_raster(image, tmp_path / "map.tif", weights=argmax)

    sidecar = (tmp_path / "map.tif.aux.xml").read_text()
    assert all(f"<Category>{c.name}</Category>" in sidecar for c in THREE)
