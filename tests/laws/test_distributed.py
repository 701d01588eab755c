"""Several processes learn what one learns from the whole batch, write one run, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rsseg.training.engine import train
from rsseg.training.losses import ohem_loss
from rsseg.training.world import ALONE
from tests.data.labelled import write_tiles
from tests.laws import together
from tests.laws.processes import ROOT
from tests.making import write_argmax_weights
from tests.training.runs import ONE, losses, recipe, tensors, train_until

SPLIT = {"train": ["a", "b"], "val": ["c", "d"]}
FLAGS = [
    "--model",
    "linear",
    "--epochs",
    "2",
    "--steps-per-epoch",
    "4",
    "--batch-size",
    "4",
    "--window",
    "32",
]
FLAGS += ["--tile", "16", "--halo", "0", "--lr", "0.05", "--precision", "fp32", "--device", "cpu"]
RECIPE = recipe(epochs=2, steps_per_epoch=4, batch_size=4, tile=16)
"""That of the flags."""


def start(*args: object) -> subprocess.Popen[str]:
    """Two processes, of which torchrun says what they say."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, *map(str, args)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(running: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, what it gave and what it said."""
    try:
        given, said = running.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        running.terminate()  # it ends the two, which are in sessions of their own
        running.communicate()
        raise
    return running.returncode, given, said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together") / "d"
    write_tiles(folder, names=("a", "b", "c", "d"), size=(40, 56), split=SPLIT)
    write_argmax_weights(folder / "argmax.safetensors")
    return folder


