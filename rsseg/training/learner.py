"""One step of learning: scale, forward, loss, backward, update.

Shapes: N samples, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rsseg.errors import InputError, OptionError, ResourceError
from rsseg.log import logger
from rsseg.models.network import Logits, Network
from rsseg.prediction.forward import memory_errors
from rsseg.prediction.precision import PRECISIONS
from rsseg.prediction.prepare import check_compiler
from rsseg.preprocess import Scaling
from rsseg.training.augmentation import make_changes
from rsseg.training.loader import Batch
from rsseg.training.losses import count_labelled, segmentation_loss
from rsseg.training.options import TrainOptions
from rsseg.training.schedule import build_optimizer, learning_rate, set_learning_rate
from rsseg.training.world import ALONE, World

_LEAST_SCALE = 2.0**-14
"""Of fp16's losses; each step with a gradient that is not finite is skipped and halves it."""


class Learner:
    """A network on its device with what moves its parameters.

    Args:
        network: gives logits (N, K, H, W); it is moved to the device. Auxiliary heads that do not count do not learn.
        scaling: how pixels become its input.
        options: window, loss, optimizer and schedule, moving average.
        device: where it learns.
        precision: a key of `PRECISIONS`; below fp32 the network runs under autocast, the update stays float32.
        world: the processes that learn together, each from its share of every batch; all begin with the parameters
            of the first.

    Raises:
        OptionError: the processes cannot share a batch equally, or their shares are too small for batch norms.
        ResourceError: the network is to be compiled, and there is no compiler.
    """

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        *,
        options: TrainOptions,
        device: torch.device,
        precision: str,
        world: World = ALONE,
    ) -> None:
        _check_shares(options, world)
        _check_contexts(options, world)
        _check_norms(network, options, world, device)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.auxiliary_heads.requires_grad_(options.loss.aux_weight > 0)
        self._scaling = scaling
        self._options = options
        self._device = device
        self._dtype = PRECISIONS[precision]
        self._world = world
        self._together = self._join() if world.size > 1 else None
        self._forward: nn.Module = self._together or self.network
        if options.compile:
            self._forward = _compiled(self._forward, device)
        self._optimizer = build_optimizer(self.network, options=options.optimizer)
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self._average = _moving_average(self.network, options.ema) if options.ema else None

    @property
    def kept(self) -> Network:
        """The network that is validated and kept: the moving average, or the one that learns."""
        return self.network if self._average is None else cast(Network, self._average.module)

    @property
    def _norms(self) -> list[_BatchNorm]:
        return [module for module in self.network.modules() if isinstance(module, _BatchNorm)]

    @property
    def _norms_learn(self) -> bool:
        return self._options.norm == "batch" and bool(self._norms)

    @property
    def _skips_steps(self) -> bool:
        """Whether a gradient that is not finite only means that the scale of fp16 is too large yet."""
        return self._scaler.is_enabled() and self._scaler.get_scale() > _LEAST_SCALE

    def state(self) -> dict[str, Mapping[str, Any]]:
        """What a checkpoint keeps; the tensors are those in use, not copies."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "average": {} if self._average is None else self._average.state_dict(),
        }

    def load_state(
        self,
        *,
        network: Mapping[str, Tensor],
        optimizer: Mapping[str, Any],
        scaler: Mapping[str, Any],
        average: Mapping[str, Tensor],
    ) -> None:
        """Go back to what `state` gave."""
        self.network.load_state_dict(network)
        self._optimizer.load_state_dict(dict(optimizer))
        if scaler:
            self._scaler.load_state_dict(dict(scaler))
        if self._average is not None:
            self._average.load_state_dict(average)

    def learn(self, batch: Batch, step: int) -> float:
        """Learn from one batch and give its loss.

        Raises:
            InputError: loss or gradient are not finite; the parameters are as before.
            ResourceError: memory does not hold the batch, or the network cannot be compiled.
        """
        size = " x ".join(str(n) for n in batch.pixels.shape)
        hint = "choose a smaller --batch-size or --window"
        with memory_errors(f"learning from a batch of {size} values", hint=hint), _compiler_errors():
            return self._learn(batch, step)

    def _learn(self, batch: Batch, step: int) -> float:
        options = self._options.optimizer
        set_learning_rate(self._optimizer, learning_rate(step, steps=self._options.steps, options=options))
        self._optimizer.zero_grad(set_to_none=True)
        value = self._backward(batch, merge=merges(step, self._options.merge_contexts))
        _check_finite(value, "loss", step)
        self._scaler.unscale_(self._optimizer)
        longest = options.clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), longest)
        if not self._skips_steps:
            _check_finite(norm.item(), "gradient", step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._share_statistics()
        if self._average is not None:
            self._average.update_parameters(self.network)
        return value

    def _backward(self, batch: Batch, *, merge: bool) -> float:
        """Add up the gradients of the parts of a batch, each with its share of the labelled pixels, and give the loss.

        A part is learnt from by all processes at once; they exchange gradients after the last one.
        """
        x, labels = make_changes(batch, self._scaling, window=self._options.window, device=self._device)
        x = x.contiguous(memory_format=torch.channels_last)
        pieces = self._options.optimizer.parts
        parts = list(zip(x.chunk(pieces), labels.chunk(pieces), strict=True))
        counts = self._world.sum(torch.stack([count_labelled(ids) for _, ids in parts]))
        shares = counts / counts.sum().clamp(min=1)
        total = torch.zeros((), device=self._device)
        for number, (part, ids) in enumerate(parts, start=1):
            with self._gradients(exchanged=number == len(parts)):
                loss = self._loss(part, ids, merge=merge) * shares[number - 1]
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return self._world.sum(total).item() / self._world.size

    def _loss(self, x: Tensor, labels: Tensor, *, merge: bool) -> Tensor:
        self.network.train()
        if self._options.norm == "frozen":
            for norm in self._norms:
                norm.eval()
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: Logits = self._forward(x, merge=merge)
        return segmentation_loss(logits, labels, options=self._options.loss, world=self._world)

    def _join(self) -> DistributedDataParallel:
        """Let all processes have the mean of their gradients, and batch norms the whole batch, where torch has that."""
        if self._norms_learn and self._device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.network)  # type: ignore[no-untyped-call]
        elif self._norms_learn and self._world.is_first:
            logger.warning(
                "on a CPU every process normalises its own share of a batch; norm = frozen does as one process would"
            )
        return DistributedDataParallel(self.network)

    def _gradients(self, *, exchanged: bool) -> AbstractContextManager[None]:
        return nullcontext() if exchanged or self._together is None else self._together.no_sync()

    def _share_statistics(self) -> None:
        """Where processes normalise by themselves, go on with the mean of what their norms have seen."""
        if self._together is None or not self._norms_learn or self._device.type == "cuda":
            return
        for norm in self._norms:
            for seen in (norm.running_mean, norm.running_var):
                if seen is not None:
                    seen.copy_(self._world.sum(seen) / self._world.size)


def merges(step: int, share: float) -> bool:
    """Whether attention sees the contexts of the whole batch in a step from 0: a share of all steps, evenly spread."""
    return math.floor((step + 1) * share) > math.floor(step * share)


def _check_shares(options: TrainOptions, world: World) -> None:
    parts = options.optimizer.parts
    if options.batch_size % (world.size * parts):
        raise OptionError(
            f"batch size is {options.batch_size}; {world.size} processes cannot share it equally"
            + (f", each in {parts} parts" if parts > 1 else ""),
            hint=f"choose a multiple of {world.size * parts}",
        )


def _check_contexts(options: TrainOptions, world: World) -> None:
    if options.merge_contexts and world.size > 1:
        raise OptionError(
            f"merge contexts is {options.merge_contexts:g}; {world.size} processes do not merge the contexts of their"
            " shares of a batch",
            hint="train in one process, or leave merge_contexts out",
        )


def _check_norms(network: Network, options: TrainOptions, world: World, device: torch.device) -> None:
    """Refuse shares too small for batch norms that see nothing else; for one process the recipe has been checked."""
    if world.size == 1 or device.type == "cuda" or options.norm == "frozen":
        return
    share = options.batch_size // (world.size * options.optimizer.parts)
    if share < network.least_batch or share * math.ceil(options.window / network.stride) ** 2 < 2:
        least = max(2, network.least_batch) * world.size * options.optimizer.parts
        raise OptionError(
            f"batch size {options.batch_size} leaves each of {world.size} processes {share} at a time, too few for"
            " batch norms that on a CPU see only these",
            hint=f"choose --batch-size {least} or more, or --set norm=frozen",
        )


def _compiled(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, to be compiled when it first learns; its state keeps its names."""
    if device.type == "cpu":
        check_compiler()
    return cast(nn.Module, torch.compile(network))


