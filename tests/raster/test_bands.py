from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError, RasterError
from rsseg.raster import open_raster
from rsseg.raster.bands import FileBands, choose_bands
from tests.raster.make import UTM, noise, write_tiff

kinds = st.sampled_from(["gray", "undefined", "red", "green", "blue", "alpha"])


def file_with(*interpretations: str, dtype: str = "uint8", cmyk: bool = False) -> FileBands:
    return FileBands("two.tif", interpretations, (dtype,) * len(interpretations), cmyk)


@given(st.lists(kinds, min_size=1, max_size=8), st.integers(1, 8))
def test_implied_bands_have_the_expected_number_and_no_alpha(
    interpretations: list[str], channels: int
) -> None:
    file = file_with(*interpretations)

    try:
        choice = choose_bands(file, bands=None, channels=channels)
    except RasterError:
        return

    assert len(choice.bands) == channels
    assert not set(choice.bands) & set(file.of("alpha"))
    assert choice.alpha == file.of("alpha")


@given(st.integers(1, 8))
def test_a_file_with_the_expected_number_of_plain_bands_is_taken_as_it_is(count: int) -> None:
    choice = choose_bands(file_with("gray", *["undefined"] * (count - 1)), bands=None, channels=count)

    assert choice.bands == tuple(range(1, count + 1))
    assert choice.notes == ()


def test_red_green_blue_are_found_among_more_bands_and_said() -> None:
    choice = choose_bands(file_with("undefined", "blue", "green", "red", "alpha"), bands=None, channels=3)

    assert choice.bands == (4, 3, 2)
    assert choice.alpha == (5,)
    assert choice.notes == ("two.tif: takes bands 4,3,2 as red, green, blue, as the file says",)


def test_without_an_expectation_all_bands_but_alpha_are_taken() -> None:
    assert choose_bands(file_with("gray", "undefined", "alpha"), bands=None, channels=None).bands == (1, 2)


def test_given_bands_may_repeat() -> None:
    assert choose_bands(file_with("gray"), bands=[1, 1, 1], channels=3).bands == (1, 1, 1)


def test_an_alpha_band_that_is_asked_for_counts_as_data() -> None:
    choice = choose_bands(file_with("red", "green", "blue", "alpha"), bands=[1, 2, 3, 4], channels=4)

    assert choice.bands == (1, 2, 3, 4)
    assert choice.alpha == ()
    assert "marked as alpha but taken as data" in choice.notes[0]


@pytest.mark.parametrize(
    ("interpretations", "channels", "message", "hint"),
    [
        (("gray", "undefined"), 3, "two.tif: has 2 bands, the weights expect 3", "--bands"),
        (("gray",), 3, "two.tif: has 1 band, the weights expect 3", "--bands 1,1,1"),
        (("gray", "alpha"), 3, "two.tif: has 1 band besides alpha, the weights expect 3", "--bands 1,1,1"),
        (("gray", *["undefined"] * 3), 3, "two.tif: has 4 bands, the weights expect 3", "--bands 1,2,3"),
        (("red", "green", "blue"), 1, "two.tif: has 3 bands, the weights expect 1", "--bands 1"),
        (("alpha",), 1, "two.tif: has no band besides alpha", ""),
        (("palette",), 3, "two.tif: has a colour palette", "gdal_translate -expand rgb"),
        (
            ("cyan", "magenta", "yellow", "black"),
            4,
            "two.tif: has CMYK colours",
            "gdal_translate -b 1 -b 2 -b 3",
        ),
    ],
)
def test_bands_that_do_not_fit_are_explained(
    interpretations: tuple[str, ...], channels: int, message: str, hint: str
) -> None:
    with pytest.raises(RasterError) as caught:
        choose_bands(file_with(*interpretations), bands=None, channels=channels)

    assert str(caught.value).startswith(message)
    assert hint in (caught.value.hint or "")