@pytest.fixture(scope="module")
def both(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `together.laws` gave in each of two processes."""
    folder = tmp_path_factory.mktemp("both")
    code, _, said = end(start("-m", "tests.laws.together", "laws", folder, data))
    assert code == 0, said
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.mark.parametrize("name", together.EXACT)
def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(
    name: str, both: list[dict[str, Any]]
) -> None:
    alone = together.learn(ALONE, **together.EXACT[name])

    for each in both:
        assert furthest(each[name]["gradient"], alone["gradient"]) <= 1e-6
        assert furthest(each[name]["kept"], alone["kept"]) <= 1e-5  # after some steps
        assert each[name]["losses"] == pytest.approx(alone["losses"], rel=1e-6)
    assert max(float(g.abs().max()) for g in alone["gradient"].values()) > 0.05
    assert alone["losses"][-1] < alone["losses"][0]


@pytest.mark.parametrize("name", [*together.EXACT, "own norms", "ohem"])
def test_processes_stay_equal_to_the_last_bit(name: str, both: list[dict[str, Any]]) -> None:
    first, second = (each[name] for each in both)

    assert first["losses"] == second["losses"]
    assert furthest(first["gradient"], second["gradient"]) == 0
    assert furthest(first["kept"], second["kept"]) == 0


def test_norms_of_their_own_share_what_they_have_seen(both: list[dict[str, Any]]) -> None:
    alone = together.learn(ALONE, norm="batch")

    for each in both:
        assert torch.allclose(each["own norms"]["seen"], alone["seen"], atol=1e-6)
        assert (
            furthest(each["own norms"]["gradient"], alone["gradient"]) > 1e-3
        )  # which frozen norms would not
    assert alone["seen"].abs().max() > 0.01


def test_hard_pixels_are_those_of_each_process_by_its_labelled_pixels(both: list[dict[str, Any]]) -> None:
    network, batch = together.learner(ALONE).network, together.whole_batch()
    network.norm.eval()
    x = together.SCALING.apply(torch.from_numpy(batch.pixels), torch.from_numpy(batch.valid))
    labels = torch.from_numpy(batch.labels).long()
    with torch.no_grad():
        logits = network(x)
    heads = (logits.main, *logits.auxiliary)
    total = 0.0
    for share in (slice(0, 2), slice(2, 4)):
        weight = float((labels[share] != 255).sum() / (labels != 255).sum())
        total += weight * sum(
            ohem_loss(head[share], labels[share], threshold=0.3, kept=0.0625).item() for head in heads
        )

    assert both[0]["ohem"]["losses"][0] == pytest.approx(total, rel=1e-5)


def test_all_processes_stop_at_what_is_not_finite_in_one_and_nothing_has_changed(
    both: list[dict[str, Any]],
) -> None:
    first, second = (each["failed"] for each in both)

    assert first["said"] == second["said"] == "the loss of step 2 is nan; training cannot go on"
    for each in (first, second):
        for before, after in zip(each["before"], each["after"], strict=True):
            assert furthest(before, after) == 0


def test_tiles_are_shared_out_and_every_process_has_the_scores_of_all(
    both: list[dict[str, Any]], data: Path
) -> None:
    alone = together.scores(ALONE, data)

    assert alone.pixels == 2 * 40 * 56
    assert both[0]["scores"] == both[1]["scores"] == alone


def test_a_world_sums_and_agrees(both: list[dict[str, Any]]) -> None:
    for rank, each in enumerate(both):
        sums = each["sums"]
        assert sums["sum"].tolist() == [3.0, 6.0]
        assert sums["kept"].tolist() == [1.0 + rank, 2.0 + 2 * rank]
        assert sums["gradient"].tolist() == [12.0, 24.0]  # of both: twice 2 x 3 and 2 x 6
        assert (sums["any"], sums["none"]) == (True, False)
    alone = together.sums(ALONE)
    assert alone["sum"].tolist() == [1.0, 2.0]
    assert alone["gradient"].tolist() == [2.0, 4.0]
    assert (alone["any"], alone["none"]) == (False, False)


def test_two_processes_write_the_run_of_one(data: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(data, one, options=RECIPE, machine=ONE)

    code, given, said = end(start("-m", "rsseg", "train", data, "-o", two, *FLAGS))

    assert code == 0, said
    assert "Warning" not in said
    assert given == f"{two / 'best.safetensors'}\n"
    assert losses(two) == pytest.approx(losses(one), rel=1e-6)
    assert len(losses(two)) == 2
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["one", "two"]
    assert furthest(tensors(two / "best.safetensors"), tensors(one / "best.safetensors")) <= 1e-5
    assert said.count("epoch 2 of 2") <= 1


def test_a_run_goes_on_with_another_number_of_processes(data: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(data, whole, options=RECIPE, machine=ONE)
    train_until(6, data, stopped, RECIPE)

    code, _, said = end(start("-m", "rsseg", "train", "--resume", stopped, "--device", "cpu"))

    assert code == 0, said
    assert losses(stopped) == pytest.approx(losses(whole), rel=1e-6)
    assert furthest(tensors(stopped / "best.safetensors"), tensors(whole / "best.safetensors")) <= 1e-5


def codes(folder: Path) -> list[str]:
    return [(folder / f"code-{rank}").read_text() for rank in range(2)]


def test_an_error_in_one_process_ends_both_with_its_code_and_one_message(data: Path, tmp_path: Path) -> None:
    code, given, said = end(
        start("-m", "tests.laws.together", "fail", tmp_path, "train", data, "-o", tmp_path / "run", *FLAGS)
    )

    assert code != 0
    assert given == ""
    assert codes(tmp_path) == ["3", "3"]
    errors = [line for line in said.splitlines() if line.startswith(("Error: ", "Hint: "))]
    assert errors == ["Error: images/b.tif: sample 11 is gone", "Hint: get it back"]
    assert "Interrupted" not in said


def test_a_process_that_is_killed_does_not_leave_the_other_waiting(data: Path, tmp_path: Path) -> None:
    code, given, said = end(
        start("-m", "tests.laws.together", "die", tmp_path, "train", data, "-o", tmp_path / "run", *FLAGS)
    )

    assert code != 0
    assert given == ""
    assert "exitcode  : 77" in said
    assert (tmp_path / "code-0").read_text() in ("5", "130")  # it noticed, or torchrun ended it before


def test_ctrl_c_ends_both_and_the_run_can_go_on(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = [*FLAGS, "--epochs", "100000"]
    running = start("-m", "tests.laws.together", "run", tmp_path, "train", data, "-o", run, *flags)
    patience = time.monotonic() + 120
    while not (run / "best.safetensors").exists():
        assert running.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)

    running.send_signal(signal.SIGINT)
    _, given, said = end(running)

    assert given == ""
    assert codes(tmp_path) == ["130", "130"]
    assert said.count("Interrupted: no output is half-written.") == 1
    assert said.count(f"go on with: rsseg train --resume {run}") == 1
