import sys
from pathlib import Path

import pytest

from rsseg.errors import OptionError, ResourceError
from rsseg.export.options import ExportOptions, check_export


@pytest.mark.parametrize(
    "options", [{"opset": 17}, {"opset": 99}, {"tolerance": 0}, {"tolerance": float("nan")}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        ExportOptions(**options)


@pytest.mark.parametrize(
    ("output", "message"),
    [("x.pth", "its name says no format"), ("gone/x.onnx", "does not exist")],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, output: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_export(tmp_path / output, ExportOptions())


def test_a_torch_program_has_no_opset(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--opset is for ONNX"):
        check_export(tmp_path / "x.pt2", ExportOptions(opset=20))


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").touch()

    with pytest.raises(OptionError, match="exists already"):
        check_export(tmp_path / "x.onnx", ExportOptions())
    check_export(tmp_path / "x.onnx", ExportOptions(overwrite=True))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_packages_are_named_for_onnx_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ResourceError, match=f"need the package {package}$"):
        check_export(tmp_path / "x.onnx", ExportOptions())
    check_export(tmp_path / "x.pt2", ExportOptions())
