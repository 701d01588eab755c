from pathlib import Path

import pytest
import torch

from rsseg.errors import OptionError
from rsseg.prediction import precision
from rsseg.prediction.precision import has_native_bf16, resolve_precision


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Linux says about the processor; nothing yet."""
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("line", "native"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse", True),
        ("flags\t\t: fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx512f avx512_vnni", False),
        ("model name\t: bf16", False),
    ],
)
def test_the_processor_says_whether_it_has_bf16(processor: Path, *, line: str, native: bool) -> None:
    processor.write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n")

    assert has_native_bf16() == native


def test_where_the_system_does_not_say_there_is_none(processor: Path) -> None:
    assert not has_native_bf16()


@pytest.mark.parametrize(
    ("flags", "runtime", "expected"),
    [
        ("avx512_bf16", "torch", "bf16"),
        ("avx512_bf16", "openvino", "bf16"),
        ("avx512_bf16", "onnxruntime", "fp32"),
        ("avx2", "torch", "fp32"),
    ],
)
def test_auto_on_a_processor_is_what_it_has(processor: Path, flags: str, runtime, expected: str) -> None:
    processor.write_text(f"flags\t: {flags}\n")

    assert resolve_precision("auto", torch.device("cpu"), runtime=runtime) == expected


def test_a_single_layer_stays_in_fp32(processor: Path) -> None:
    processor.write_text("flags\t: avx512_bf16\n")

    assert resolve_precision("auto", torch.device("cpu"), deep=False) == "fp32"


@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_what_it_has(monkeypatch: pytest.MonkeyPatch, *, bf16: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)

    assert resolve_precision("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize("name", ["fp8", "fp16"])
def test_precisions_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        resolve_precision(name, torch.device("cpu"))
