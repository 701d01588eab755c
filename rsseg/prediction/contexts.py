"""The contexts of a network as named tensors: to add them up, to bring them to a device, to keep them in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from operator import add
from typing import Any, TypeVar

from torch import Tensor

from rsseg.models.context import AnyContext

Contexts = tuple[AnyContext, ...]
"""What the attention of a network needs from everywhere: one context for each module, pass by pass."""

ViewContexts = tuple[Contexts, ...]
"""The contexts of each view over which predictions are averaged; none where tiles attend to themselves."""

Nested = TypeVar("Nested", Contexts, ViewContexts)


def add_contexts(some: Nested, others: Nested) -> Nested:
    """Merge the contexts of two parts of an image, one by one."""
    return tuple(
        add_contexts(one, other) if isinstance(one, tuple) else one + other  # type: ignore[operator]
        for one, other in zip(some, others, strict=True)
    )


def join_passes(known: ViewContexts, taken: ViewContexts) -> ViewContexts:
    """The contexts of all passes so far, with those of one more."""
    return tuple(map(add, known, taken)) if known else taken


def named_tensors(contexts: Contexts | ViewContexts) -> dict[str, Tensor]:
    """All tensors by view, place and the names of the fields that lead to them, such as `0.2.position.keys`."""
    found: dict[str, Tensor] = {}

    def note(name: str, tensor: Tensor) -> Tensor:
        found[name] = tensor
        return tensor

    _changed(contexts, "", note)
    return found


def change_tensors(contexts: Nested, change: Callable[[str, Tensor], Tensor]) -> Nested:
    """The same contexts with every tensor replaced by what `change` makes of its name and itself."""
    changed: Nested = _changed(contexts, "", change)
    return changed


def _changed(value: Any, name: str, change: Callable[[str, Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(name.removeprefix("."), value)
    if isinstance(value, tuple):
        return tuple(_changed(inner, f"{name}.{place}", change) for place, inner in enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: _changed(getattr(value, f.name), f"{name}.{f.name}", change) for f in fields(value)}
        return replace(value, **inner)
    return value
