"""Saved contexts: the sums of a raster with what they depend on, so that they are used for nothing else.

A safetensors file with one metadata key, whose JSON says under which `Run` the sums were taken. Whether a file fits is
seen without waiting for torch to be imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from rsseg.errors import WeightsError
from rsseg.files import write_file
from rsseg.prediction.inputs import Imagery
from rsseg.prediction.options import PredictOptions
from rsseg.weights import WeightCard

if TYPE_CHECKING:
    from rsseg.prediction.contexts import ViewContexts

Run = Mapping[str, Any]
"""What a context depends on besides the pixels, by name, as JSON values."""

CONTEXT_KEY = "rsseg_context"
CONTEXT_FORMAT = 2

_SAME_GSD = 0.05
"""Two sheets of one series differ by less, even where their scale changes with latitude."""


def describe_weights(card: WeightCard, options: PredictOptions, *, weights_sha256: str) -> Run:
    """The part of a `Run` that is known before the raster is open."""
    return {
        "architecture": card.architecture,
        "weights": weights_sha256,
        "scaling": card.scaling.to_dict(),
        "views": options.tta,
    }


def describe_pixels(imagery: Imagery, *, precision: str) -> Run:
    """The rest of a `Run`."""
    return {**imagery.described(), "gsd": imagery.source.grid.gsd_m, "precision": precision}


def save_contexts(path: Path, contexts: ViewContexts, run: Run, *, share: float) -> None:
    """Write the sums of a raster; the file appears complete or not at all.

    Args:
        path: the file; an existing one is replaced.
        contexts: the sums of all passes.
        run: what they depend on.
        share: how much of the tiles they were drawn from; told to people, not compared.

    Raises:
        ResourceError: the disk does not take it.
    """
    from safetensors.torch import save as serialise

    from rsseg.prediction.contexts import named_tensors

    header = {"format": CONTEXT_FORMAT, "run": dict(run), "share": share}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named_tensors(contexts).items()}
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    write_file(path, serialise(tensors, metadata={CONTEXT_KEY: text}))


def check_context_file(path: Path, run: Run) -> None:
    """Refuse a file that holds no context, or one that was taken under another run.

    Args:
        path: the file.
        run: what is known of the run at hand; only this is compared.

    Raises:
        WeightsError: the file is missing, damaged or of another kind, or what differs.
    """
    saved = _read_run(path)
    differing = [name for name in run if not _same(saved.get(name), run[name])]
    if differing:
        found = "; ".join(f"{n} {_shown(saved.get(n))}, here {_shown(run[n])}" for n in differing)
        raise WeightsError(
            f"{path}: the context was taken under other conditions: {found}",
            hint="take it anew: --context raster --save-context FILE",
        )


def load_contexts(path: Path, like: ViewContexts) -> ViewContexts:
    """Load the sums of a file that `check_context_file` has let pass.

    Args:
        path: the file.
        like: contexts of the same network; names and shapes must be theirs.

    Raises:
        WeightsError: the file is damaged, or its tensors are not those of the network.
    """
    from safetensors.torch import load_file

    from rsseg.prediction.contexts import change_tensors, named_tensors

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as err:
        raise _unreadable(path, err) from err
    expected = {name: (tuple(t.shape), t.dtype) for name, t in named_tensors(like).items()}
    if {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()} != expected:
        raise WeightsError(f"{path}: its tensors are not the contexts of this network")
    return change_tensors(like, lambda name, tensor: tensors[name].to(tensor.device))


def _read_run(path: Path) -> Run:
    if not path.is_file():
        raise WeightsError(f"{path}: no such file", hint="--save-context FILE writes one")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = json.loads((file.metadata() or {})[CONTEXT_KEY])
        form, run = header["format"], header["run"]
    except (SafetensorError, OSError) as err:
        raise _unreadable(path, err) from err
    except (KeyError, TypeError, ValueError, RecursionError) as err:
        raise WeightsError(f"{path}: holds no context", hint="--save-context FILE writes one") from err
    if form != CONTEXT_FORMAT or not isinstance(run, dict):
        raise WeightsError(f"{path}: the context has format {form}; this rsseg reads {CONTEXT_FORMAT}")
    return run


def _unreadable(path: Path, err: Exception) -> WeightsError:
    return WeightsError(
        f"{path}: is no complete safetensors file ({err})", hint="--save-context FILE writes one"
    )


def _same(saved: Any, here: Any) -> bool:
    """Whether two values are equal; the only plain number, the size of a pixel, may differ a little."""
    if isinstance(saved, float) and isinstance(here, float):
        return math.isclose(saved, here, rel_tol=_SAME_GSD)
    return bool(saved == here)


def _shown(value: Any) -> str:
    """A value in a message: short, and JSON's null as none."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value if len(value) < 64 else f"{value[:12]}..."  # a hash
    return json.dumps(value)
