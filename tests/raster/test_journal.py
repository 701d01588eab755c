"""The journal of an unfinished map."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError
from rsseg.raster import journal as journal_module
from rsseg.raster.block_file import Block
from rsseg.raster.journal import Journal

RUN = {"weights": "abc", "tile": 512, "bands": [1, 2, 3]}
blocks = st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.booleans(), max_size=5)


def on_disk(blocks: Iterable[Block]) -> int:
    """A checksum of blocks that never change."""
    return sum(10 * col + row for col, row in blocks)


def written(path: Path, *lines: dict[tuple[int, int], bool], run: dict[str, Any] = RUN) -> Journal:
    journal = Journal(path, checksum=on_disk)
    journal.open(run)
    for line in lines:
        journal.add(line, {5: {0: 3, 2: 4}})
    journal.close()
    return journal


@given(st.lists(blocks, max_size=4))
def test_what_was_noted_is_known_again(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    before = written(path, *lines)

    after = written(path)

    assert after.done == before.done
    assert after.pixels == before.pixels
    assert after.pixels == ({5: {0: 3 * len(lines), 2: 4 * len(lines)}} if lines else {})


@given(st.integers(0, 600))
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


@given(st.data())
def test_a_line_in_which_a_bit_has_changed_never_happened_nor_did_those_after_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("j") / "journal.jsonl"
    lengths = [path.stat().st_size for n in range(4) if written(path, {(n, 0): True})]
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)

    journal = written(path)

    assert journal.done == {(n, 0): True for n in range(4) if lengths[n] <= place}


def test_damage_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, {(0, 0): True})
    path.write_bytes(path.read_bytes().replace(b"[0,0]", b"[0,1]"))

    written(path)

    assert f"{path}: is damaged; what it told from there on is made anew" in caplog.text


def test_blocks_that_are_not_what_they_were_are_forgotten_with_all_after_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, {(0, 0): True}, {(1, 0): True, (1, 1): False}, {(2, 0): True})

    damaged = Journal(path, checksum=lambda blocks: sum(99 if b == (1, 0) else on_disk([b]) for b in blocks))
    damaged.open(RUN)
    damaged.close()

    assert damaged.done == {(0, 0): True}
    assert f"{tmp_path}: blocks are damaged; they are made anew" in caplog.text
    assert written(path).done == {(0, 0): True}


def test_a_line_that_the_disk_did_not_take_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, checksum=on_disk)
    journal.open(RUN)
    before = path.read_bytes()

    def refuse(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output"):
            journal.add({(0, 0): True}, {})

    assert path.read_bytes() == before
    assert journal.done == {}
    journal.add({(1, 0): True}, {})
    journal.close()
    assert written(path).done == {(1, 0): True}


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
        Journal(path, checksum=on_disk).open({**RUN, **change})

    assert "--no-resume" in (caught.value.hint or "")
    assert path.read_bytes() == before


def test_a_journal_of_another_version_is_refused_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "FORMAT", 1)
        written(path, {(0, 0): True})

    with pytest.raises(OptionError, match=r"holds an unfinished run of another version of rsseg$") as caught:
        Journal(path, checksum=on_disk).open(RUN)

    assert "--no-resume" in (caught.value.hint or "")
