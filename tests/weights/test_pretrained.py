from __future__ import annotations

import hashlib
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rsseg.classes import ClassTable
from rsseg.errors import OptionError, ResourceError, WeightsError
from rsseg.models.efficientnet import EfficientNetLite
from rsseg.models.registry import NETWORKS, build_network
from rsseg.preprocess import default_scaling
from rsseg.weights import WeightCard, init_weights, pretrained, save_weights
from rsseg.weights.card import new_card
from rsseg.weights.pretrained import fetch_imagenet, find_encoder, load_encoder
from tests.weights.making import torchvision_state, write_lite, write_torchvision

WITH_ENCODER = [name for name, entry in NETWORKS.items() if entry.encoders]
CONTENT = b"not a network, but bytes with a hash"


def card(architecture: str, encoder: str, *, bands: int = 3) -> WeightCard:
    return new_card(
        architecture,
        encoder=encoder,
        classes=ClassTable.unnamed(2),
        scaling=default_scaling(bands),
        description="a test",
    )


@pytest.mark.parametrize("architecture", WITH_ENCODER)
def test_a_torchvision_file_fills_the_encoder_and_nothing_else(architecture: str, tmp_path: Path) -> None:
    state = write_torchvision(tmp_path / "r18.pth")
    network = build_network(architecture, encoder="resnet18", classes=2)
    before = {name: t.clone() for name, t in network.state_dict().items()}

    report = load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.pth"))

    encoder = find_encoder(network).state_dict()
    assert all(torch.equal(encoder[name], t) for name, t in state.items() if not name.startswith("fc."))
    inside = {f"encoder.{name}" for name in encoder}
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items() if n not in inside)
    assert (report.encoder, report.bands, report.path) == ("resnet18", 3, tmp_path / "r18.pth")
    assert report.sha256 == hashlib.sha256((tmp_path / "r18.pth").read_bytes()).hexdigest()


def test_half_precision_safetensors_are_taken_as_float32(tmp_path: Path) -> None:
    state = {name: t.half() for name, t in torchvision_state().items()}
    save_file(state, tmp_path / "r18.safetensors")
    network = build_network("manet", encoder="resnet18", classes=2)

    load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.safetensors"))

    found = find_encoder(network).conv1.weight
    assert found.dtype == torch.float32
    assert torch.equal(found, state["conv1.weight"].float())
    assert found.requires_grad


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_filters_are_repeated_in_turn_for_other_bands(tmp_path: Path, bands: int) -> None:
    state = write_torchvision(tmp_path / "r18.pth")
    network = build_network("manet", encoder="resnet18", bands=bands, classes=2)

    report = load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.pth"))

    filters = find_encoder(network).conv1.weight
    assert report.bands == 3
    for band in range(bands):
        torch.testing.assert_close(filters[:, band], state["conv1.weight"][:, band % 3] * 3 / bands)


def test_the_encoder_of_other_rsseg_weights_is_taken(tmp_path: Path) -> None:
    old = card("maresunet", "resnet18", bands=4)
    origin = init_weights(old, seed=3)
    save_weights(tmp_path / "old.safetensors", origin, old)
    network = build_network("manet", encoder="resnet18", bands=4, classes=5)

    report = load_encoder(network, encoder="resnet18", source=str(tmp_path / "old.safetensors"))

    expected = find_encoder(origin).state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in find_encoder(network).state_dict().items())
    assert report.bands == 4


def test_a_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    write_torchvision(tmp_path / "r18.pth")
    network = build_network("manet", encoder="resnet34", classes=2)

    with pytest.raises(WeightsError, match=r"holds resnet18; the network's encoder is resnet34") as caught:
        load_encoder(network, encoder="resnet34", source=str(tmp_path / "r18.pth"))

    assert caught.value.hint == "choose --encoder resnet18"


def test_rsseg_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    linear = card("linear", "")
    save_weights(tmp_path / "linear.safetensors", init_weights(linear, seed=0), linear)
    network = build_network("manet", encoder="resnet18", classes=2)

    with pytest.raises(WeightsError, match="holds no encoder; the network's encoder is resnet18"):
        load_encoder(network, encoder="resnet18", source=str(tmp_path / "linear.safetensors"))


