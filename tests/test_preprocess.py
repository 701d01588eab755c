import numpy as np
import pytest
import torch

from rsseg.errors import OptionError, WeightsError
from rsseg.preprocess import IMAGENET_MEAN, Percentiles, Scaling, Stretch, default_scaling


def test_pixels_are_scaled_channel_by_channel_and_invalid_ones_become_zero() -> None:
    scaling = Scaling(mean=(10.0, 100.0), std=(2.0, 50.0))
    pixels = torch.tensor([[[[12, 10]], [[200, 0]]]], dtype=torch.uint8)
    valid = torch.tensor([[[True, False]]])

    assert scaling.apply(pixels, valid).tolist() == [[[[1.0, 0.0]], [[2.0, 0.0]]]]


def test_missing_values_that_are_nan_become_zero() -> None:
    pixels = torch.tensor([[[[float("nan"), 1.0]]]])

    scaled = Scaling(mean=(0.0,), std=(1.0,), dtype="float32").apply(pixels, torch.tensor([[[False, True]]]))

    assert scaled.tolist() == [[[[0.0, 1.0]]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_all_common_pixel_types_are_scaled_alike(dtype: type) -> None:
    pixels = torch.from_numpy(np.arange(12, dtype=dtype).reshape(1, 1, 3, 4))

    scaled = Scaling(mean=(1.0,), std=(2.0,)).apply(pixels, torch.ones(1, 3, 4, dtype=torch.bool))

    assert scaled.dtype == torch.float32
    assert scaled.flatten().tolist() == [(n - 1) / 2 for n in range(12)]


@pytest.mark.parametrize("share_valid", [1.0, 0.7, 0.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_scaling_gives_what_its_formula_says_bit_for_bit(dtype: type, share_valid: float) -> None:
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 256, (2, 3, 9, 7)).astype(dtype))
    valid = torch.from_numpy(generator.random((2, 9, 7)) < share_valid)
    before, scaling = pixels.clone(), default_scaling(3)

    scaled = scaling.apply(pixels, valid)

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (scaling.mean, scaling.std))
    expected = torch.where(valid.unsqueeze(1), (pixels.float() - mean) / std, 0.0)
    assert torch.equal(scaled, expected)
    assert torch.equal(pixels, before)


def test_a_scaling_survives_being_written_as_a_row() -> None:
    scaling = Scaling(mean=(1.5,), std=(0.5,), dtype="uint16")

    assert Scaling.from_dict(scaling.to_dict()) == scaling


@pytest.mark.parametrize(("mean", "std"), [((), ()), ((1.0,), (1.0, 2.0)), ((1.0,), (0.0,))])
def test_scalings_that_cannot_be_are_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(WeightsError, match="scaling has"):
        Scaling(mean=mean, std=std)


def test_three_8_bit_channels_get_the_numbers_of_imagenet() -> None:
    assert default_scaling(3).mean == IMAGENET_MEAN
    assert default_scaling(4).channels == 4
    assert default_scaling(3, dtype="uint16").dtype == "uint16"


def test_a_stretch_maps_its_range_to_8_bits_and_clips() -> None:
    stretched = Stretch(100, 300).apply(np.array([0, 100, 200, 300, 4000], dtype=np.uint16))

    assert stretched.tolist() == [0.0, 0.0, 127.5, 255.0, 255.0]


def test_a_stretch_makes_nan_black() -> None:
    assert Stretch(0, 1).apply(np.array([np.nan, 1.0])).tolist() == [0.0, 255.0]


def test_an_empty_stretch_is_refused() -> None:
    with pytest.raises(OptionError, match="the first below the second"):
        Stretch(5, 5)
    with pytest.raises(OptionError, match="expected two numbers"):
        Stretch(0, float("inf"))


def test_pixels_with_another_number_of_channels_are_a_bug_that_is_named() -> None:
    with pytest.raises(ValueError, match="pixels have 1 channels; the scaling is for 3"):
        default_scaling(3).apply(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize("bands", [0, 1025, 10**15])
def test_a_number_of_bands_that_no_image_has_is_refused(bands: int) -> None:
    with pytest.raises(OptionError, match=f"bands is {bands}; expected 1 to 1024"):
        default_scaling(bands)


def test_a_stretch_may_have_a_pair_for_each_band() -> None:
    pixels = np.array([[[0, 100, 200]], [[0, 100, 200]]], dtype=np.uint16)

    stretched = Stretch((100, 0), (200, 1000)).apply(pixels)

    assert stretched.tolist() == [[[0.0, 0.0, 255.0]], [[0.0, 25.5, pytest.approx(51.0)]]]
    assert stretched.dtype == np.float32


def test_one_pair_for_one_band_is_that_pair() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)

    assert (Stretch((1.0,), (7.0,)).apply(pixels) == Stretch(1, 7).apply(pixels)).all()


def test_every_pair_is_checked() -> None:
    with pytest.raises(OptionError, match="scale is 5,5; expected two numbers"):
        Stretch((0, 5), (10, 5))


def test_scales_read_as_the_command_line_spells_them() -> None:
    assert str(Stretch(0, 4095)) == "0,4095"
    assert str(Stretch((0.0, 1.5), (10.0, 20.0))) == "0,10;1.5,20"
    assert str(Percentiles(2, 99.5)) == "p2-99.5"
