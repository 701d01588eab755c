from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rsseg.errors import WeightsError
from rsseg.models.context import ChannelContext
from rsseg.prediction.context_file import (
    check_context_file,
    describe_pixels,
    describe_weights,
    load_contexts,
    save_contexts,
)
from rsseg.prediction.contexts import ViewContexts
from rsseg.prediction.inputs import open_imagery
from rsseg.prediction.options import PredictOptions
from rsseg.preprocess import Scaling
from rsseg.weights import WeightCard, read_card
from tests.making import UTM, random_pixels, write_argmax_weights, write_raster

RUN: dict[str, Any] = {
    "architecture": "a",
    "weights": "12" * 32,
    "gsd": 0.15,
    "bands": [1, 2, 3],
    "nodata": "auto",
}


def contexts_of(value: float, channels: int = 2) -> ViewContexts:
    gram = torch.full((1, channels, channels), value, dtype=torch.float64)
    return ((ChannelContext(positions=torch.tensor([2**40]), gram=gram),),)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "context.safetensors"
    save_contexts(path, contexts_of(1 / 3), RUN, share=1.0)
    return path


def test_a_saved_context_is_read_as_it_was(saved: Path) -> None:
    check_context_file(saved, RUN)

    ((found,),) = load_contexts(saved, like=contexts_of(0.0))

    assert isinstance(found, ChannelContext)
    assert found.positions.tolist() == [2**40]
    assert torch.equal(found.gram, contexts_of(1 / 3)[0][0].gram)


def test_the_same_context_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_contexts(tmp_path / "again", contexts_of(1 / 3), dict(reversed(RUN.items())), share=1.0)

    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_a_context_file_appears_whole_or_not_at_all(saved: Path, tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "b"}, "architecture a, here b"),
        ({"weights": "34" * 32}, r"weights 121212121212\.\.\., here 343434343434\.\.\."),
        ({"gsd": 0.3}, "gsd 0.15, here 0.3"),
        ({"gsd": None}, "gsd 0.15, here none"),
        ({"bands": [3, 2, 1]}, r"bands \[1, 2, 3\], here \[3, 2, 1\]"),
        ({"nodata": "255.0"}, "nodata auto, here 255.0"),
        ({"nodata": "nan", "architecture": "b"}, "architecture a, here b; nodata auto, here nan"),
        ({"later": 1}, "later none, here 1"),
    ],
)
def test_a_context_of_another_run_is_refused_with_what_differs(
    saved: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        check_context_file(saved, RUN | change)


def test_only_what_is_known_is_compared(saved: Path) -> None:
    check_context_file(saved, {"weights": RUN["weights"]})


def test_sheets_of_one_series_may_differ_a_little_in_scale(saved: Path) -> None:
    check_context_file(saved, RUN | {"gsd": 0.1530})


@pytest.fixture
def card(tmp_path: Path) -> WeightCard:
    return read_card(write_argmax_weights(tmp_path / "w.safetensors"))


def test_everything_that_changes_what_the_network_sees_is_described(card: WeightCard) -> None:
    options = PredictOptions()
    scaling = Scaling(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 2.0))

    runs = [
        describe_weights(card, options, weights_sha256="1"),
        describe_weights(card, options, weights_sha256="2"),
        describe_weights(replace(card, architecture="manet"), options, weights_sha256="1"),
        describe_weights(replace(card, scaling=scaling), options, weights_sha256="1"),
        describe_weights(card, PredictOptions(tta="flips"), weights_sha256="1"),
    ]

    assert all(runs[i] != runs[j] for i in range(len(runs)) for j in range(i))


def test_the_pixels_are_described_by_what_they_are_read_with_size_and_precision(
    tmp_path: Path, card: WeightCard
) -> None:
    image = write_raster(tmp_path / "i.tif", random_pixels(8, 8), **UTM)

    with open_imagery(image, card, PredictOptions(bands=(3, 1, 2), nodata=7.0)) as imagery:
        found = describe_pixels(imagery, precision="bf16")

    assert found["bands"] == [3, 1, 2]
    assert found["nodata"] == "7.0"
    assert found["gsd"] == pytest.approx(0.15, rel=0.01)
    assert found["precision"] == "bf16"


def test_files_that_hold_no_context_are_refused(tmp_path: Path, card: WeightCard) -> None:
    with pytest.raises(WeightsError, match="gone: no such file"):
        check_context_file(tmp_path / "gone", RUN)
    with pytest.raises(WeightsError, match=r"w\.safetensors: holds no context"):
        check_context_file(tmp_path / "w.safetensors", RUN)
    (tmp_path / "text").write_text("no")
    with pytest.raises(WeightsError, match="text: is no complete safetensors file"):
        check_context_file(tmp_path / "text", RUN)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "nonsense", '{"format": 1}'])
def test_a_damaged_header_is_refused(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "bad", metadata={"rsseg_context": text})

    with pytest.raises(WeightsError, match="bad: holds no context"):
        check_context_file(tmp_path / "bad", RUN)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    text = '{"format": 3, "run": {}}'
    save_file({"a": torch.zeros(1)}, tmp_path / "later", metadata={"rsseg_context": text})

    with pytest.raises(WeightsError, match="has format 3; this rsseg reads 2"):
        check_context_file(tmp_path / "later", {})


def test_a_cut_off_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1])

    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        check_context_file(saved, RUN)
    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        load_contexts(saved, like=contexts_of(0.0))


@pytest.mark.parametrize("like", [contexts_of(0.0, channels=3), contexts_of(0.0) * 2, ()])
def test_tensors_of_another_network_are_refused(saved: Path, like: ViewContexts) -> None:
    with pytest.raises(WeightsError, match="not the contexts of this network"):
        load_contexts(saved, like=like)
