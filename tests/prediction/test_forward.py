import numpy as np
import pytest
import torch
from torch import nn

from rsseg.errors import OptionError, ResourceError
from rsseg.prediction.forward import Forward, memory_errors, resolve_device
from rsseg.preprocess import Scaling

PLAIN = Scaling(mean=(0.0, 0.0), std=(1.0, 1.0))


def test_the_largest_logit_decides_and_invalid_pixels_are_255() -> None:
    pixels = np.array([[[[3, 1]], [[2, 9]]]], dtype=np.uint8)
    valid = np.array([[[True, False]]])

    classes = Forward(nn.Identity(), PLAIN, device=torch.device("cpu"))(pixels, valid)

    assert classes.tolist() == [[[0, 255]]]
    assert classes.dtype == np.uint8


def test_half_precision_reaches_the_network() -> None:
    seen = []
    network = nn.Conv2d(2, 2, 1)
    network.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))

    Forward(network, PLAIN, device=torch.device("cpu"), precision="bf16")(
        np.ones((1, 2, 4, 4), np.uint8), np.ones((1, 4, 4), np.bool_)
    )

    assert seen == [torch.bfloat16]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_short_memory_is_one_error_with_a_hint(error: Exception) -> None:
    with pytest.raises(ResourceError, match="not enough memory for this") as caught, memory_errors("this"):
        raise error
    assert "--batch-size" in str(caught.value.hint)


def test_other_failures_of_torch_pass_through() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("this"):
        raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:99999999999999", ""])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(ResourceError, match="this machine has 1 CUDA devices"):
        resolve_device("cuda:1")


@pytest.mark.parametrize(("available", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_prefers_a_gpu(monkeypatch: pytest.MonkeyPatch, *, available: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)

    assert resolve_device("auto").type == kind
