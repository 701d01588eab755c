"""Several processes that learn together, as `torchrun` starts them; one process is a world of its own.

    torchrun --nproc-per-node 4 -m rsseg train tiles/ -o runs/first

What is equal to what in several processes: docs/decisions/0015.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from rsseg.errors import OptionError, ResourceError, RssegError
from rsseg.log import logger
from rsseg.prediction.forward import resolve_device

INTERRUPTED = 130

_ENDED = "ended"
"""Where the first process that fails leaves its exit code for the others."""

_joined = itertools.count()
"""How often this process has joined others: what they told each other before is of no use."""


@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them: number `rank` of `size`.

    Every method that sums or agrees must be called by all of them, in the same order; alone it costs nothing.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files, logs and shows progress."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, element by element, without a gradient."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def sum_with_gradient(self, tensor: Tensor) -> Tensor:
        """The sum over all processes; its gradient is the sum of what they have for gradients of it."""
        if self.size == 1:
            return tensor
        total: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
        return total

    def agree(self, flag: bool) -> bool:  # noqa: FBT001 - `agree(stopped)` reads well
        """Whether any process says so."""
        return bool(self.sum(torch.tensor(int(flag))).item())


ALONE = World()


class _Sum(torch.autograd.Function):
    """Torch's own sum over processes has no gradient."""

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(gradients[0])  # type: ignore[no-untyped-call]
        return total


def is_first_process() -> bool:
    """Whether this process, by its environment, is the first of those that `torchrun` started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the processes that `torchrun` started, until the `with` block is left; `ALONE` without it.

    Each process gets a GPU of its own, which `cuda` and `auto` then mean; sums of CPU tensors work as well. The first
    error of any process ends all of them with its exit code, and is raised in that process only; the others end with
    SystemExit. So the user reads one message.

    Args:
        device: as in `resolve_device`.

    Raises:
        OptionError: the device is one GPU, which processes cannot share.
        ResourceError: there are fewer GPUs than processes on this machine, or another process was lost.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1
    if size == 1:
        yield ALONE
        return
    store, rank, size = next(rendezvous("env://"))
    store = PrefixStore(f"rsseg {next(_joined)}", store)
    finished = on_gpu = False
    try:
        on_gpu = _take_gpu(device)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
        yield World(rank, size)
        finished = True
    except BaseException as err:
        _give_way(err, store)
        raise
    finally:  # nccl would wait here for the others, which see that a process is gone when it is
        if dist.is_initialized() and (finished or not on_gpu):
            dist.destroy_process_group()


def _take_gpu(name: str) -> bool:
    """Let `cuda` mean the GPU of this process; False on a CPU."""
    device = resolve_device(name)
    if device.type != "cuda":
        return False
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.index is not None and here > 1:
        raise OptionError(
            f"device is {name}, but {here} processes on this machine need a GPU each",
            hint="choose --device cuda, and with CUDA_VISIBLE_DEVICES which GPUs there are",
        )
    if here > torch.cuda.device_count():
        raise ResourceError(
            f"{here} processes on this machine need a GPU each; it has {torch.cuda.device_count()}",
            hint="choose a smaller --nproc-per-node, or --device cpu",
        )
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device)
    return True


def _give_way(err: BaseException, store: Store) -> None:
    """Leave an error to be raised if this process is the first that has one; else end without a word."""
    mine = f"{os.getpid()}@{os.environ.get('RANK')} {_exit_code(err)}"
    try:
        first = store.compare_set(_ENDED, "", mine).decode()
    except dist.DistError:  # the process that kept the store is gone
        first = mine
    if first != mine:
        logger.debug("another process ended first", exc_info=err)
        raise SystemExit(int(first.split()[1])) from None
    if _tells_of_a_lost_process(err):
        raise ResourceError(
            "another process of this run is gone, and did not say why",
            hint="see what torchrun says; it may have been killed where memory is short",
        ) from err


def _exit_code(err: BaseException) -> int:
    if isinstance(err, RssegError):
        return err.exit_code
    return INTERRUPTED if isinstance(err, KeyboardInterrupt) else 1


def _tells_of_a_lost_process(err: BaseException) -> bool:
    """Whether this is what torch says when the other end of a connection is gone; gloo has no class of its own."""
    return isinstance(err, dist.DistError) or (isinstance(err, RuntimeError) and "gloo" in str(err))
