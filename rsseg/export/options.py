"""What a user can choose about an export, and what is refused before torch is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import OptionError
from rsseg.raster import check_output
from rsseg.weights.onnx_file import onnx_packages

OPSETS = range(18, 24)
"""Versions of ONNX's operators that the exporter was tried with."""

DEFAULT_OPSET = 20


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export.

    Args:
        opset: version of ONNX's operators; None: `DEFAULT_OPSET`.
        image: a raster to compare on, anything GDAL opens; None: a synthetic town.
        tolerance: how far logits may be apart, as a part of their standard deviation.
        overwrite: replace an existing file.

    Raises:
        OptionError: a number is out of range.
    """

    opset: int | None = None
    image: str | None = None
    tolerance: float = 1e-3
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.opset is not None and self.opset not in OPSETS:
            raise OptionError(f"opset is {self.opset}; expected {OPSETS[0]} to {OPSETS[-1]}")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise OptionError(f"tolerance is {self.tolerance}; expected a number above 0")


def check_export(output: Path, options: ExportOptions) -> None:
    """Refuse what needs no network to be refused.

    Raises:
        OptionError: the output's format is unknown, it takes no opset, or the file exists.
        ResourceError: the folder is not writable, or packages are missing.
    """
    kind = output.suffix.lower()
    if kind not in (".onnx", ".pt2"):
        raise OptionError(f"{output}: its name says no format", hint="name it FILE.onnx or FILE.pt2")
    if kind == ".pt2" and options.opset is not None:
        raise OptionError("--opset is for ONNX; a .pt2 file has none", hint="leave --opset out")
    check_output(output, overwrite=options.overwrite)
    if kind == ".onnx":
        with onnx_packages():
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
