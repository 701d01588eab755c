import pytest

import rsseg


@pytest.mark.parametrize("name", ["evaluate", "load_network", "predict_raster", "train"])
def test_the_engines_can_be_called_from_python(name: str) -> None:
    assert callable(getattr(rsseg, name))
    assert name in dir(rsseg)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        _ = rsseg.predict
