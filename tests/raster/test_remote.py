"""Rasters over the network, in archives, and as mosaics of several files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rsseg.errors import RasterError
from rsseg.raster import env, gdal_env, open_raster
from rsseg.raster.env import is_remote
from rsseg.tiling import Window
from tests.raster.make import UTM, noise, write_tiff
from tests.raster.site import Site, serving

PIXELS = noise(rows=500, cols=700)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    write_tiff(folder / "a.tif", PIXELS, **UTM, **tiles)
    mask = np.ones((500, 700), dtype=np.bool_)
    mask[100:200, 300:] = False
    outside = {"GDAL_TIFF_INTERNAL_MASK": False}
    write_tiff(folder / "masked.tif", PIXELS, mask=mask, environment=outside, **UTM, **tiles)
    (folder / "page.tif").write_text("<html>please log in</html>")
    return folder


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(folder, tmp_path_factory.mktemp("log") / "log") as site:
        yield site


@pytest.fixture(autouse=True)
def without_delays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(env, "RETRY_DELAY_S", 0.0)
    with gdal_env():
        yield


def write_mosaic(path: Path, sources: tuple[str, str]) -> Path:
    """Two rasters of 40 x 48 px side by side."""
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="{int("/" not in name)}">{name}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="48" ySize="40"/>'
            f'<DstRect xOff="{48 * place}" yOff="0" xSize="48" ySize="40"/></SimpleSource>'
            for place, name in enumerate(sources)
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path.write_text(f'<VRTDataset rasterXSize="96" rasterYSize="40">{bands}</VRTDataset>')
    return path


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_pixels_over_http_are_those_of_the_file(site: Site, prefix: str) -> None:
    way = "curl" if prefix else "http"
    with open_raster(f"{prefix}{site.url}good-{way}/a.tif?key=a.b/c&d=1") as source:
        np.testing.assert_array_equal(source.read(source.grid.window).data, PIXELS)
        assert source.files == (source.path,)


def test_a_mask_beside_a_remote_file_counts(site: Site, folder: Path) -> None:
    with (
        open_raster(folder / "masked.tif") as local,
        open_raster(f"{site.url}good/masked.tif") as remote,
    ):
        expected = local.read(local.grid.window).valid
        np.testing.assert_array_equal(remote.read(remote.grid.window).valid, expected)
        assert not expected.all()


def test_few_requests_are_made_and_no_byte_is_sent_twice(site: Site, folder: Path) -> None:
    """One HEAD and one GET for the file, a HEAD for each name a sidecar may have, then ranges of blocks."""
    before = len(site.requests())

    with open_raster(f"{site.url}sparing/a.tif") as source:
        opened = site.requests()[before:]
        for row in range(0, 500, 128):
            for col in range(0, 700, 128):
                source.read(Window(col - 32, row - 32, 192, 192))

    asked = site.requests()[before:]
    assert [r.method for r in opened[:2]] == ["HEAD", "GET"]
    assert len(opened) <= 12
    assert not [r for r in asked if r.path.endswith("/")]  # no list of the folder
    assert len([r for r in asked if r.method == "GET"]) <= 1 + 2 * 24  # blocks to the right, blocks below
    assert sum(r.sent for r in asked) < 1.1 * (folder / "a.tif").stat().st_size


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("good/none.tif", "no such file on the server (HTTP 404)", "check the address"),
        ("status-403/a.tif", "the server does not let us read it (HTTP 403)", "credentials"),
        ("status-500/a.tif", "cannot be read from the server (HTTP response code: 500)", "try again later"),
        ("drop/a.tif", "cannot be read from the server (CURL error:", "try again later"),
        ("good/page.tif", "what the server gives is not a raster", "open the address in a browser"),
    ],
)
def test_what_a_server_does_not_give_is_explained(site: Site, name: str, message: str, hint: str) -> None:
    with pytest.raises(RasterError) as caught:
        open_raster(site.url + name)

    assert str(caught.value).startswith(f"{site.url}{name}: {message}")
    assert "\n" not in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_server_that_is_not_there_is_explained() -> None:
    with pytest.raises(RasterError, match=r"127\.0\.0\.1:9/a\.tif: cannot be read from the server") as caught:
        open_raster("http://127.0.0.1:9/a.tif")

    assert "try again later" in str(caught.value.hint)


@pytest.mark.parametrize("fault", ["500", "drop", "404"])
def test_a_server_that_fails_half_way_is_an_error(site: Site, fault: str) -> None:
    with (
        open_raster(f"{site.url}later-1-{fault}/a.tif") as source,
        pytest.raises(RasterError, match=r"a\.tif: cannot read 700 x 500 px at column 0, row 0") as caught,
    ):
        source.read(source.grid.window)

    assert "the same command goes on" in str(caught.value.hint)


def test_a_mosaic_is_read_from_all_its_files(tmp_path: Path) -> None:
    left, right = noise(), noise()[:, ::-1]
    write_tiff(tmp_path / "left.tif", left, **UTM)
    write_tiff(tmp_path / "right.tif", right, **UTM)

    with open_raster(write_mosaic(tmp_path / "m.vrt", ("left.tif", "right.tif"))) as source:
        np.testing.assert_array_equal(
            source.read(source.grid.window).data, np.concatenate([left, right], axis=2)
        )
        assert source.files == tuple(str(tmp_path / n) for n in ("m.vrt", "left.tif", "right.tif"))


def test_a_mosaic_that_lacks_a_file_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    write_tiff(tmp_path / "left.tif", noise(), **UTM)

    with pytest.raises(RasterError) as caught:
        open_raster(write_mosaic(tmp_path / "m.vrt", ("left.tif", "right.tif")))

    assert str(caught.value) == f"{tmp_path / 'm.vrt'}: is not complete ({tmp_path / 'right.tif'} is missing)"
    assert "mosaic" in str(caught.value.hint)


def test_a_file_of_a_mosaic_that_vanishes_is_named(tmp_path: Path) -> None:
    for name in ("left.tif", "right.tif"):
        write_tiff(tmp_path / name, noise(), **UTM)

    with open_raster(write_mosaic(tmp_path / "m.vrt", ("left.tif", "right.tif"))) as source:
        (tmp_path / "right.tif").unlink()
        with pytest.raises(RasterError, match=r"m\.vrt: cannot read .* \(.*right\.tif is missing\)"):
            source.read(source.grid.window)


def test_a_mosaic_of_remote_files_is_read(site: Site, tmp_path: Path) -> None:
    names = f"/vsicurl/{site.url}mosaic/a.tif", f"/vsicurl/{site.url}mosaic/masked.tif"

    with open_raster(write_mosaic(tmp_path / "m.vrt", names)) as source:
        read = source.read(source.grid.window).data

    np.testing.assert_array_equal(read, np.tile(PIXELS[:, :40, :48], (1, 1, 2)))


@pytest.mark.parametrize("form", ["/vsizip/{}/in/a.tif", "zip://{}!in/a.tif"])
def test_a_raster_in_an_archive_is_read(folder: Path, tmp_path: Path, form: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(folder / "a.tif", "in/a.tif")

    with open_raster(form.format(tmp_path / "z.zip")) as source:
        np.testing.assert_array_equal(source.read(source.grid.window).data, PIXELS)
    with pytest.raises(RasterError, match=r"none\.tif: no such file"):
        open_raster(f"/vsizip/{tmp_path}/z.zip/none.tif")
    with pytest.raises(RasterError, match=r"z\.zip: is an archive") as caught:
        open_raster(tmp_path / "z.zip")
    assert "/vsizip/" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("https://a.org/b.tif", True),
        ("s3://bucket/b.tif", True),
        ("/vsicurl_streaming/http://a.org/b.tif", True),
        ("/vsizip//vsicurl/http://a.org/b.zip/c.tif", True),
        ("zip+https://a.org/b.zip!c.tif", True),
        ("zip://b.zip!c.tif", False),
        ("file:///tmp/b.tif", False),
        ("/vsizip/b.zip/c.tif", False),
        ("C:/b.tif", False),
        ("b.tif", False),
    ],
)
def test_which_paths_lead_over_the_network(path: str, *, remote: bool) -> None:
    assert is_remote(path) is remote
