import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from rsseg import weights as store
from rsseg.classes import ClassTable
from rsseg.errors import ResourceError, WeightsError
from rsseg.preprocess import default_scaling
from rsseg.weights import CARD_KEY, WeightCard, files, init_weights, load_weights, read_card, save_weights

CARD = WeightCard(
    architecture="linear",
    encoder="",
    classes=ClassTable.unnamed(2),
    bands=("red", "green", "blue"),
    scaling=default_scaling(3),
    description="a test",
    scores={"mean_iou": 0.5},
)


def write(path: Path, card: WeightCard = CARD) -> Path:
    save_weights(path, init_weights(card, seed=1), card)
    return path


def test_loading_gives_back_what_was_saved(tmp_path: Path) -> None:
    network = init_weights(CARD, seed=1)
    save_weights(tmp_path / "a.safetensors", network, CARD)

    loaded = load_weights(str(tmp_path / "a.safetensors"))

    assert loaded.card == CARD
    assert loaded.name == "a"
    assert not loaded.network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a").read_bytes() == write(tmp_path / "b").read_bytes()


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path: Path) -> None:
    card = replace(CARD, architecture="maresunet", encoder="resnet18")
    network = init_weights(card, seed=0)
    save_weights(tmp_path / "whole", network, card)
    save_weights(tmp_path / "half", network, card, dtype=torch.float16)

    loaded = load_weights(str(tmp_path / "half"))

    assert (tmp_path / "half").stat().st_size < 0.51 * (tmp_path / "whole").stat().st_size
    assert {t.dtype for t in loaded.network.parameters()} == {torch.float32}
    assert {t.dtype for t in loaded.network.buffers()} == {torch.float32, torch.int64}


def test_untrained_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(99)
    first = init_weights(CARD, seed=3).state_dict()
    before = torch.get_rng_state()
    second = init_weights(CARD, seed=3).state_dict()

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first["head.weight"], init_weights(CARD, seed=4).state_dict()["head.weight"])


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    for zipped in (True, False):
        path = tmp_path / f"evil{zipped}.pth"
        torch.save({"w": Bomb()}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(WeightsError, match="is a pickle"):
            load_weights(str(path))
    assert not (tmp_path / "exploded").exists()


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        load_weights(str(path))


@pytest.mark.parametrize("content", [b"", b"hello", struct.pack("<Q", 2**40) + b"{}"])
def test_rubbish_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rubbish.safetensors"
    path.write_bytes(content)

    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        load_weights(str(path))


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, path)

    with pytest.raises(WeightsError, match="without an rsseg card"):
        load_weights(str(path))


def test_tensors_that_do_not_fit_the_card_are_refused(tmp_path: Path) -> None:
    network = init_weights(CARD, seed=0)
    path = tmp_path / "misfit.safetensors"
    save_weights(path, network, replace(CARD, classes=ClassTable.unnamed(5)))

    with pytest.raises(WeightsError, match=r"2 misshapen \(head\.\w+ is float32"):
        load_weights(str(path))


def test_missing_and_unknown_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "renamed.safetensors"
    save_file({"tail": torch.zeros(2)}, path, metadata={CARD_KEY: CARD.to_json()})

    with pytest.raises(WeightsError, match=r"2 missing \(head\.weight, head\.bias\), 1 unknown \(tail\)"):
        load_weights(str(path))


def test_an_unknown_network_in_the_card_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "future.safetensors"
    save_file({}, path, metadata={CARD_KEY: replace(CARD, architecture="segnet9000").to_json()})

    with pytest.raises(WeightsError, match="segnet9000"):
        load_weights(str(path))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", json.dumps({**json.loads(CARD.to_json()), "bands": 3}), "null"]
)
def test_damaged_cards_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.safetensors"
    save_file({}, path, metadata={CARD_KEY: text})

    with pytest.raises(WeightsError, match="the card is damaged"):
        read_card(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile": "x"}, "the card has tile 'x'; expected int"),
        ({"halo": None}, "the card has halo None; expected int"),
        ({"architecture": []}, r"the card has architecture \[\]; expected str"),
        ({"network_options": {"bands": 3}}, "network options hold bands"),
        ({"scaling": {"mean": [0], "std": ["nan"], "dtype": "uint8"}, "bands": ["a"]}, "expected numbers"),
    ],
)
def test_cards_with_odd_values_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        WeightCard.from_json(json.dumps({**json.loads(CARD.to_json()), **changes}))


def test_a_file_that_may_not_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "closed.safetensors")

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "safe_open", refuse)
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(WeightsError, match="cannot be read \\(Permission denied\\)"):
        read_card(path)


def test_a_card_of_a_later_format_is_refused() -> None:
    text = json.dumps({**json.loads(CARD.to_json()), "format": 2})

    with pytest.raises(WeightsError, match="the card has format 2"):
        WeightCard.from_json(text)


def test_a_card_with_contradicting_bands_is_refused() -> None:
    with pytest.raises(WeightsError, match="names 2 bands but scales 3 channels"):
        replace(CARD, bands=("a", "b"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonesuch", "nonesuch: unknown weights"),
        ("no/such.safetensors", "no/such.safetensors: no such file"),
        ("gone.safetensors", "gone.safetensors: no such file"),
    ],
)
def test_unknown_weights_are_refused_with_those_there_are(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(name)
    assert "buildings" in str(caught.value.hint)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "kept.safetensors")
    before = path.read_bytes()
    network = init_weights(CARD, seed=5)
    network.register_buffer("sparse", torch.zeros(2, 2).to_sparse())

    with pytest.raises((RuntimeError, ValueError, NotImplementedError, TypeError)):
        save_weights(path, network, CARD)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["kept.safetensors"]


def test_all_bundled_weights_are_intact() -> None:
    entries = store.list_weights()

    assert {"buildings", "landcover"} <= {entry.name for entry in entries}
    assert store.default_weights() in {entry.name for entry in entries}
    for entry in entries:
        store.verify_weights(entry)
        card = read_card(entry.path)
        assert card.data
        assert card.licence
        assert card.scores


def test_a_changed_bundled_file_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")

    with pytest.raises(WeightsError, match="the index says 0000"):
        store.verify_weights(store.IndexEntry(name="a", path=path, sha256="0000"))
    with pytest.raises(WeightsError, match="missing"):
        store.verify_weights(store.IndexEntry(name="b", path=tmp_path / "b", sha256="0000"))


def test_a_full_disk_is_named_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.safetensors")

    def full(_tensors: object, draft: Path, **_options: object) -> None:
        draft.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(ResourceError, match=r"a\.safetensors: cannot be written \(No space left on device\)"):
        write(path)

    assert load_weights(str(path)).card == CARD
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_card_with_numbers_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(WeightsError, match="the card holds a number that is not finite"):
        replace(CARD, gsd_m=float("nan")).to_json()


def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    (tmp_path / "b").touch()

    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_cut_off_file_that_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 0x80) + b"{".ljust(0x80) + b"cut")

    with pytest.raises(WeightsError, match="is no complete safetensors file"):
        read_card(path)


def test_weights_that_lack_a_counter_are_refused(tmp_path: Path) -> None:
    card = replace(CARD, architecture="macunet")
    state = init_weights(card, seed=0).state_dict()
    counter = next(name for name in state if name.endswith("num_batches_tracked"))
    del state[counter]
    save_file(state, tmp_path / "a.safetensors", metadata={CARD_KEY: card.to_json()})

    with pytest.raises(WeightsError, match=f"1 missing \\({counter}\\)"):
        load_weights(str(tmp_path / "a.safetensors"))
