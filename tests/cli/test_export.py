import json
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from rsseg.export import engine
from rsseg.export.parity import Parity
from rsseg.weights.files import file_sha256
from tests.graphs import metadata, write_fixed_graph, write_graph
from tests.making import random_pixels, read_band, write_argmax_weights, write_raster


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_argmax_weights(tmp_path / "w.safetensors")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "image.tif", random_pixels(70, 130))


def test_weights_become_a_graph_that_predicts_the_same(weights: Path, image: Path, tmp_path: Path) -> None:
    exported = run("export", weights, "-o", tmp_path / "w.onnx")
    maps = [run("predict", image, "-o", f"{w}.tif", "--weights", w) for w in (weights, tmp_path / "w.onnx")]

    assert (exported.exit_code, exported.stdout) == (0, f"{tmp_path / 'w.onnx'}\n")
    assert [result.exit_code for result in maps] == [0, 0]
    assert (read_band(Path(f"{weights}.tif")) == read_band(tmp_path / "w.onnx.tif")).all()


def test_what_it_does_is_told_on_standard_error(weights: Path, tmp_path: Path) -> None:
    result = run("export", weights, "-o", tmp_path / "w.pt2")

    lines = result.stderr.splitlines()
    assert lines[0].startswith("random (2 x 3 x 64 x 160): logits differ by 0.0e+00 of their spread")
    assert lines[2].startswith("synthetic town (1 x 3 x 128 x 128)")
    assert lines[-1].startswith(f"{tmp_path / 'w.pt2'}: 0.")


def test_json_has_the_parity(weights: Path, image: Path, tmp_path: Path) -> None:
    result = run("export", weights, "-o", tmp_path / "w.onnx", "--image", image, "--opset", 18, "--json")

    row = json.loads(result.stdout)
    assert (row["opset"], row["multiple"], row["fixed_size"]) == (18, 1, False)
    assert row["sha256"] == file_sha256(tmp_path / "w.onnx")
    assert [case["source"] for case in row["parity"]] == ["random", "random", str(image), str(image)]
    assert max(case["difference"] for case in row["parity"]) < 1e-5


def test_a_graph_that_differs_too_much_is_not_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = Parity(source="random", shape=(1, 3, 8, 8), difference=0.5, changed=0.25)
    monkeypatch.setattr(engine, "compare", lambda *_: apart)

    results = [
        run("export", weights, "-o", tmp_path / "w.pt2", "--tolerance", tolerance) for tolerance in (0.4, 0.6)
    ]

    assert [result.exit_code for result in results] == [4, 0]
    assert "w.pt2: not written, since the graph is not the network" in results[0].stderr
    assert "logits differ by 0.5 of their spread, more than 0.4; 25.00% of the pixels" in results[0].stderr
    assert results[0].stdout == ""


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("nonesuch", "-o", "x.onnx"), 4, "nonesuch: unknown weights"),
        (("buildings", "-o", "x.bin"), 2, "x.bin: its name says no format"),
        (("buildings", "-o", "x.onnx", "--opset", "3"), 2, "opset is 3; expected 18 to 23"),
        (("buildings", "-o", "x.onnx", "--tolerance", "-1"), 2, "tolerance is -1.0"),
        (("w.onnx", "-o", "x.onnx"), 4, "w.onnx: is an exported graph, which can only predict"),
    ],
)
def test_bad_requests_leave_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.onnx").touch()

    result = run("export", *options)

    assert result.exit_code == code
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["w.onnx"]


def test_nothing_of_torchs_own_talk_reaches_the_terminal(weights: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "rsseg",
        "export",
        str(weights),
        "-o",
        str(tmp_path / "w.onnx"),
        "--quiet",
    ]

    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert (result.stdout, result.stderr) == (f"{tmp_path / 'w.onnx'}\n", "")


def test_a_graph_cannot_be_trained_on(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "w.onnx", metadata())
    tmp_path.joinpath("data").mkdir()

    result = run("train", tmp_path / "data", "-o", tmp_path / "run", "--weights", graph)

    assert result.exit_code == 4
    assert "w.onnx: is an exported graph, which can only predict" in result.stderr


def test_the_card_of_a_graph_is_shown(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "w.onnx", metadata())

    assert "network       linear" in run("weights", "show", graph).stdout


def test_the_map_of_a_graph_carries_its_hash(image: Path, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "w.onnx", metadata())

    run("predict", image, "-o", tmp_path / "map.tif", "--weights", graph)

    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags()["RSSEG_WEIGHTS_SHA256"] == file_sha256(graph)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--weights", "fixed.onnx", "--tile", "96"), 2, "exported for squares of 64 px only"),
        (("--weights", "fixed.onnx", "--precision", "bf16"), 2, "this graph was exported in fp32"),
        (("--weights", "foreign.onnx"), 4, "foreign.onnx: is an ONNX file without an rsseg card"),
        (("--weights", "program.pt2"), 4, "can run code when it is loaded"),
    ],
)
def test_what_a_graph_cannot_do_is_refused_without_torch(
    tmp_path: Path, image: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    write_fixed_graph(tmp_path / "fixed.onnx", side=64)
    write_graph(tmp_path / "foreign.onnx", {})
    (tmp_path / "program.pt2").write_bytes(b"PK\x03\x04")
    script = (
        "import sys; from rsseg.cli.main import main\n"
        f"try: main(['predict', 'image.tif', '-o', 'map.tif', *{options!r}], prog_name='rsseg')\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert result.stdout.splitlines()[-1] == f"{code} False"
    assert message in result.stderr


def test_a_graph_for_one_side_predicts_rasters_of_any_size(tmp_path: Path, image: Path) -> None:
    write_graph(tmp_path / "any.onnx", metadata())
    write_fixed_graph(tmp_path / "fixed.onnx", side=64)

    for name in ("any", "fixed"):
        result = run("predict", image, "-o", tmp_path / f"{name}.tif", "--weights", tmp_path / f"{name}.onnx")
        assert result.exit_code == 0, result.stderr

    assert (read_band(tmp_path / "any.tif") == read_band(tmp_path / "fixed.tif")).all()
