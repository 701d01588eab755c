from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from rsseg.errors import WeightsError
from rsseg.weights import CARD_KEY
from rsseg.weights.torch_files import check_state_file, read_state_dict

STATE = {"conv.weight": torch.arange(6.0).reshape(1, 6), "bn.num_batches_tracked": torch.tensor(3)}


def saved(value: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def write(path: Path, value: object, *, zipped: bool = True) -> Path:
    path.write_bytes(saved(value, zipped=zipped))
    return path


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_saved_state_dict_is_read(tmp_path: Path, zipped: bool) -> None:
    assert_equal(read_state_dict(write(tmp_path / "a.pth", STATE, zipped=zipped)), STATE)


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    save_file(STATE, tmp_path / name)

    found = read_state_dict(tmp_path / name)

    assert_equal({key: found[key] for key in STATE}, STATE)


@pytest.mark.parametrize(
    "wrapped",
    [
        {"state_dict": STATE},
        {"model": STATE, "optimizer": {"lr": 0.1}, "epoch": 3},
        {"epoch": 3, "best": torch.tensor(0.7), "net": STATE},
        {"model": {"state_dict": STATE}},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
        {f"module.model.{name}": tensor for name, tensor in STATE.items()},
        {f"net.{name}": tensor for name, tensor in STATE.items()},
        {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()},
    ],
    ids=str,
)
def test_usual_wrappings_are_taken_off(tmp_path: Path, wrapped: dict[str, object]) -> None:
    assert_equal(read_state_dict(write(tmp_path / "a.pth", wrapped)), STATE)


def test_a_prefix_that_not_all_tensors_have_stays(tmp_path: Path) -> None:
    state = {"module.a": torch.zeros(1), "b": torch.zeros(1)}

    assert list(read_state_dict(write(tmp_path / "a.pth", state))) == ["module.a", "b"]


def test_a_dictionary_that_is_its_own_entry_ends(tmp_path: Path) -> None:
    loop: dict[str, object] = {}
    loop["model"] = loop

    with pytest.raises(WeightsError, match="entry 'model' is a dict"):
        read_state_dict(write(tmp_path / "a.pth", loop))


class Network(torch.nn.Module):
    pass


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Network(), r"[\w.]*test_torch_files\.Network"),
        ({"args": argparse.Namespace(lr=1), "state_dict": STATE}, r"argparse\.Namespace"),
        ({"a": Path("x")}, r"pathlib\.\w+"),
    ],
    ids=["a whole network", "options beside", "a path"],
)
def test_what_needs_code_is_refused_by_name(tmp_path: Path, value: object, named: str, zipped: bool) -> None:
    with pytest.raises(WeightsError, match=f"holds {named} besides tensors") as caught:
        read_state_dict(write(tmp_path / "a.pth", value, zipped=zipped))

    assert "torch.save(network.state_dict(), FILE)" in str(caught.value.hint)


def test_nothing_is_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    for zipped in (True, False):
        with pytest.raises(WeightsError, match="could run code"):
            read_state_dict(write(tmp_path / "a.pth", {"w": Bomb()}, zipped=zipped))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "holds an empty dictionary; expected a state dict"),
        ({"model": {}}, "holds an empty dictionary"),
        ([1, 2], "holds a list"),
        (torch.zeros(2), "holds a Tensor"),
        ({"conv.weight": torch.zeros(2), "epoch": 7}, "entry 'epoch' is a int; a state dict maps"),
        ({"optimizer": {"lr": 1.0}}, "entry 'optimizer' is a dict"),
        ({3: torch.zeros(2)}, "entry 3 is not named by a text"),
        ({"a": torch.eye(2).to_sparse()}, "entry 'a' is a tensor of kind sparse_coo, float32 on cpu"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "entry 'a' is a tensor of kind strided, complex64"),
        ({"a": torch.zeros(2, device="meta")}, "entry 'a' is a tensor of kind strided, float32 on meta"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: object, message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about sparse tensors
        write(tmp_path / "a.pth", value)

    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "a.pth")


def zip_archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


REFUSED_AT_ONCE = {
    "empty": (b"", "is neither a file of torch.save nor safetensors"),
    "a web page": (b"<!DOCTYPE html><html>", "is neither a file of torch.save nor safetensors"),
    "a text pickle": (pickle.dumps({"a": 1}, protocol=0), "is neither a file of torch.save"),
    "cut off": (saved(STATE)[:-40], r"is no complete file of torch\.save \(File is not a zip file\)"),
    "another archive": (zip_archive("a/readme.txt"), "is a zip archive, but not one of torch.save"),
    "TorchScript": (
        zip_archive("a/data.pkl", "a/constants.pkl"),
        "is a TorchScript archive, which holds code",
    ),
}