@contextmanager
def _compiler_errors() -> Iterator[None]:
    """Say that compiling failed; torch imports the classes of these errors, which takes seconds, when it compiles."""
    try:
        yield
    except RuntimeError as err:
        if not type(err).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = (str(err).splitlines() or ["no reason given"])[0]
        raise ResourceError(
            f"torch cannot compile the network ({reason})",
            hint="leave compile out, or see that its compiler works",
        ) from err


def _moving_average(network: Network, decay: float) -> AveragedModel:
    """An average of parameters, and of what norms have seen (Tarvainen and Valpola 2017, arXiv:1703.01780).

    After n updates the next leaves (1 + n) / (10 + n) of the average as it is, at most `decay`: so the random numbers
    that a network began with are soon forgotten.
    """

    def update(average: Any, current: Any, updates: Tensor | int) -> None:
        share = min(decay, (1 + int(updates)) / (10 + int(updates)))
        get_ema_multi_avg_fn(share)(average, current, updates)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def _check_finite(value: float, what: str, step: int) -> None:
    """A recipe may diverge on one data set and not on another, so this is no error of usage but one of the input."""
    if not math.isfinite(value):
        raise InputError(
            f"the {what} of step {step + 1} is {value}; training cannot go on",
            hint="the last checkpoint is intact; start anew with a lower --lr, or with --precision fp32",
        )
