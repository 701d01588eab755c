"""The journal of an unfinished map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError
from rsseg.raster.journal import Journal

RUN = {"weights": "abc", "tile": 512, "bands": [1, 2, 3]}
blocks = st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.booleans(), max_size=5)


def written(path: Path, *lines: dict[tuple[int, int], bool], run: dict[str, Any] = RUN) -> Journal:
    journal = Journal(path)
    journal.open(run)
    for line in lines:
        journal.add(line, {0: 3, 255: 4})
    journal.close()
    return journal


@given(st.lists(blocks, max_size=4))
def test_what_was_noted_is_known_again(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    before = written(path, *lines)

    after = written(path)

    assert after.done == before.done
    assert after.pixels == before.pixels
    assert after.pixels[255] == 4 * len(lines)


@given(st.integers(0, 400))
def test_a_line_that_was_cut_off_never_happened(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    lengths = [path.stat().st_size for n in range(3) if written(path, {(n, 0): True})]
    path.write_bytes(path.read_bytes()[:cut])

    journal = written(path, {(7, 7): False})

    complete = sum(length <= cut for length in lengths)
    assert journal.done == {**{(n, 0): True for n in range(complete)}, (7, 7): False}
    assert written(path).done == journal.done


def test_a_line_of_zeros_after_a_power_cut_never_happened(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, {(0, 0): True})
    with path.open("ab") as file:
        file.write(b"\0" * 50 + b"\n")

    assert written(path).done == {(0, 0): True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile": 256}, r"differs in tile \(was 512, is 256\)$"),
        ({"bands": [3, 2, 1], "weights": "x"}, r"bands \(was .*\); weights \(was abc, is x\)$"),
        ({"more": 1}, r"more \(was None, is 1\)$"),
    ],
)
def test_another_run_is_refused_with_what_differs(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, {(0, 0): True})
    before = path.read_bytes()

    with pytest.raises(OptionError, match=message) as caught:
        Journal(path).open({**RUN, **change})

    assert "--no-resume" in (caught.value.hint or "")
    assert path.read_bytes() == before
