"""What devices, precisions and runtimes cannot do, refused before torch is imported."""

from __future__ import annotations

import re
from importlib.util import find_spec

from rsseg.errors import OptionError, ResourceError
from rsseg.prediction.options import ContextKind, PredictOptions

PRECISION_NAMES = ("fp32", "bf16", "fp16")

_PACKAGES = {
    "openvino": ("openvino", "onnx", "onnxscript"),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
}
_EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}


def check_device(name: str) -> None:
    """Refuse a device that is none, wherever it is looked for.

    Raises:
        OptionError: see above.
    """
    if name != "auto" and not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise OptionError(f"device is {name!r}; expected auto, cpu, cuda or cuda:N")


def check_precision(name: str, *, device: str) -> None:
    """Refuse a precision that a device does not have.

    Args:
        name: `auto`, or as in `PRECISION_NAMES`.
        device: as it was asked for, or as it was found.

    Raises:
        OptionError: an unknown name, or fp16 on a CPU.
    """
    if name not in ("auto", *PRECISION_NAMES):
        raise OptionError(f"precision is {name!r}; expected auto, {', '.join(PRECISION_NAMES)}")
    if name == "fp16" and device == "cpu":
        raise OptionError("precision fp16 needs a GPU", hint="use --precision bf16 or fp32 on a CPU")


def check_runtime(options: PredictOptions, *, context: ContextKind) -> None:
    """Refuse options that the runtime leaves no choice about.

    Raises:
        OptionError: another device than the CPU, the context of a raster, a precision, or torch's compiler.
        ResourceError: a package is missing.
    """
    runtime = options.runtime
    if runtime == "torch":
        return
    if context == "raster":
        raise OptionError(
            f"--runtime {runtime} cannot take or use the context of a raster: its graph is the whole forward pass",
            hint="use --context tile, or --runtime torch",
        )
    if options.compile:
        raise OptionError(f"--compile is for torch; --runtime is {runtime}", hint="leave one of the two out")
    if options.device not in ("auto", "cpu"):
        raise OptionError(
            f"--runtime {runtime} runs on the CPU; --device is {options.device}",
            hint="leave one of the two out",
        )
    if options.precision == "fp16" or (runtime == "onnxruntime" and options.precision == "bf16"):
        fits = "fp32 or bf16" if runtime == "openvino" else "fp32"
        raise OptionError(
            f"--runtime {runtime} computes in {fits}; --precision is {options.precision}",
            hint="leave --precision out",
        )
    missing = [name for name in _PACKAGES[runtime] if find_spec(name) is None]
    if missing:
        raise ResourceError(
            f"--runtime {runtime} needs the package {missing[0]}",
            hint=f"pip install 'rsseg[{_EXTRAS[runtime]}]'",
        )