def test_a_state_dict_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    network = build_network("manet", encoder="resnet18", classes=2)

    with pytest.raises(WeightsError, match=r"vgg\.pth: holds no encoder"):
        load_encoder(network, encoder="resnet18", source=str(tmp_path / "vgg.pth"))


def test_a_file_that_lacks_a_tensor_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    state = torchvision_state()
    del state["layer2.0.bn1.weight"]
    torch.save(state, tmp_path / "r18.pth")
    network = build_network("manet", encoder="resnet18", classes=2)
    before = find_encoder(network).conv1.weight.clone()

    with pytest.raises(WeightsError, match=r"does not fit the encoder: 1 missing \(layer2\.0\.bn1\.weight\)"):
        load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.pth"))

    assert torch.equal(find_encoder(network).conv1.weight, before)


def test_an_odd_first_convolution_is_refused(tmp_path: Path) -> None:
    state = torchvision_state()
    state["conv1.weight"] = torch.zeros(64, 0, 7, 7)
    torch.save(state, tmp_path / "r18.pth")
    network = build_network("manet", encoder="resnet18", classes=2)

    with pytest.raises(
        WeightsError, match=r"1 misshapen \(conv1\.weight is float32 \(64, 0, 7, 7\), expected"
    ):
        load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.pth"))


@pytest.mark.parametrize("architecture", [name for name in NETWORKS if name not in WITH_ENCODER])
def test_a_network_without_encoder_is_refused(architecture: str) -> None:
    with torch.device("meta"):
        network = build_network(architecture, classes=2)

    with pytest.raises(OptionError, match="has no encoder that pretrained weights could fill"):
        load_encoder(network, encoder="resnet18", source="imagenet")


def test_a_missing_source_is_refused() -> None:
    with torch.device("meta"):
        network = build_network("manet", encoder="resnet18", classes=2)

    with pytest.raises(WeightsError, match=r"gone\.pth: no such file"):
        load_encoder(network, encoder="resnet18", source="gone.pth")


