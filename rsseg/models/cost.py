"""What running a module costs: operations and memory, counted without measuring.

Operations are counted by torch (`FlopCounterMode`), two to a multiply-accumulate. Memory is the most that tensors hold
at once besides what was there before, so without weights and input, and without a kernel's own workspace. On the
device "meta" nothing is computed and no memory is needed, but the counts are the same as on a CPU. The first use of
"meta" makes torch import 800 modules, though, which takes seconds and 80 MB.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import unwrap
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

_Shape = Sequence[int]

_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Multiply-accumulates, and bytes held at once besides input and weights."""

    mac: int
    memory_bytes: int


@torch.no_grad()
def count(module: nn.Module, x: Tensor) -> Cost:
    """Run once and count; `module` and `x` on any one device."""
    live = _LiveBytes(chain([x], module.parameters(), module.buffers()))
    fused = _FusedAttention() if x.is_meta else nullcontext()
    with fused, flop_counter() as flops, live:
        module(x)
    return Cost(mac=flops.get_total_flops() // 2, memory_bytes=live.most)


def flop_counter() -> FlopCounterMode:
    """Torch's, which knows all kernels of attention but the one of CPUs."""
    return FlopCounterMode(display=False, custom_mapping={_CPU_ATTENTION: _attention_flops})


def _attention_flops(query: _Shape, key: _Shape, value: _Shape, *_rest: object, **_options: object) -> int:
    flops: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
    return flops


@torch.no_grad()
def count_memory(module: nn.Module, x: Tensor) -> int:
    """Run once and give the bytes held at once; unlike `count` this is as quick as the run itself."""
    live = _LiveBytes(chain([x], module.parameters(), module.buffers()))
    with _FusedAttention() if x.is_meta else nullcontext(), live:
        module(x)
    return live.most


class _FusedAttention(TorchFunctionMode):
    """Lets "meta" take attention in one kernel, as other devices do; by itself it forms the matrix of weights."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, or the kernel in its place."""
        if func is functional.scaled_dot_product_attention:
            return _CPU_ATTENTION(*args, **(kwargs or {}))[0]
        return func(*args, **(kwargs or {}))


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that come and go; `most` is the largest sum.

    Args:
        known: tensors that were there before and do not count, nor do views of them.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._storages = {_address(tensor) for tensor in known}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and look at what it made."""
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and _address(made) not in self._storages:
                self._add(made)
        return result

    def _add(self, made: Tensor) -> None:
        storage = made.untyped_storage()
        self._storages.add(_address(made))
        self._now += storage.nbytes()
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._drop, _address(made), storage.nbytes())

    def _drop(self, address: int, size: int) -> None:
        self._storages.discard(address)
        self._now -= size


# torch wraps the method so that its compiler leaves it alone, and imports the compiler with the first call: that is 800
# modules, seconds, 80 MB.
_LiveBytes.__torch_dispatch__ = unwrap(_LiveBytes.__torch_dispatch__)  # type: ignore[method-assign]


def _address(tensor: Tensor) -> int:
    """What identifies a storage while it lives, on "meta", too, where no data have an address."""
    address: int = tensor.untyped_storage()._cdata
    return address
