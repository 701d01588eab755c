"""One step of learning: scale, forward, loss, backward, update.

Shapes: N samples, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rsseg.errors import InputError
from rsseg.models.network import Logits, Network
from rsseg.prediction.forward import memory_errors
from rsseg.prediction.precision import PRECISIONS, resolve_precision
from rsseg.preprocess import Scaling
from rsseg.training.loader import Batch
from rsseg.training.losses import segmentation_loss
from rsseg.training.options import TrainOptions
from rsseg.training.schedule import build_optimizer, learning_rate, set_learning_rate


def resolve_training_precision(name: str, device: torch.device) -> str:
    """What `auto` stands for: as in prediction, but bf16 on a CPU that multiplies it in hardware.

    There a step of MAResU-Net takes about half the time (measured: AVX512-BF16, one thread); elsewhere bf16 is
    emulated and slower than fp32.

    Raises:
        OptionError: an unknown name, or fp16 on a CPU.
    """
    if name == "auto" and device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
        return "bf16" if has_bf16 else "fp32"
    return resolve_precision(name, device)


class Learner:
    """A network on its device with what moves its parameters.

    Args:
        network: gives logits (N, K, H, W); it is moved to the device.
        scaling: how pixels become its input.
        options: schedule, loss and clipping.
        device: where it learns.
        precision: a key of `PRECISIONS`; below fp32 the network runs under autocast, the update stays float32.
    """

    def __init__(
        self,
        network: Network,
        scaling: Scaling,
        *,
        options: TrainOptions,
        device: torch.device,
        precision: str,
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._scaling = scaling
        self._options = options
        self._device = device
        self._dtype = PRECISIONS[precision]
        self._optimizer = build_optimizer(self.network, lr=options.lr, weight_decay=options.weight_decay)
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def state(self) -> dict[str, Mapping[str, Any]]:
        """What a checkpoint keeps; the tensors are those in use, not copies."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state(
        self, *, network: Mapping[str, Tensor], optimizer: Mapping[str, Any], scaler: Mapping[str, Any]
    ) -> None:
        """Go back to what `state` gave."""
        self.network.load_state_dict(network)
        self._optimizer.load_state_dict(dict(optimizer))
        if scaler:
            self._scaler.load_state_dict(dict(scaler))

    def learn(self, batch: Batch, step: int) -> float:
        """Learn from one batch and give its loss.

        Raises:
            InputError: loss or gradient are not finite; the parameters are as before.
            ResourceError: memory does not hold the batch.
        """
        size = " x ".join(str(n) for n in batch.pixels.shape)
        hint = "choose a smaller --batch-size or --window"
        with memory_errors(f"learning from a batch of {size} values", hint=hint):
            return self._learn(batch, step)

    def _learn(self, batch: Batch, step: int) -> float:
        options = self._options
        rate = learning_rate(step, steps=options.steps, peak=options.lr, warmup=options.warmup)
        set_learning_rate(self._optimizer, rate)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        value = loss.item()
        _check_finite(value, "loss", step)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        if not self._scaler.is_enabled():  # the scaler skips such steps and halves its scale
            _check_finite(norm.item(), "gradient", step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return value

    def _loss(self, batch: Batch) -> Tensor:
        labels = torch.from_numpy(batch.labels).to(self._device, torch.int64)
        x = self._lit(batch).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits: Logits = self.network.train()(x)
        return segmentation_loss(logits, labels, options=self._options)

    def _lit(self, batch: Batch) -> Tensor:
        """Scaled pixels in the light that was drawn for each sample; invalid ones stay 0."""
        valid = torch.from_numpy(batch.valid).to(self._device)
        scaled = self._scaling.apply(torch.from_numpy(batch.pixels).to(self._device), valid)
        gain = torch.from_numpy(batch.gain).to(self._device).view(-1, 1, 1, 1)
        offset = torch.from_numpy(batch.offset).to(self._device)[:, :, None, None]
        return scaled.mul_(gain).add_(offset).masked_fill_(~valid.unsqueeze(1), 0.0)


def _check_finite(value: float, what: str, step: int) -> None:
    """A recipe may diverge on one data set and not on another, so this is no error of usage but one of the input."""
    if not math.isfinite(value):
        raise InputError(
            f"the {what} of step {step + 1} is {value}; training cannot go on",
            hint="the last checkpoint is intact; start anew with a lower --lr, or with --precision fp32",
        )
