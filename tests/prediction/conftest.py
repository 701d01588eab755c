from tests.prediction.attentive import attentive

__all__ = ["attentive"]