@dataclass
class Site:
    """A server of files on this machine: what it has, and what it was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: int = 0


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server in the place of torchvision's, and an empty cache."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            content = found.files.get(self.path.rpartition("/")[2])
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - found.cut])

        def log_message(self, *_args: object) -> None:
            pass

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(
        urllib.request, "_opener", None
    )  # urllib looks for a proxy once and keeps what it found
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        found = Site(f"http://127.0.0.1:{server.server_port}/models/")
        monkeypatch.setattr(pretrained, "IMAGENET_URL", found.url)
        name = f"resnet18-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
        monkeypatch.setitem(pretrained.IMAGENET_FILES, "resnet18", name)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
        found.files[name] = CONTENT
        yield found
        server.shutdown()
        thread.join()


def cached(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_is_fetched_once_into_the_cache_of_torch(site: Site, tmp_path: Path) -> None:
    first = fetch_imagenet("resnet18")
    second = fetch_imagenet("resnet18")

    assert first == second == tmp_path / "cache/hub/checkpoints" / pretrained.IMAGENET_FILES["resnet18"]
    assert first.read_bytes() == CONTENT
    assert site.asked == [f"/models/{first.name}"]


def test_a_cached_file_needs_no_network(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_imagenet("resnet18")
    monkeypatch.setattr(pretrained, "IMAGENET_URL", "http://127.0.0.1:9/")

    assert fetch_imagenet("resnet18") == path


def test_a_cached_file_with_another_hash_is_fetched_anew(site: Site) -> None:
    path = fetch_imagenet("resnet18")
    path.write_bytes(CONTENT[:-1])

    assert fetch_imagenet("resnet18").read_bytes() == CONTENT


def test_a_file_with_another_hash_is_refused_and_not_kept(site: Site, tmp_path: Path) -> None:
    site.files[pretrained.IMAGENET_FILES["resnet18"]] = b"something else"

    with pytest.raises(ResourceError, match="sha256 of 14 bytes is") as caught:
        fetch_imagenet("resnet18")

    assert "--pretrained FILE" in str(caught.value.hint)
    assert cached(tmp_path) == []


def test_a_connection_that_breaks_off_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.cut = 5

    with pytest.raises(ResourceError, match="cannot be fetched"):
        fetch_imagenet("resnet18")

    assert cached(tmp_path) == []


def test_a_file_that_is_not_there_is_named_with_the_answer(site: Site, tmp_path: Path) -> None:
    site.files.clear()

    with pytest.raises(ResourceError, match=r"resnet18-\w+\.pth: the server answers 404") as caught:
        fetch_imagenet("resnet18")

    assert re.fullmatch(
        r"fetch resnet18-\w+\.pth elsewhere and give its path: --pretrained FILE", str(caught.value.hint)
    )
    assert cached(tmp_path) == []


def test_without_network_the_hint_says_how_to_go_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setattr(pretrained, "IMAGENET_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/")

        with pytest.raises(ResourceError, match=r"cannot be fetched \(.*refused") as caught:
            fetch_imagenet("resnet18")

    assert "elsewhere and give its path: --pretrained FILE" in str(caught.value.hint)


def test_a_silent_server_is_not_waited_for_forever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "TIMEOUT_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(pretrained, "IMAGENET_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")

        with pytest.raises(ResourceError, match="timed out"):
            fetch_imagenet("resnet18")


def test_a_proxy_is_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setattr(pretrained, "IMAGENET_URL", "http://models.invalid/")

    path = fetch_imagenet("resnet18")

    assert site.asked == [f"http://models.invalid/{path.name}"]


def test_a_cache_that_cannot_be_made_is_explained(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))

    with pytest.raises(ResourceError, match="cannot be made") as caught:
        fetch_imagenet("resnet18")

    assert caught.value.hint == "choose another cache with TORCH_HOME"


def test_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="vgg16: there are no weights from ImageNet") as caught:
        fetch_imagenet("vgg16")

    assert str(caught.value.hint).startswith(
        "known are resnet18, resnet34, resnet50, resnet101, efficientnet-lite0"
    )


def test_the_names_of_the_files_end_with_a_hash() -> None:
    for encoder, name in {**pretrained.IMAGENET_FILES, **pretrained.IMAGENET_PACKAGES}.items():
        assert re.fullmatch(rf"(\w+/models/)?{encoder}-[0-9a-f]{{8}}\.pth", name)


@pytest.mark.parametrize("encoder", pretrained.IMAGENET_PACKAGES)
def test_a_file_of_efficientnet_sees_our_pixels_as_it_saw_its_own(encoder: str, tmp_path: Path) -> None:
    theirs = write_lite(tmp_path / "lite.pth", encoder)
    network = build_network("manet", encoder=encoder, classes=2).eval()

    report = load_encoder(network, encoder=encoder, source=str(tmp_path / "lite.pth"))

    ours = find_encoder(network)
    assert isinstance(ours, EfficientNetLite)
    names = set(torch.load(tmp_path / "lite.pth", weights_only=True))
    assert {"_conv_stem.weight", "_bn0.running_mean", "_blocks.0._bn1.bias"} <= names
    assert {"_blocks.10._expand_conv.weight", "_blocks.15._project_conv.weight", "_fc.weight"} <= names
    pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    z = default_scaling(3).apply(pixels, torch.ones(1, 64, 64, dtype=torch.bool))
    with torch.no_grad():
        found, expected = (
            encoder.bn0(encoder.conv_stem(x)) for encoder, x in ((ours, z), (theirs, (pixels - 127) / 128))
        )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (report.encoder, report.bands) == (encoder, 3)
    same = [name for name in ours.state_dict() if not name.startswith(("conv_stem", "bn0.running_mean"))]
    assert all(torch.equal(ours.state_dict()[name], theirs.state_dict()[name]) for name in same)


def test_imagenet_weights_of_an_efficientnet_come_from_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "installed" / "lite_of_a_test" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise ImportError('nobody needs to run it')")
    write_lite(tmp_path / "file.pth", "efficientnet-lite0")
    sha256 = hashlib.sha256((tmp_path / "file.pth").read_bytes()).hexdigest()
    name = f"lite0-{sha256[:8]}.pth"
    network = build_network("manet", encoder="efficientnet-lite0", classes=2)
    monkeypatch.setitem(pretrained.IMAGENET_PACKAGES, "efficientnet-lite0", f"lite_of_a_test/models/{name}")

    with pytest.raises(ResourceError, match="lie in a package that is not installed") as missing:
        load_encoder(network, encoder="efficientnet-lite0", source="imagenet")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    (models / name).write_bytes(b"something else")
    with pytest.raises(ResourceError, match="is missing, or another file than its name says") as damaged:
        load_encoder(network, encoder="efficientnet-lite0", source="imagenet")
    (models / name).write_bytes((tmp_path / "file.pth").read_bytes())
    report = load_encoder(network, encoder="efficientnet-lite0", source="imagenet")

    assert missing.value.hint == "pip install --force-reinstall lite-of-a-test"
    assert damaged.value.hint == "pip install --force-reinstall lite-of-a-test"
    assert (report.path, report.sha256) == (models / name, sha256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"_blocks.7._project_conv.weight": None},
            "is an EfficientNet of another size or kind, which is no encoder",
        ),
        ({"_blocks.7._project_conv.weight": torch.ones(())}, "is an EfficientNet of another size or kind"),
        ({"_bn0.running_mean": torch.ones(32, dtype=torch.bool)}, r"1 misshapen \(bn0.running_mean is bool"),
        (
            {"_conv_stem.weight": torch.ones(32, 3, 3, 3, dtype=torch.int64)},
            r"1 misshapen \(conv_stem.weight is int64",
        ),
        ({"_conv_stem._weight": torch.ones(32, 3, 3, 3)}, "holds no encoder"),
    ],
)
def test_an_odd_file_of_efficientnet_is_refused(
    changes: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    write_lite(tmp_path / "lite.pth", "efficientnet-lite0")
    state = {**torch.load(tmp_path / "lite.pth", weights_only=True), **changes}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "lite.pth")
    network = build_network("manet", encoder="efficientnet-lite0", classes=2)

    with pytest.raises(WeightsError, match=message):
        load_encoder(network, encoder="efficientnet-lite0", source=str(tmp_path / "lite.pth"))


def test_a_file_of_another_efficientnet_is_refused(tmp_path: Path) -> None:
    write_lite(tmp_path / "lite1.pth", "efficientnet-lite1")
    network = build_network("manet", encoder="efficientnet-lite2", classes=2)

    with pytest.raises(
        WeightsError, match="holds efficientnet-lite1; the network's encoder is efficientnet-lite2"
    ):
        load_encoder(network, encoder="efficientnet-lite2", source=str(tmp_path / "lite1.pth"))


def test_a_stem_in_half_precision_is_repeated_in_full_precision(tmp_path: Path) -> None:
    state = {name: t.half() for name, t in torchvision_state().items()}
    save_file(state, tmp_path / "r18.safetensors")
    network = build_network("manet", encoder="resnet18", bands=7, classes=2)

    load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.safetensors"))

    expected = state["conv1.weight"].float()[:, [0, 1, 2, 0, 1, 2, 0]] * (3 / 7)
    assert torch.equal(find_encoder(network).conv1.weight, expected)


def test_a_stem_of_integers_is_refused(tmp_path: Path) -> None:
    state = torchvision_state()
    state["conv1.weight"] = torch.ones(64, 3, 7, 7, dtype=torch.int64)
    torch.save(state, tmp_path / "r18.pth")
    network = build_network("manet", encoder="resnet18", classes=2)

    with pytest.raises(WeightsError, match=r"1 misshapen \(conv1\.weight is int64"):
        load_encoder(network, encoder="resnet18", source=str(tmp_path / "r18.pth"))


def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "MAX_BYTES", len(CONTENT) - 1)

    with pytest.raises(ResourceError, match="is larger than 35 bytes") as caught:
        fetch_imagenet("resnet18")

    assert "--pretrained FILE" in str(caught.value.hint)
    assert cached(tmp_path) == []


def test_a_server_that_is_too_slow_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "TOTAL_S", -1.0)

    with pytest.raises(ResourceError, match=r"bytes in -1 s, which is too slow"):
        fetch_imagenet("resnet18")


def test_a_cache_that_cannot_be_read_is_explained(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch_imagenet("resnet18")

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(ResourceError, match="cannot be read \\(Permission denied\\)") as caught:
        fetch_imagenet("resnet18")

    assert str(path) in str(caught.value)
    assert caught.value.hint == "choose another cache with TORCH_HOME"
