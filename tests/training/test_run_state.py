"""How a run stands: read from its folder, without torch."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg.errors import WeightsError
from rsseg.training.engine import train
from rsseg.training.run_state import read_run
from tests.data.labelled import write_tiles
from tests.training.runs import ONE, SPLIT, recipe, train_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiles(tmp_path / "d", split=SPLIT)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on the data `d`: one that ended, and one that was killed in its third epoch."""
    place = tmp_path_factory.mktemp("runs")
    write_tiles(place / "d", split=SPLIT)
    train(place / "d", place / "finished", options=recipe(epochs=2), machine=ONE)
    train_until(10, place / "d", place / "stopped", recipe())
    return place


@pytest.fixture
def finished(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "finished", tmp_path / "finished"))


@pytest.fixture
def stopped(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "stopped", tmp_path / "stopped"))


def test_a_finished_run(finished: Path, runs: Path) -> None:
    run = read_run(finished)

    assert (run.state, run.goes_on, run.problem, run.data) == ("finished", False, None, runs / "d")
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.best is not None
    assert run.best["mean_iou"] == max(row["mean_iou"] for row in run.history)


def test_a_run_that_was_stopped_goes_on(stopped: Path) -> None:
    run = read_run(stopped)

    assert (run.state, run.goes_on, len(run.history)) == ("stopped", True, 2)


def test_a_run_before_its_first_epoch(folder: Path, tmp_path: Path) -> None:
    train_until(1, folder, tmp_path / "run", recipe())

    run = read_run(tmp_path / "run")

    assert (run.state, run.goes_on, run.history, run.best) == ("stopped", True, (), None)


def test_early_stopping_is_told_from_a_stop(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "run", options=recipe(epochs=9, patience=1, lr=1e-12), machine=ONE)

    run = read_run(tmp_path / "run")

    assert (run.state, run.goes_on) == ("stopped early", False)
    assert len(run.history) < 9


def test_a_run_that_another_process_writes(finished: Path) -> None:
    with (finished / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        assert read_run(finished).state == "running"


def test_what_keeps_a_run_from_going_on(stopped: Path, tmp_path: Path) -> None:
    config = stopped / "config.toml"
    recipe_of_ours = config.read_text()

    config.write_text(recipe_of_ours.replace("[train]", "[train]\nflavour = 3"))
    older = read_run(stopped)
    config.write_text(re.sub("data = .*", f'data = "{tmp_path}/gone"', recipe_of_ours))
    moved = read_run(stopped)
    (stopped / "last.ckpt").unlink()
    lost = read_run(stopped)

    assert (older.options, older.goes_on) == (None, False)
    assert "its recipe is not one of this version" in (older.problem or "")
    assert (moved.goes_on, moved.problem) == (False, f"its data are gone: {tmp_path}/gone")
    assert lost.problem == "last.ckpt is gone"


@pytest.mark.parametrize("line", ["no json", "[1]", '{"epoch": 1}'])
def test_damage_is_an_error(finished: Path, line: str) -> None:
    (finished / "log.jsonl").write_text(f"{line}\n")

    with pytest.raises(WeightsError, match=r"log\.jsonl: is damaged"):
        read_run(finished)


def test_it_waits_for_neither_torch_nor_matplotlib(finished: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from rsseg.training.run_state import read_run\n"
        f"read_run(Path({str(finished)!r})); print([n for n in ('torch', 'matplotlib') if n in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