@pytest.mark.parametrize("name", REFUSED_AT_ONCE)
def test_what_the_first_bytes_show_is_refused_at_once(tmp_path: Path, name: str) -> None:
    content, message = REFUSED_AT_ONCE[name]
    (tmp_path / "a.pth").write_bytes(content)

    with pytest.raises(WeightsError, match=message) as caught:
        check_state_file(tmp_path / "a.pth")

    assert caught.value.hint


def test_that_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "cut.pth").write_bytes(saved(STATE)[:-40])
    script = (
        "import sys; from pathlib import Path\n"
        "from rsseg.errors import WeightsError\n"
        "from rsseg.weights.torch_files import check_state_file\n"
        f"try: check_state_file(Path({str(tmp_path / 'cut.pth')!r}))\n"
        "except WeightsError: print('torch' in sys.modules)"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "False\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(STATE, zipped=False)[:-5], "is no complete file of torch.save"),
        (saved(STATE, zipped=False)[:60], "is no complete file of torch.save"),
        (zip_archive("a/data.pkl"), "is no complete file of torch.save"),
        (pickle.dumps({"a": 1}, protocol=4), "is a pickle, but holds no plain tensors"),
    ],
)
def test_other_damage_is_found_while_reading(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)

    with pytest.raises(WeightsError, match=re.escape(message)):
        read_state_dict(tmp_path / "a.pth")


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-3])

    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        read_state_dict(tmp_path / "a.safetensors")


def test_weights_of_rsseg_are_refused(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors", metadata={CARD_KEY: "{}"})

    with pytest.raises(WeightsError, match="has been written by rsseg"):
        read_state_dict(tmp_path / "a.safetensors")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth: no such file"):
        read_state_dict(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match=r"is a folder, expected a file"):
        read_state_dict(tmp_path)


def test_a_name_that_torch_cannot_open_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"od\xffd.pth"), STATE)

    with pytest.raises(WeightsError, match=r"od\\udcffd\.pth': the name is not UTF-8 text"):
        check_state_file(path)


def test_a_file_that_may_not_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.pth", STATE)

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(WeightsError, match=r"a\.pth: cannot be read \(Permission denied\)") as caught:
        check_state_file(tmp_path / "a.pth")

    assert caught.value.hint == "check the permissions of the file"


def with_header_length(path: Path, low: int, *, modulo: int) -> Path:
    """Safetensors whose header is padded until its length ends as wanted."""
    for padding in range(modulo + 8):
        save_file(STATE, path, metadata={"padding": "x" * padding})
        if int.from_bytes(path.read_bytes()[:8], "little") % modulo == low:
            return path
    raise AssertionError(low)


def test_safetensors_that_begin_like_a_pickle_are_safetensors(tmp_path: Path) -> None:
    path = with_header_length(tmp_path / "a.bin", 0x80, modulo=256)

    found = read_state_dict(path)

    assert path.read_bytes()[0] == 0x80
    assert_equal({key: found[key] for key in STATE}, STATE)


def test_safetensors_that_begin_like_a_zip_archive_are_safetensors(tmp_path: Path) -> None:
    length = int.from_bytes(b"PK", "little")
    save_file(STATE, tmp_path / "a.bin", metadata={"padding": "x" * (length - 250)})
    start = int.from_bytes((tmp_path / "a.bin").read_bytes()[:8], "little")
    save_file(STATE, tmp_path / "a.bin", metadata={"padding": "x" * (length - 250 + length - start)})

    found = read_state_dict(tmp_path / "a.bin")

    assert (tmp_path / "a.bin").read_bytes()[:2] == b"PK"
    assert_equal({key: found[key] for key in STATE}, STATE)


def test_a_pipe_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")

    with pytest.raises(WeightsError, match=r"pipe\.pth: is no regular file") as caught:
        check_state_file(tmp_path / "pipe.pth")

    assert caught.value.hint


def test_a_path_that_cannot_be_looked_into_is_explained(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(WeightsError, match=r"a\.pth: cannot be looked into \(Too many levels") as caught:
        check_state_file(tmp_path / "loop/a.pth")

    assert caught.value.hint


def test_names_of_entries_are_spelt_out_and_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", {"\x1b[2J" + "x" * 100_000: 3})

    with pytest.raises(WeightsError, match=r"entry '\\x1b\[2Jx+\.\.\.' is a int") as caught:
        read_state_dict(path)

    assert len(str(caught.value)) < len(str(path)) + 200


ORIGINALS = {zipped: saved(STATE, zipped=zipped) for zipped in (True, False)}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zipped=st.booleans(),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3
    ),
)
def test_changed_bytes_give_tensors_or_one_clear_error(
    tmp_path: Path, zipped: bool, changes: list[tuple[float, int]]
) -> None:
    content = bytearray(ORIGINALS[zipped])
    for place, value in changes:
        content[int(place * len(content))] = value
    (tmp_path / "a.pth").write_bytes(content)

    try:
        found = read_state_dict(tmp_path / "a.pth")
    except WeightsError:
        return
    assert all(isinstance(tensor, Tensor) for tensor in found.values())
