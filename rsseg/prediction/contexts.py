"""The contexts of a network as named tensors: to add them up, to bring them to a device, to keep them in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from operator import add
from typing import Any

from torch import Tensor

from rsseg.models.context import AnyContext

Contexts = tuple[AnyContext, ...]
"""What the attention of a network needs from everywhere: one context for each module, pass by pass."""


def add_contexts(some: Contexts, others: Contexts) -> Contexts:
    """Merge the contexts of two parts of an image, one by one."""
    return tuple(map(add, some, others))


def named_tensors(contexts: Contexts) -> dict[str, Tensor]:
    """All tensors by their place and the names of the fields that lead to them, such as `0.position.keys`."""
    found: dict[str, Tensor] = {}

    def note(name: str, tensor: Tensor) -> Tensor:
        found[name] = tensor
        return tensor

    change_tensors(contexts, note)
    return found


def change_tensors(contexts: Contexts, change: Callable[[str, Tensor], Tensor]) -> Contexts:
    """The same contexts with every tensor replaced by what `change` makes of its name and itself."""
    return tuple(_changed(context, str(place), change) for place, context in enumerate(contexts))


def _changed(value: Any, name: str, change: Callable[[str, Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(name, value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: _changed(getattr(value, f.name), f"{name}.{f.name}", change) for f in fields(value)}
        return replace(value, **inner)
    return value