def test_cmyk_that_gdal_shows_as_rgb_is_refused() -> None:
    with pytest.raises(RasterError, match="CMYK"):
        choose_bands(file_with("red", "green", "blue", "alpha", cmyk=True), bands=[1, 2, 3], channels=3)


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_numbers_are_refused(dtype: str) -> None:
    with pytest.raises(RasterError, match="complex numbers"):
        choose_bands(file_with("gray", dtype=dtype), bands=None, channels=1)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([], "expected band numbers from 1"),
        ([0, 1, 2], "--bands is '0,1,2'; expected band numbers from 1"),
        ([1, 2], "--bands names 2 bands, the weights expect 3"),
    ],
)
def test_a_list_that_is_no_choice_is_a_wrong_option(bands: list[int], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        choose_bands(file_with("gray", "undefined"), bands=bands, channels=3)

    assert message in str(caught.value)


def test_a_band_that_the_file_lacks_is_named() -> None:
    with pytest.raises(RasterError, match=r"two\.tif: has 2 bands, --bands asks for band 3"):
        choose_bands(file_with("gray", "undefined"), bands=[1, 2, 3], channels=3)


RGBN = ("red", "green", "blue", "nir")


@pytest.mark.parametrize(
    ("interpretations", "names", "bands"),
    [
        (("blue", "green", "red", "nir"), RGBN, (3, 2, 1, 4)),
        (("nir", "blue", "green", "red", "alpha"), RGBN, (4, 3, 2, 1)),
        (("coastal", "blue", "green", "red", "rededge", "nir"), RGBN, (4, 3, 2, 6)),
        (("coastal", "blue", "green", "red", "rededge", "nir"), ("nir", "red", "green"), (6, 4, 3)),
        (("blue", "green", "red", "undefined"), RGBN, (3, 2, 1, 4)),
        (("blue", "green", "red", "undefined"), ("red", "green", "blue", "height"), (3, 2, 1, 4)),
        (("blue", "undefined", "green", "red", "gray"), (*RGBN, "height"), (4, 3, 1, 2, 5)),
        (("red", "green", "blue", "nir"), ("NIR",), (4,)),
        (("nir", "red"), ("Near Infrared", "Red"), (1, 2)),
    ],
)
def test_colours_that_the_weights_name_are_found_wherever_the_file_has_them(
    interpretations: tuple[str, ...], names: tuple[str, ...], bands: tuple[int, ...]
) -> None:
    choice = choose_bands(file_with(*interpretations), bands=None, channels=len(names), names=names)

    assert choice.bands == bands
    assert choice.warnings == ()
    in_order = bands == tuple(range(1, len(bands) + 1)) and len(bands) == len(interpretations)
    assert bool(choice.notes) == (not in_order)


def test_the_note_says_which_band_was_only_left_over() -> None:
    file = file_with("blue", "green", "red", "undefined")

    choice = choose_bands(file, bands=None, channels=4, names=RGBN)

    assert choice.notes == (
        "two.tif: takes bands 3,2,1,4 as red, green, blue, nir, as the file says of all but 4",
    )


@pytest.mark.parametrize(
    ("interpretations", "names", "marked"),
    [
        (("red", "green", "blue"), ("nir", "red", "green"), "band 1 as red, band 2 as green, band 3 as blue"),
        (
            ("red", "green", "blue", "nir"),
            ("nir", "red", "green", "height"),
            "band 1 as red, band 2 as green, band 3 as blue",
        ),
        (("nir", "red", "green"), ("red", "green", "blue"), "band 1 as nir, band 2 as red, band 3 as green"),
        (("nir", "red", "green"), ("channel 0", "channel 1", "channel 2"), "band 1 as nir"),
        (("nir",), ("red",), "band 1 as nir"),
    ],
)
def test_a_file_that_contradicts_the_weights_is_taken_in_its_order_with_a_warning(
    interpretations: tuple[str, ...], names: tuple[str, ...], marked: str
) -> None:
    choice = choose_bands(file_with(*interpretations), bands=None, channels=len(names), names=names)

    assert choice.bands == tuple(range(1, len(names) + 1))
    assert choice.notes == ()
    (warning,) = choice.warnings
    assert warning.startswith(f"two.tif: marks {marked}")
    assert "--bands" in warning


def test_more_bands_than_colours_are_found_of_are_refused() -> None:
    with pytest.raises(RasterError, match="has 5 bands, the weights expect 4"):
        choose_bands(
            file_with("red", "green", "blue", "undefined", "undefined"), bands=None, channels=4, names=RGBN
        )


def test_two_bands_of_one_colour_are_no_answer() -> None:
    choice = choose_bands(file_with("red", "red", "blue"), bands=None, channels=3, names=RGBN[:3])

    assert choice.bands == (1, 2, 3)
    assert "marks band 2 as red" in choice.warnings[0]


def test_what_somebody_called_a_band_counts_more_than_its_interpretation() -> None:
    """GeoTIFF calls any three bands red, green, blue; somebody took the trouble to write names."""
    file = FileBands(
        "two.tif", ("red", "green", "blue"), ("uint8",) * 3, descriptions=("NIR", "Red", "Green")
    )

    choice = choose_bands(file, bands=None, channels=3, names=("red", "green", "nir"))

    assert choice.bands == (2, 3, 1)
    assert choice.notes == ("two.tif: takes bands 2,3,1 as red, green, nir, as the file says",)


def test_chosen_bands_that_are_marked_otherwise_are_said() -> None:
    file = file_with("blue", "green", "red", "undefined")

    choice = choose_bands(file, bands=[1, 2, 4], channels=3, names=RGBN[:3])

    assert choice.notes == ("two.tif: band 1 is marked as blue but taken as red, as --bands says",)


def test_interpretation_and_descriptions_are_read_from_the_file(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", noise(4), colors=["blue", "green", "red", "undefined"], **UTM)
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(4, "near infrared")

    with open_raster(path, channels=4, names=RGBN) as source:
        assert source.bands == (3, 2, 1, 4)
        assert source.warnings == ()


def test_a_band_marked_as_nir_is_told_from_the_others(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "i.tif", noise(4), colors=["nir", "red", "green", "blue"], **UTM)

    with open_raster(path, channels=4, names=RGBN) as source:
        assert source.bands == (2, 3, 4, 1)
