"""The whole command over rasters with something odd about them: a map, or one line with a reason, never a traceback."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsseg.cli.main import main
from tests.making import write_argmax_weights
from tests.raster.test_robust_files import MADE, SLOW, TABLE, Mapped
from tests.shared import shared_folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_argmax_weights(tmp_path_factory.mktemp("w") / "argmax.safetensors")


def predict(image: Path, output: Path, weights: Path, expected: Mapped | None) -> Result:
    args = ["predict", image, "-o", output, "--weights", weights, "--tile", 512, "--json"]
    if expected is not None and expected.bands is not None:
        args += ["--bands", ",".join(map(str, expected.bands))]
    if expected is not None and expected.dtype != "uint8":
        args += ["--scale", "0,5000"]
    return CliRunner().invoke(main, [str(arg) for arg in args])


def check(image: Path, folder: Path, weights: Path, *, invalid: int | None) -> None:
    expected = TABLE[image.name]
    result = predict(image, folder / "map.tif", weights, expected if isinstance(expected, Mapped) else None)
    if isinstance(expected, Mapped):
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["nodata"] == (expected.real_invalid if invalid is None else invalid)
        return
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert (result.exit_code, len(errors), result.stdout) == (3, 1, "")
    assert expected.message in errors[0]
    assert expected.hint in result.stderr
    assert list(folder.glob("map.tif*")) == []


@pytest.mark.parametrize("name", TABLE)
def test_made_up_rasters_end_as_they_ought_to(name: str, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image = tmp_path / "in" / name

    invalid = MADE[name](image) or 0

    check(image, tmp_path, weights, invalid=invalid)


@pytest.mark.parametrize("name", sorted(set(TABLE) - SLOW))
def test_real_rasters_end_as_they_ought_to(name: str, weights: Path, tmp_path: Path) -> None:
    check(shared_folder("data", "robust", name), tmp_path, weights, invalid=None)
