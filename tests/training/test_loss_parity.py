"""Parity with the published losses, by their numbers in the development data."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rsseg.training.losses import cross_entropy, dice_loss, ohem_loss
from tests.conftest import PARITY
from tests.shared import shared_folder

Loss = Callable[[Tensor, Tensor], Tensor]
TOLERANCE = 2e-6
"""Of float32, relative to a loss or to the norm of its gradient."""

CASES = ("a", "b")
COUNTS = ("small", "large", "beyond_valid")

smoothed = partial(cross_entropy, label_smoothing=0.05)
smooth_dice = partial(dice_loss, smooth=0.05)


@cache
def description() -> dict[str, Any]:
    text = shared_folder("specs", "fixtures", "losses.json").read_text(encoding="utf-8")
    cases: dict[str, Any] = json.loads(text)["cases"]
    return cases


def pixels(case: str) -> tuple[Tensor, Tensor]:
    """Logits (N, K, H, W) and labels (N, H, W)."""
    with np.load(shared_folder("specs", "fixtures", "losses.npz")) as file:
        return torch.from_numpy(file[f"{case}/logits"]), torch.from_numpy(file[f"{case}/labels"]).long()


def counts(case: str) -> tuple[int, int]:
    """How many pixels are labelled, and how many there are."""
    _, labels = pixels(case)
    return int((labels != 255).sum()), labels.numel()


def mined(case: str, least: int) -> Loss:
    """OHEM that keeps at least so many pixels."""
    return partial(ohem_loss, threshold=0.7, kept=least / counts(case)[0])


def compare(loss: Loss, case: str, name: str, note: Callable[[str, object], None]) -> None:
    """Compare value, norm of the gradient and its first numbers with those published."""
    logits, labels = pixels(case)
    expected = description()[case]["losses"][name]
    logits.requires_grad_()

    value = loss(logits, labels)
    value.backward()

    assert logits.grad is not None
    norm = expected["grad_l2"]
    first = logits.grad.flatten()[:4].double().numpy()
    errors = (
        abs(value.item() - expected["value"]) / expected["value"],
        abs(logits.grad.double().norm().item() - norm) / norm,
        float(np.abs(first - expected["grad_first4"]).max()) / norm,
    )
    worst = max(errors)
    note(
        PARITY,
        f"{f'loss {case} {name}':48} float32  {worst:8.1e}  {TOLERANCE:8.1e}  {worst / TOLERANCE:6.3f}",
    )
    assert worst <= TOLERANCE, errors


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("cross_entropy_ignore_mean", cross_entropy),
        ("soft_ce_0.05_mean_over_valid", smoothed),
        ("geoseg_dice_0.05", smooth_dice),
    ],
)
def test_a_loss_is_the_published_one(
    name: str, loss: Loss, case: str, record_property: Callable[[str, object], None]
) -> None:
    compare(loss, case, name, record_property)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", COUNTS)
def test_ohem_over_valid_pixels_is_ours(
    case: str, count: str, record_property: Callable[[str, object], None]
) -> None:
    name = f"ohem_valid_only_0.7_nmin_{count}"
    least = description()[case]["losses"][name]["n_min"]

    compare(mined(case, least), case, name, record_property)


@pytest.mark.parametrize("case", CASES)
def test_geosegs_ohem_is_ours_with_a_sixteenth_kept(
    case: str, record_property: Callable[[str, object], None]
) -> None:
    loss = partial(ohem_loss, threshold=0.7, kept=1 / 16)

    compare(loss, case, "geoseg_ohem_0.7_nmin_valid/16", record_property)


@pytest.mark.parametrize("case", CASES)
def test_geosegs_smoothed_loss_is_ours_times_the_labelled_share_since_it_divides_by_all_pixels(
    case: str, record_property: Callable[[str, object], None]
) -> None:
    valid, total = counts(case)

    def divided_by_all(logits: Tensor, labels: Tensor) -> Tensor:
        return smoothed(logits, labels) * (valid / total)

    def joint(logits: Tensor, labels: Tensor) -> Tensor:
        return divided_by_all(logits, labels) + smooth_dice(logits, labels)

    compare(divided_by_all, case, "geoseg_soft_ce_0.05", record_property)
    compare(joint, case, "geoseg_joint_softce_dice", record_property)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [*COUNTS, "half_image"])
def test_attanets_ohem_is_ours_but_for_the_zeros_of_ignored_pixels_that_fill_up_its_count(
    case: str, count: str, record_property: Callable[[str, object], None]
) -> None:
    name = f"attanet_ohem_0.7_nmin_{count}"
    least, (valid, _) = description()[case]["losses"][name]["n_min"], counts(case)
    diluted = valid / max(valid, least)

    def with_zeros(logits: Tensor, labels: Tensor) -> Tensor:
        return mined(case, least)(logits, labels) * diluted

    compare(with_zeros, case, name, record_property)
    assert (diluted < 1) == (count == "beyond_valid")


def test_every_published_loss_is_compared() -> None:
    ohem = {f"attanet_ohem_0.7_nmin_{count}" for count in (*COUNTS, "half_image")}
    ohem |= {f"ohem_valid_only_0.7_nmin_{count}" for count in COUNTS} | {"geoseg_ohem_0.7_nmin_valid/16"}
    plain = {"cross_entropy_ignore_mean", "soft_ce_0.05_mean_over_valid", "geoseg_dice_0.05"}
    scaled = {"geoseg_soft_ce_0.05", "geoseg_joint_softce_dice"}

    assert set(description()) == set(CASES)
    for case in CASES:
        assert set(description()[case]["losses"]) == ohem | plain | scaled
