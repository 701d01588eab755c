"""A training run that is killed, at any moment, and gone on with ends as one that never was: bit for bit."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsseg.training.checkpoint import load_checkpoint
from rsseg.training.events import read_events
from tests.laws.faults import assert_told
from tests.laws.killing import (
    REAL,
    SOON,
    STEPS,
    Whole,
    assert_equal,
    assert_killed,
    killed_after,
    killed_before,
    points,
    resume,
    rows,
    run_whole,
)
from tests.laws.processes import Commands

TRIALS = 6


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    imports = (
        *("rsseg.cli.train", "rsseg.training.engine", "rsseg.raster", "rsseg.models.linear"),
        *("rsseg.models.maresunet", "torch._dynamo", "kornia.filters", "kornia.losses"),
    )
    with Commands(tmp_path_factory.mktemp("said"), imports=imports) as running:
        yield running


@pytest.fixture(scope="module")
def whole(trainings: Commands, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return run_whole(trainings, tmp_path_factory.mktemp("whole"), {})


def test_a_run_has_one_point_for_each_figure_and_epoch(whole: Whole) -> None:
    """What others are compared with."""
    found = Counter((step, tag) for step, tag, _ in points(whole.run))

    assert {step for step, _ in found} == {STEPS, 2 * STEPS}
    assert set(found.values()) == {1}
    assert [loss for _, tag, loss in points(whole.run) if tag == "train/loss"] == pytest.approx(
        [row["loss"] for row in rows(whole.run)], rel=1e-6
    )


def test_a_run_that_is_killed_before_and_after_every_change_of_an_epochs_end(
    trainings: Commands, whole: Whole, tmp_path: Path
) -> None:
    """Each process goes on from where the last was killed, and gets one change further: going on is killed, too."""
    run = tmp_path / "run"
    first_epoch = whole.renames("last.ckpt")[1]
    assert_killed(trainings.run(*whole.recipe.begin(run), first=killed_before(first_epoch + 1, run)))
    assert load_checkpoint(run / "last.ckpt").step == STEPS

    kills = 0
    while (ended := trainings.run(*resume(run), first=killed_before(kills, run))).code:
        assert_killed(ended)
        assert load_checkpoint(run / "last.ckpt").step in (STEPS, 2 * STEPS)
        kills += 1

    assert (
        kills > len(whole.changes) - whole.renames("last.ckpt")[-1]
    )  # those of the epoch's end, and of going on
    assert_equal(run, whole)


def test_a_run_that_is_killed_at_random_times_and_again_while_it_goes_on(
    trainings: Commands, whole: Whole, tmp_path: Path
) -> None:
    moments, kills, resumed = random.Random(7), 0, Counter[int]()
    for trial in range(TRIALS):
        run, checkpoint_s = tmp_path / str(trial), (1e9, -1.0)[trial % 2]  # -1: after every step
        for again in (False, True):
            share = (trial + 1 + moments.random()) / (TRIALS + 1) * (1, 0.5)[again]
            first = killed_after(share * whole.nanoseconds, checkpoint_s=checkpoint_s)
            begun = (run / "last.ckpt").exists()
            order = resume(run) if begun else whole.recipe.begin(run, "--overwrite")
            ended = trainings.run(*order, first=first)
            assert ended.code in (0, -signal.SIGKILL), ended.stderr
            kills += ended.code != 0
        resumed[load_checkpoint(run / "last.ckpt").step if begun else -1] += 1
        order = resume(run) if (run / "last.ckpt").exists() else whole.recipe.begin(run, "--overwrite")
        ended = trainings.run(*order, first=SOON.format(checkpoint_s=1e9))
        assert ended.code == 0, ended.stderr
        assert_equal(run, whole)

    print(f"{kills} kills; gone on after step: {dict(resumed)}")  # noqa: T201 - for `pytest -s`
    assert kills > TRIALS
    assert len(resumed) >= 2


def test_what_a_kill_left_of_a_file_that_grows_is_taken_out_again(
    trainings: Commands, whole: Whole, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    last = whole.renames("log.jsonl")[-1]
    assert_killed(trainings.run(*whole.recipe.begin(run), first=killed_before(last, run)))
    events = run / "events.out.tfevents.rsseg"
    assert {event.step for event in read_events(events)} == {0, STEPS, 2 * STEPS}
    events.write_bytes(events.read_bytes()[:-7])

    assert trainings.run(*resume(run), first=SOON.format(checkpoint_s=1e9)).code == 0

    assert_equal(run, whole)


def test_a_run_that_is_killed_before_its_first_checkpoint_says_what_to_do(
    trainings: Commands, whole: Whole, tmp_path: Path
) -> None:
    """It holds nothing to go on from: whoever tries is told to begin again, and that works."""
    plain = SOON.format(checkpoint_s=1e9)
    begun = whole.renames("last.ckpt")[0]
    files = [number for number, (event, _) in enumerate(whole.changes[: begun + 1]) if event == "os.rename"]
    assert len(files) == 6
    for number in files:
        run = tmp_path / str(number)
        assert_killed(trainings.run(*whole.recipe.begin(run), first=killed_before(number, run)))

        error = "no such checkpoint" if number > files[0] else "is no run"
        hint = "with --overwrite, without --resume" if number > files[0] else "that an earlier"
        assert_told(trainings.run(*resume(run)), code=4, error=error, hint=hint)

    nothing, everything_else = tmp_path / str(files[0]), tmp_path / str(files[-1])
    assert_told(
        trainings.run(*whole.recipe.begin(everything_else)),
        code=2,
        error="holds a run already",
        hint="Hint: replace it with --overwrite",
    )
    assert trainings.run(*whole.recipe.begin(everything_else, "--overwrite"), first=plain).code == 0
    assert trainings.run(*whole.recipe.begin(nothing), first=plain).code == 0
    assert_equal(everything_else, whole)
    assert_equal(nothing, whole)


def test_a_real_network_goes_on_just_so(trainings: Commands, tmp_path: Path) -> None:
    """Killed while the checkpoints of its second and of its last step are written, and just after that."""
    whole = run_whole(trainings, tmp_path, REAL)
    run = tmp_path / "parts"
    first = killed_before(whole.renames("last.ckpt")[0] + 8, run, checkpoint_s=-1.0)
    assert_killed(trainings.run(*whole.recipe.begin(run), first=first))
    assert load_checkpoint(run / "last.ckpt").step == 1

    moment = whole.renames("last.ckpt")[1] - whole.renames("last.ckpt")[0] + 9  # and what going on changes
    assert_killed(trainings.run(*resume(run), first=killed_before(moment, run)))
    assert load_checkpoint(run / "last.ckpt").step == 1
    assert_killed(trainings.run(*resume(run), first=killed_before(moment + 2, run)))
    assert load_checkpoint(run / "last.ckpt").step == 3
    assert not (run / "best.safetensors").exists()
    assert trainings.run(*resume(run), first=SOON.format(checkpoint_s=1e9)).code == 0

    assert_equal(run, whole)
    for path in tmp_path.glob("*/last.ckpt"):
        path.unlink()
