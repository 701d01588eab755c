"""The fixtures of the published networks: what they describe, and the rule that makes their weights."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.shared import shared_folder


@dataclass(frozen=True)
class Fixture:
    """Numbers of a published network or module: what the JSON says, and the arrays."""

    tag: str
    description: Mapping[str, Any]
    arrays: Mapping[str, NDArray[np.float32]]

    @property
    def cases(self) -> Mapping[str, Any]:
        cases: Mapping[str, Any] = self.description["cases"]
        return cases


def network_fixture(tag: str) -> Fixture:
    """Load the fixture of a network; skips where the folder is absent."""
    folder = shared_folder("specs", "fixtures")
    description = json.loads((folder / f"{tag}.json").read_text(encoding="utf-8"))
    return Fixture(tag, description, _arrays(tag))


def module_fixture(name: str) -> Fixture:
    """Load the fixture of a single module; its arrays are named `<case>/<output>`."""
    folder = shared_folder("specs", "fixtures")
    description = json.loads((folder / "modules.json").read_text(encoding="utf-8"))["modules"][name]
    prefix = f"{name}/"
    arrays = {key.removeprefix(prefix): a for key, a in _arrays("modules").items() if key.startswith(prefix)}
    return Fixture(name, description, arrays)


@cache
def _arrays(tag: str) -> Mapping[str, NDArray[np.float32]]:
    with np.load(shared_folder("specs", "fixtures", f"{tag}.npz")) as file:
        return dict(file)


def published_weights(description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The published state dict by its own names, made by the rule of the fixtures' README and checked by hash."""
    digest = hashlib.sha256()
    weights = {}
    for row in description["tensors"]:
        value = _tensor(row, description)
        digest.update(value.tobytes())
        weights[row["name"]] = torch.from_numpy(value)
    assert digest.hexdigest() == description["weights_sha256"]
    return weights


def _tensor(row: Mapping[str, Any], description: Mapping[str, Any]) -> NDArray[Any]:
    shape = tuple(row["shape"])
    if row["name"].endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    gains = description["gains"]
    gain = gains.get(row["name"], gains["default"])
    z = normal(description["weight_seed"] + row["i"], shape)
    return np.asarray(weight_rule(row["name"], z, gain=gain), dtype=np.float32)


def weight_rule(name: str, z: NDArray[Any], *, gain: float) -> NDArray[Any]:
    """Turn random numbers of mean 0 and variance 1 into the weights of the tensor of that name and shape."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_mean":
        return 0.1 * z
    if leaf == "running_var":
        return 1 + 0.25 * abs(z)
    if leaf in ("gamma", "scale"):
        return 0.5 + 0.1 * z
    if z.ndim in (2, 4):
        return gain * z / math.sqrt(math.prod(z.shape[1:]))
    return 0.1 * z if leaf == "bias" else 1 + 0.1 * z


def normal(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal numbers of one seed."""
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)


def case_inputs(case: Mapping[str, Any]) -> list[Tensor]:
    """The inputs of a case, float32; networks have one, modules may have two."""
    if "input_shape" in case:
        shapes, seeds = [case["input_shape"]], [case["input_seed"]]
    else:
        shapes, seeds = case["input_shapes"], case["input_seeds"]
    return [
        torch.from_numpy((case["input_scale"] * normal(seed, tuple(shape))).astype(np.float32))
        for shape, seed in zip(shapes, seeds, strict=True)
    ]


def mask_bits(seed: int, *shape: int) -> Tensor:
    """The mask (N, H, W) of a case, True where a key is active."""
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).integers(0, 2, size=shape) == 1)


FLOAT64_TOLERANCE = 1e-6
"""Absolute, for numbers around 1: the stored values are rounded to float32."""


def worst_error(found: Tensor, expected: NDArray[np.float32]) -> float:
    """The largest absolute difference."""
    return float(np.abs(found.double().numpy() - expected).max())


def parity_line(what: str, dtype: torch.dtype, *, error: float, tolerance: float) -> str:
    """A line of the table that `tests/conftest.py` shows at the end of a run."""
    kind = str(dtype).removeprefix("torch.")
    return f"{what:48} {kind}  {error:8.1e}  {tolerance:8.1e}  {error / tolerance:6.3f}"
