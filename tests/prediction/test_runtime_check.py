from typing import Any

import pytest

from rsseg.errors import OptionError, ResourceError
from rsseg.prediction import runtime_check
from rsseg.prediction.options import PredictOptions
from rsseg.prediction.runtime_check import check_runtime


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"compile": True}, "--compile is for torch; --runtime is openvino"),
        ({"device": "cuda:0"}, "--runtime openvino runs on the CPU; --device is cuda:0"),
        ({"precision": "fp16"}, "computes in fp32 or bf16; --precision is fp16"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, "computes in fp32; --precision is bf16"),
    ],
)
def test_what_a_runtime_cannot_do_is_refused(wish: dict[str, Any], message: str) -> None:
    options = PredictOptions(**{"runtime": "openvino", **wish})

    with pytest.raises(OptionError, match=message):
        check_runtime(options, context="tile")


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_the_context_of_a_raster_is_refused(runtime: Any) -> None:
    with pytest.raises(OptionError, match=f"--runtime {runtime} cannot take or use the context") as caught:
        check_runtime(PredictOptions(runtime=runtime), context="raster")

    assert "--context tile" in str(caught.value.hint)


@pytest.mark.parametrize(("runtime", "extra"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_a_missing_package_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, runtime: Any, extra: str
) -> None:
    monkeypatch.setattr(runtime_check, "find_spec", lambda name: None if name == runtime else object())

    with pytest.raises(ResourceError, match=f"--runtime {runtime} needs the package {runtime}") as caught:
        check_runtime(PredictOptions(runtime=runtime), context="tile")

    assert caught.value.hint == f"pip install 'rsseg[{extra}]'"


def test_torch_takes_all() -> None:
    check_runtime(PredictOptions(compile=True, device="cuda", precision="fp16"), context="raster")
