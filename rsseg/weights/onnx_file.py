"""Exported networks: what an ONNX file says about itself, read without running it and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import ResourceError, WeightsError
from rsseg.weights.card import CARD_KEY, WeightCard

_MULTIPLE_KEY = "rsseg_multiple"
_SIDE_KEY = "rsseg_side"


@dataclass(frozen=True, kw_only=True)
class GraphInput:
    """What an exported graph takes: samples whose sides are multiples of `multiple` pixels.

    A `fixed` one takes one sample at a time, and no other sides than that very number.
    """

    multiple: int
    fixed: bool = False

    @property
    def side(self) -> int | None:
        """The one side it takes, None where it takes many."""
        return self.multiple if self.fixed else None

    def to_metadata(self) -> dict[str, str]:
        """As it stands in an exported file."""
        return {_SIDE_KEY if self.fixed else _MULTIPLE_KEY: str(self.multiple)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> GraphInput:
        """The inverse of `to_metadata`; raises KeyError or ValueError where there is none."""
        fixed = _SIDE_KEY in metadata
        return cls(multiple=int(metadata[_SIDE_KEY if fixed else _MULTIPLE_KEY]), fixed=fixed)


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """The card of an exported network, and the sizes its graph takes."""

    card: WeightCard
    input: GraphInput


def is_onnx(path: Path) -> bool:
    """Whether a file is an exported network, by its name."""
    return path.suffix.lower() == ".onnx"


def read_onnx(path: Path) -> OnnxFile:
    """Read what `rsseg export` wrote about the network into an ONNX file.

    Raises:
        WeightsError: the file is missing, damaged, or was not written by `rsseg export`.
        ResourceError: the packages for ONNX are not installed.
    """
    metadata = _metadata(path)
    if CARD_KEY not in metadata:
        raise WeightsError(
            f"{path}: is an ONNX file without an rsseg card, which says what bands and classes mean",
            hint="only files made by `rsseg export` carry one",
        )
    try:
        return OnnxFile(
            card=WeightCard.from_json(metadata[CARD_KEY]), input=GraphInput.from_metadata(metadata)
        )
    except WeightsError as err:
        raise WeightsError(f"{path}: {err}", hint=err.hint) from err
    except (KeyError, ValueError) as err:
        raise WeightsError(f"{path}: does not say which sizes it takes ({err})") from err


def has_cuda() -> bool:
    """Whether the installed onnxruntime can use a GPU.

    Raises:
        ResourceError: there is no onnxruntime.
    """
    with onnx_packages():
        import onnxruntime
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@contextmanager
def onnx_packages() -> Iterator[None]:
    """Turn the failure to import a package of the extra `onnx` into one error.

    Raises:
        ResourceError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as err:
        raise ResourceError(
            f"ONNX files need the package {err.name}", hint="pip install 'rsseg[onnx]'"
        ) from err


def _metadata(path: Path) -> dict[str, str]:
    with onnx_packages():
        import onnx
        from google.protobuf.message import DecodeError
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
    except OSError as err:
        raise WeightsError(f"{path}: cannot be read ({err.strerror})") from err
    except DecodeError as err:
        raise WeightsError(
            f"{path}: is no complete ONNX file ({err})",
            hint="it may have been cut off while it was copied; compare its size with the original",
        ) from err
    return {entry.key: entry.value for entry in model.metadata_props}
