import pytest

from rsseg.errors import OptionError, ResourceError
from rsseg.prediction.door import check_limits
from rsseg.prediction.engine import Predictor
from rsseg.prediction.options import PredictOptions
from rsseg.weights import Limits, Weights, init_weights
from tests.graphs import CARD


def test_weights_without_limits_take_every_option() -> None:
    check_limits(Limits(), PredictOptions(device="cuda", precision="bf16"), tile=96, context="tile")


def test_another_tile_than_the_graphs_is_refused() -> None:
    with pytest.raises(
        OptionError, match="tile is 96 px; this graph was exported for squares of 64 px"
    ) as caught:
        check_limits(Limits(side=64), PredictOptions(), tile=96, context="tile")
    assert "--tile 64" in str(caught.value.hint)


def test_half_precision_of_a_graph_is_refused() -> None:
    with pytest.raises(OptionError, match="precision is bf16; this graph was exported in fp32"):
        check_limits(Limits(precision="fp32"), PredictOptions(precision="bf16"), tile=64, context="tile")


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_the_graphs_own_precision_is_taken(precision: str) -> None:
    check_limits(Limits(precision="fp32"), PredictOptions(precision=precision), tile=64, context="tile")


def test_a_gpu_that_the_runtime_cannot_use_is_refused() -> None:
    with pytest.raises(ResourceError, match="device cuda:0: the installed onnxruntime has no CUDA"):
        check_limits(Limits(cuda=False), PredictOptions(device="cuda:0"), tile=64, context="tile")


def test_auto_takes_the_device_and_precision_that_the_limits_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    limits = Limits(precision="fp32", cuda=False)
    weights = Weights(network=init_weights(CARD, seed=0), card=CARD, name="w", sha256="", limits=limits)

    predictor = Predictor(weights, PredictOptions())

    assert (predictor._setup.forward.device_type, predictor._setup.precision) == ("cpu", "fp32")


def test_a_graph_gives_no_sums_for_a_context() -> None:
    with pytest.raises(OptionError, match="an exported graph cannot take or use the context of a raster"):
        check_limits(Limits(precision="fp32"), PredictOptions(context="raster"), tile=64, context="raster")
