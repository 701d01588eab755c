from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import OptionError, RasterError
from rsseg.raster.bands import FileBands, choose_bands

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
